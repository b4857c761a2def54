"""What the attacks share: an unprivileged user's programs, and the daemon with two sets of rights.

Everything that is attacked is the tests' own: files and programs that they make, users that nobody
else has.
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import pytest

HERE = pathlib.Path(__file__).resolve().parent
TARGETS = HERE / "targets"
sys.path.insert(0, str(HERE.parent / "e2e"))

from conftest import (  # noqa: E402  (found through the path above)
    LOOPSIGHT,
    PYTHON,
    ROOT,
    free_port,
    http_get,
    running,
    wait_for_port,
    wait_until,
)

MINE = "This is a line of the program itself, which is its own and nobody else's to read"
ATTACKER = 65534
SERVICE = 990  # the user that the daemon is, where it is not root
SECRET = "Th1s-1s-0nly-f0r-r00t"
AS_ATTACKER = ("setpriv", "--reuid", str(ATTACKER), "--regid", str(ATTACKER), "--clear-groups")
UNIT = (ROOT / "deploy" / "systemd" / "loopsight.service").read_text()

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to load BPF programs")


def unit_capabilities():
    names = re.search(r"^CapabilityBoundingSet=(.*)$", UNIT, re.M)[1].split()
    return [name.removeprefix("CAP_").lower() for name in names]


def with_units_rights(command):
    """The command as a user of its own with the capabilities of the unit."""
    listed = ",".join("+" + name for name in unit_capabilities())
    return [
        "setpriv", "--reuid", str(SERVICE), "--regid", str(SERVICE), "--clear-groups",
        "--inh-caps", "-all," + listed, "--ambient-caps", "-all," + listed,
        "--bounding-set", "-all," + listed, "--no-new-privs", *command,
    ]


RIGHTS = {
    "root": lambda command: ["setpriv", "--groups", "0", *command],  # as sudo and a root shell start it
    "unit": with_units_rights,
}


def capabilities(status):
    bits = int(status["CapEff"], 16) | int(status["CapPrm"], 16)
    return {bit for bit in range(64) if bits >> bit & 1}


class Daemon:
    def __init__(self, process, port, lines):
        self.process = process
        self.port = port
        self.lines = lines

    def stalls(self):
        """Those that have ended, as the export tells its operator."""
        text = self.lines.read_text() if self.lines.exists() else ""
        whole = text.rpartition("\n")[0]  # a line may be in the making
        return [one for one in map(json.loads, whole.splitlines()) if not one["in_progress"]]

    def stalls_of(self, pid):
        """The same of one process among very many, in all files that were kept."""
        found = []
        for file in self.lines.parent.glob(self.lines.name + "*"):
            with open(file) as text:
                found += [json.loads(line) for line in text if '"pid":%d,' % pid in line and line.endswith("\n")]
        return [one for one in found if not one["in_progress"]]

    def loops(self):
        return json.loads(http_get(self.port, "/api/v1/loops")[1])

    def status(self, pid=None):
        text = pathlib.Path("/proc/%d/status" % (pid or self.process.pid)).read_text()
        return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)

    def helpers(self):
        """The pids of the processes that it has started, and of theirs."""
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            with contextlib.suppress(OSError):
                children = pathlib.Path("/proc/%d/task/%d/children" % (pid, pid)).read_text().split()
                found += map(int, children)
                waiting += map(int, children)
        return found


@contextlib.contextmanager
def daemon(folder, rights, *options, ready=200):
    """`loopsight run` with these rights; writes each stall to a file of its own."""
    binary = folder / "loopsight"
    if not binary.exists():
        shutil.copy(LOOPSIGHT, binary)
        binary.chmod(0o755)
    home = folder / ("home-" + rights)
    home.mkdir()
    if rights == "unit":
        os.chown(home, SERVICE, SERVICE)
    port = free_port()
    command = [str(binary), "run", "--web.listen-address", "127.0.0.1:%d" % port,
               "--export.json-lines", str(home / "stalls.jsonl"), *options]
    with open(folder / ("log-" + rights), "w") as log:
        with running(RIGHTS[rights](command), stderr=log, stdin=subprocess.DEVNULL) as process:
            wait_for_port(port, 60)
            assert wait_until(lambda: http_get(port, "/-/ready")[0] == ready, 60)
            yield Daemon(process, port, home / "stalls.jsonl")


class Program:
    """A loop that does what it is told, see targets/attacker.py."""

    def __init__(self, process, watcher):
        self.process = process
        self.watcher = watcher

    def tell(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def hears(self, word):
        assert self.process.stdout.readline() == word + "\n"

    def stalls_in(self, file):
        return [one for one in self.watcher.stalls()
                if one["pid"] == self.process.pid and one["culprit"] and one["culprit"]["file"] == str(file)]

    def expression_of(self, file, line=1, width=60, tries=4):
        """What is shown of a line of `file`, after as many stalls there as it may take."""
        for number in range(1, tries + 1):
            self.tell("stall", line, width, file)
            self.hears("done")
            assert wait_until(lambda: len(self.stalls_in(file)) >= number, 20), self.watcher.stalls()
            shown = [one["culprit"]["expression"] for one in self.stalls_in(file)]
            if any(shown):
                return next(filter(None, shown))
        return None


@contextlib.contextmanager
def program(folder, watcher, start=AS_ATTACKER, python=PYTHON):
    script = folder / "attacker.py"
    if not script.exists():
        shutil.copy(TARGETS / "attacker.py", script)
        script.chmod(0o644)
    time.sleep(1.1)  # what is there already is older than the program, to a clock tick
    with running([*start, str(python), str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                 text=True) as process:
        one = Program(process, watcher)
        one.hears("ready")
        yield one


def secret_of_root(folder, name="secret", lines=9):
    path = folder / name
    path.write_text("".join("line %d has %s, and more of it than that to read for whom it may concern\n" % (number, SECRET)
                            for number in range(1, lines + 1)))
    path.chmod(0o600)
    return path


def set_uid_program(folder):
    path = folder / "set_uid"
    subprocess.run(["cc", "-O1", "-o", path, TARGETS / "set_uid.c"], check=True)
    path.chmod(0o4755)
    return path
