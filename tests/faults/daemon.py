"""The daemon under test: `loopsight run` on programs of the names faults_*, in a memory cgroup and
with a wall clock of its own, its JSON lines on a small file system."""
import contextlib
import glob
import http.client
import json
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

from conftest import (  # noqa: E402
    BPFTOOL,
    LOOPSIGHT,
    bpf_objects,
    free_port,
    http_get,
    our_programs,
    wait_until,
)

READY = 120  # seconds in which it must be ready; a busy machine has needed 33
CONFIG = """
threshold: %dms
tables: {loops: 2048}
processes:
  include: ['^faults_']
stalls:
  keep: 200
"""
BAD_CONFIGS = {
    "syntax": "threshold: [",
    "unknown_key": "thresold: 50ms",
    "bad_value": "threshold: often",
    "missing": None,
}


def memory_controller():
    """(root, file of the limit, file of the usage, no limit) of a memory controller; else None."""
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, where, kind, options = line.split()[:4]
        root = pathlib.Path(where)
        if kind == "cgroup" and "memory" in options.split(","):
            return root, "memory.limit_in_bytes", "memory.usage_in_bytes", "-1"
        if kind == "cgroup2" and "memory" in (root / "cgroup.subtree_control").read_text().split():
            return root, "memory.max", "memory.current", "max"
    return None


class MemoryGroup:
    """A memory cgroup; without a controller everything does nothing."""

    def __init__(self, name):
        self.controller = memory_controller()
        if not self.controller:
            return
        root, limit, usage, self.unlimited = self.controller
        self.path = root / name
        try:
            self.path.mkdir()
        except OSError:  # of a container that may not
            self.controller = None
            return
        self.limit = self.path / limit
        self.usage = self.path / usage

    def __bool__(self):
        return bool(self.controller)

    def add(self, pid):
        if not self.controller:
            return
        try:
            (self.path / "cgroup.procs").write_text(str(pid))
        except OSError:
            self.path.rmdir()
            self.controller = None

    def squeeze(self, room_bytes):
        """Leaves that much above what is used now."""
        with contextlib.suppress(OSError):  # EBUSY: it cannot be reclaimed to so little
            self.limit.write_text(str(int(self.usage.read_text()) + room_bytes))

    def release(self):
        if self.controller:
            self.limit.write_text(self.unlimited)

    def remove(self):
        if self.controller:
            self.release()
            procs = self.path / "cgroup.procs"
            wait_until(lambda: not procs.read_text().strip(), 20)
            self.path.rmdir()


class StepClock:
    """Builds what steps the wall clock of one process; without a compiler it never does."""

    def __init__(self, folder):
        library = folder / "clock_step.so"
        self.file = folder / "clock_step"
        self.file.write_bytes(struct.pack("q", 0))
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", library, HERE / "clock_step.c"]
        with contextlib.suppress(OSError):
            if subprocess.run([*command, "-ldl"]).returncode == 0:
                self.environment = {"LD_PRELOAD": str(library), "CLOCK_STEP": str(self.file)}
                return
        self.environment = {}

    def __bool__(self):
        return bool(self.environment)

    def step(self, seconds):
        with open(self.file, "r+b") as file:
            file.write(struct.pack("q", seconds))


class Disk:
    """A small tmpfs."""

    def __init__(self, path, size="64m"):
        self.path = path
        path.mkdir()
        options = "size=%s,mode=700" % size
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "loopsight-faults", path], check=True)

    def fill(self):
        with open(self.path / "filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                if file.write(bytes(1 << 16)) == 0:
                    return

    def free(self):
        with contextlib.suppress(FileNotFoundError):
            (self.path / "filler").unlink()

    def unmount(self):
        subprocess.run(["umount", "-l", self.path])


class Watch:
    """When one daemon watched, and what it counted as lost."""

    def __init__(self):
        self.start = None  # ready
        self.end = None
        self.margin = 0  # before the end, in which a stall may not have been written yet
        self.counters = {}
        self.memory_kb = []  # resident, over time
        self.descriptors = []

    def covers(self, start, end):
        return self.start is not None and start > self.start + 2 and end < self.end - self.margin


class Daemon:
    def __init__(self, folder, group=None, clock=None, disk=None, options=()):
        self.folder = folder
        self.group = group
        self.clock = clock
        self.port = free_port()
        self.config = folder / "loopsight.yml"
        self.log = folder / "daemon.log"
        self.lines = (disk.path if disk else folder) / "stalls.jsonl"
        self.options = list(options)
        self.process = None
        self.watches = []
        self.configure(50)

    def configure(self, threshold):
        self.config.write_text(CONFIG % threshold)

    def configure_badly(self, kind):
        text = BAD_CONFIGS[kind]
        self.config.unlink() if text is None else self.config.write_text(text)

    def start(self):
        """Starts it and waits until it is ready; returns the seconds that took."""
        begin = time.monotonic()
        command = [LOOPSIGHT, "run", "--config", self.config, "--export.json-lines", self.lines]
        command += ["--web.listen-address", "127.0.0.1:%d" % self.port, *self.options]
        environment = dict(os.environ, **(self.clock.environment if self.clock else {}))
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL,
                                            env=environment)
        if self.group:
            self.group.add(self.process.pid)
        self.watches.append(Watch())
        assert wait_until(lambda: self.is_ready() or not self.is_alive(), READY), "not ready"
        assert self.is_alive(), "it ended at its start: " + self.log.read_text()[-2000:]
        self.watches[-1].start = time.monotonic()
        return time.monotonic() - begin

    @property
    def watch(self):
        return self.watches[-1]

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def is_ready(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return http_get(self.port, "/-/ready", 5)[0] == 200
        return False

    def kill(self):
        self.ended(margin=3)
        self.process.kill()
        self.process.wait()

    def terminate(self):
        """Asks it to stop; returns the seconds that took."""
        self.ended(margin=1)
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(READY)
        assert status == 0, "status %d at its end" % status
        return time.monotonic() - begin

    def ended(self, margin):
        """Its counters go with it, so they are read before."""
        if self.is_alive():
            time.sleep(1.2)  # they are published once a second
            self.measure()
            self.watch.margin = margin
        self.watch.end = time.monotonic()

    def died(self):
        """It has ended by itself, or the kernel ended it."""
        self.watch.end = time.monotonic()
        self.watch.margin = 8

    def reload(self):
        before = self.log.read_text().count("configuration")
        self.process.send_signal(signal.SIGHUP)
        said = wait_until(lambda: self.log.read_text().count("configuration") > before, READY)
        assert said, "SIGHUP was not acted on"

    def metrics(self, timeout=READY):
        """{name{labels}: value}, the labels as they stand there."""
        status, text = http_get(self.port, "/metrics", timeout)
        assert status == 200, "/metrics answers %d" % status
        found = {}
        for line in text.splitlines():
            if not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                found[name] = float(value)
        return found

    def measure(self):
        """Keeps its counters and what it takes."""
        metrics = self.metrics()
        watch = self.watch
        watch.counters = {
            name: value
            for name, value in metrics.items()
            if name.startswith(("loopsight_events_lost_total", "loopsight_discarded_total"))
        }
        watch.memory_kb.append(self.memory_kb())
        watch.descriptors.append(len(os.listdir("/proc/%d/fd" % self.process.pid)))
        return metrics

    def memory_kb(self):
        status = pathlib.Path("/proc/%d/status" % self.process.pid).read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])

    def loops(self, metrics=None):
        metrics = metrics or self.metrics()
        return sum(v for k, v in metrics.items() if k.startswith("loopsight_loops{"))

    def maps(self):
        """{name: (id, bytes of kernel memory)} of its BPF maps."""
        found = {}
        for path in glob.glob("/proc/%d/fdinfo/*" % self.process.pid):
            with contextlib.suppress(OSError):
                text = pathlib.Path(path).read_text()
                number = re.search(r"^map_id:\s+(\d+)$", text, re.M)
                if number:
                    locked = int(re.search(r"^memlock:\s+(\d+)$", text, re.M)[1])
                    found[int(number[1])] = locked
        names = {one["id"]: one.get("name", "") for one in bpf_objects("map")}
        return {names.get(number, "?"): (number, size) for number, size in found.items()}

    def map_keys(self, name):
        number = self.maps()[name][0]
        listing = subprocess.run([BPFTOOL, "-j", "map", "dump", "id", str(number)],
                                 stdout=subprocess.PIPE)
        found = []
        for one in json.loads(listing.stdout or b"[]"):
            key = one.get("formatted", one)["key"]
            found.append(key if isinstance(key, int) else int.from_bytes(
                bytes(int(byte, 16) for byte in key), sys.byteorder))
        return found

    def ended_processes(self):
        """Those that its tables keep although they have ended."""
        # What lists them is a process itself, so only those that are found twice count.
        first, second = (
            {pid for name in ("processes", "pythons") for pid in self.map_keys(name)}
            for _ in range(2)
        )
        return first & second - {int(name) for name in os.listdir("/proc") if name.isdigit()}

    def forgets_the_ended(self, seconds=130):
        """Mostly it does at once; what slips through is found once a minute."""
        end = time.monotonic() + seconds
        while self.ended_processes():
            if time.monotonic() > end:
                return False
            time.sleep(1)
        return True

    def read_lines(self):
        """All JSON lines, those of rotated and moved files too, and how many are no JSON."""
        lines = []
        broken = 0
        for path in sorted(glob.glob(str(self.lines) + "*")):
            for line in pathlib.Path(path).read_bytes().split(b"\n"):
                if not line:
                    continue
                try:
                    lines.append(json.loads(line))
                except ValueError:
                    broken += 1
        return lines, broken
