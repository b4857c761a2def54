"""The programs that are watched: started, told what to do, and ended in every way."""
import contextlib
import json
import pathlib
import signal
import subprocess
import time

from daemon import wait_until

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"
PROGRAM = HERE / "faults_target.py"
STORM = HERE / "faults_storm.py"


def has_uvloop():
    got = subprocess.run([PYTHON, "-c", "import uvloop"], stderr=subprocess.DEVNULL)
    return got.returncode == 0


class Target:
    """One process of faults_target.py and what it has written down."""

    def __init__(self, folder, number, loop, seed):
        self.log = folder / ("target-%d.jsonl" % number)
        self.started = time.monotonic()
        self.ended = None
        self.stops = []  # (from, to) in which it was stopped by a signal
        self.process = subprocess.Popen(
            [PYTHON, str(PROGRAM), str(seed), loop, str(self.log)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=open(str(self.log) + ".err", "wb"),
        )
        self.pid = self.process.pid

    def tell(self, command):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(command.encode() + b"\n")
            self.process.stdin.flush()

    def lines(self):
        with contextlib.suppress(FileNotFoundError):
            whole = self.log.read_text().split("\n")[:-1]
            return [json.loads(line) for line in whole]
        return []

    def stalls(self):
        return [one for one in self.lines() if "end" in one]

    def is_running(self):
        return bool(self.lines())

    def is_inside(self, kind):
        """It has begun a stall that it has not ended."""
        lines = self.lines()
        return bool(lines) and "begin" in lines[-1] and lines[-1]["kind"] == kind

    def kill(self):
        self.process.kill()
        self.gone()

    def end(self):
        """Ends it in peace; False where it does not."""
        self.tell("stop")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(60)
        well = self.process.poll() == 0
        self.kill()
        return well

    def gone(self):
        self.process.wait()
        self.process.stdin.close()
        self.ended = time.monotonic()

    def stop_for(self, seconds):
        begin = time.monotonic()
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)
        self.stops.append((begin, time.monotonic()))


class Population:
    """The targets by slot, and all that there were."""

    def __init__(self, folder):
        self.folder = folder
        self.slots = {}
        self.all = []
        self.uvloop = has_uvloop()

    def start(self, slot, loop, seed):
        if not self.uvloop:
            loop = "asyncio"
        target = Target(self.folder, len(self.all), loop, seed)
        self.all.append(target)
        self.slots[slot] = target
        assert wait_until(target.is_running, 60), "a target does not begin to stall"

    def take(self, slot):
        return self.slots.pop(slot)

    def alive(self):
        return list(self.slots.values())

    def start_and_kill(self, seconds, count):
        """Kills some that have hardly begun."""
        young = [Target(self.folder, len(self.all) + i, "asyncio", i) for i in range(count)]
        self.all += young
        time.sleep(seconds)
        for target in young:
            target.kill()

    def end_all(self):
        """How many did not end in peace."""
        return sum(not self.take(slot).end() for slot in list(self.slots))

    def kill_all(self):
        for target in self.all:
            if target.ended is None:
                target.kill()


def storm(rate, seconds):
    """A burst of forks; what it says of them."""
    done = subprocess.run([PYTHON, str(STORM), str(rate), str(seconds)], stdout=subprocess.PIPE,
                          timeout=seconds + 120)
    return json.loads(done.stdout)
