"""The daemon under test, and what the kernel says of it and of others."""
import contextlib
import os
import pathlib
import re
import time

from conftest import bpf_objects, free_port, http_get, wait_until
from monitoring import daemon

# What is measured, and what loads it. One CPU each where there are two.
FIRST_CPU, LAST_CPU = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
METER = pathlib.Path("/proc/sys/kernel/bpf_stats_enabled")


@contextlib.contextmanager
def watching(*options):
    """`loopsight run`, attached, from before its probes to after them; yields (pid, port)."""
    port = free_port()
    with daemon(port, *options) as process:
        yield process.pid, port


@contextlib.contextmanager
def meter():
    """The kernel's statistics of BPF programs, put back as they were."""
    before = METER.read_text()
    METER.write_text("1")
    try:
        yield
    finally:
        METER.write_text(before)


def cpu_seconds(pid):
    """CPU time of the threads of a process that live."""
    total = 0
    for path in pathlib.Path("/proc/%d/task" % pid).glob("*/schedstat"):
        with contextlib.suppress(OSError):
            total += int(path.read_text().split()[0])
    return total / 1e9


def cpu_share(pids, seconds):
    """What processes use, in per cent of a core, while `seconds` pass."""
    before, start = sum(map(cpu_seconds, pids)), time.monotonic()
    time.sleep(seconds)
    return (sum(map(cpu_seconds, pids)) - before) / (time.monotonic() - start) * 100


def memory_megabytes(pid):
    """(resident, proportional, maps in the kernel) of the daemon."""
    rollup = pathlib.Path("/proc/%d/smaps_rollup" % pid).read_text()
    resident, proportional = (
        int(re.search(r"^%s:\s+(\d+) kB" % name, rollup, re.M)[1]) / 1024 for name in ("Rss", "Pss")
    )
    maps = {}
    for info in bpf_descriptors(pid):
        if "map_id" in info:
            maps[info["map_id"]] = int(info["memlock"])
    return resident, proportional, sum(maps.values()) / 2**20


def bpf_descriptors(pid):
    for path in pathlib.Path("/proc/%d/fdinfo" % pid).iterdir():
        with contextlib.suppress(OSError):
            yield dict(re.findall(r"^(\w+):\s*(\S+)$", path.read_text(), re.M))


def program_runs(pid):
    """{name: (runs, nanoseconds)} of the programs that a process holds."""
    held = {int(info["prog_id"]) for info in bpf_descriptors(pid) if "prog_id" in info}
    found = {}
    for one in bpf_objects("prog"):
        if one["id"] in held:
            found[one["name"]] = (one.get("run_cnt", 0), one.get("run_time_ns", 0))
    return found


def metric(port, name):
    """The sum of a metric over its labels."""
    page = http_get(port, "/metrics")[1]
    found = re.findall(r"^%s(?:\{[^\n]*\})? (\S+)$" % name, page, re.M)
    return sum(map(float, found))


def wait_for_loops(port, count, seconds=60):
    """Until the daemon counts so many loops; how many it does."""
    wait_until(lambda: metric(port, "loopsight_loops") >= count, seconds)
    return int(metric(port, "loopsight_loops"))
