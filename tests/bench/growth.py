"""The daemon's CPU and memory as there is more to watch."""
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

from conftest import PYTHON, running, wait_until
from observers import TARGETS
from results import Missing, Plot, Spread, Table
from watching import cpu_seconds, cpu_share, memory_megabytes, metric, wait_for_loops, watching

OPTIONS = {
    "loops": ("1,10,100,200,1000", "1,20", "numbers of loops"),
    "iterations": ("100,1000,10000,30000", "1000", "iterations a second of ten loops"),
    "stalls": ("1,10,100,500", "50", "stalls a second, of up to fifty loops"),
    "sleepers": ("0,100,1000,10000", "100", "sleeping processes on the host"),
    "windows": (3, 1, "windows of a figure"),
    "seconds": (3.0, 0.4, "seconds of a window"),
    "settle": (1.0, 0.0, "seconds before them"),
    "fresh": (1, 0, "whether each row has a daemon of its own"),
}
CPU, RESIDENT, PROPORTIONAL, MAPS = ("daemon's CPU, % of a core", "RSS, MB", "PSS, MB",
                                     "its maps in the kernel, MB")
THREADS = 100  # loops in one process


@contextlib.contextmanager
def looping(loops, iterations, stalls):
    """So many loops, each with so many iterations and stalls a second."""
    with contextlib.ExitStack() as stack:
        for first in range(0, loops, THREADS):
            arguments = [min(THREADS, loops - first), iterations, stalls]
            command = [PYTHON, str(TARGETS / "many_loops.py"), *map(str, arguments)]
            stack.enter_context(running(command, stderr=subprocess.DEVNULL))
        yield


def figures(pid, options):
    time.sleep(options.settle)
    shares = [cpu_share([pid], options.seconds) for _ in range(options.windows)]
    return Spread(shares), *memory_megabytes(pid)


def with_rate(pid, port, name, options):
    """(how much a metric grows in a second, the figures meanwhile)"""
    before, start = metric(port, name), time.monotonic()
    measured = figures(pid, options)
    return (metric(port, name) - before) / (time.monotonic() - start), measured


def numbers(text):
    return [int(one) for one in text.split(",")]


def by_loops(watch, options):
    for count in numbers(options.loops):
        with watch() as (pid, port), looping(count, 2, 0):
            seen = wait_for_loops(port, count)
            yield (seen, *figures(pid, options))


def by_iterations(watch, options):
    for rate in numbers(options.iterations):
        with watch() as (pid, port), looping(10, rate / 10, 0):
            wait_for_loops(port, 10)
            name = "loopsight_loop_iteration_seconds_count"
            seen, measured = with_rate(pid, port, name, options)
            yield (round(seen), *measured)


def by_stalls(watch, options):
    for rate in numbers(options.stalls):
        loops = max(1, min(50, rate // 5))
        with watch() as (pid, port), looping(loops, 0, rate / loops):
            wait_for_loops(port, loops)
            seen, measured = with_rate(pid, port, "loopsight_stalls_total", options)
            yield (round(seen, 1), *measured)


SLEEPERS = """
import os, sys
pids = [os.posix_spawn("/bin/sleep", ["sleep", "3600"], {}) for _ in range(int(sys.argv[1]))]
print("ready", flush=True)
sys.stdin.read()
"""


def own_cgroup():
    """A cgroup for what is about to be started; None where there is no cgroup 2."""
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        if line.split()[2] == "cgroup2":
            group = pathlib.Path(line.split()[1]) / ("loopsight-bench-%d" % os.getpid())
            with contextlib.suppress(OSError):
                group.mkdir()
                return group
    return None


def room_for_processes():
    """How many more processes this host lets us have."""
    limits = [int(pathlib.Path("/proc/sys/kernel/pid_max").read_text()),
              int(pathlib.Path("/proc/sys/kernel/threads-max").read_text())]
    for path in ("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"):
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(pathlib.Path(path).read_text()))
    running_now = int(pathlib.Path("/proc/loadavg").read_text().split()[3].split("/")[1])
    return min(limits) - running_now - 1000


def removed(group):
    """Whether a cgroup could be removed: once its last process is gone."""
    with contextlib.suppress(OSError):
        group.rmdir()
    return not group.exists()


@contextlib.contextmanager
def sleeping(count):
    """So many sleeping processes in a cgroup and a session of their own."""
    group = own_cgroup()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}

    def enter():
        if group:
            with contextlib.suppress(OSError):
                (group / "cgroup.procs").write_text(str(os.getpid()))

    process = subprocess.Popen([PYTHON, "-c", SLEEPERS, str(count)], preexec_fn=enter,
                               start_new_session=True, **pipes)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if group and not wait_until(lambda: removed(group), 60):
            print("%s is left behind" % group, file=sys.stderr)


def by_sleepers(watch, options):
    """With one loop; what their start cost the daemon, then what their being there does."""
    for count in numbers(options.sleepers):
        if count > (room := room_for_processes()):
            yield (count, Missing("this host has room for %d processes" % room), "", "", "", "")
            continue
        with watch() as (pid, port), looping(1, 2, 0):
            wait_for_loops(port, 1)
            before = cpu_seconds(pid)
            with sleeping(count) as process:
                process.stdout.readline()
                time.sleep(options.settle)
                spent = (cpu_seconds(pid) - before) * 1000
                yield (count, *figures(pid, options), spent)


CURVES = (
    ("loops", "loops", by_loops, "Two iterations a second each, a hundred loops to a process."),
    ("iterations", "iterations/s", by_iterations, "Ten loops in one process, no stalls."),
    ("stalls", "stalls/s", by_stalls, "Each of 60 ms in `time.sleep`, in up to fifty loops."),
    ("sleepers", "other processes", by_sleepers,
     "One loop, and so many processes of `sleep`. The last column is what the daemon used while "
     "they were started, and for a second."),
)


def measure(options):
    with contextlib.ExitStack() as stack:
        watch = watching
        if not options.fresh:
            shared = stack.enter_context(watching())
            watch = lambda: contextlib.nullcontext(shared)  # noqa: E731
        yield from tables(watch, options)


def tables(watch, options):
    for key, what, curve, note in CURVES:
        columns = [what, CPU, RESIDENT, PROPORTIONAL, MAPS]
        if key == "sleepers":
            columns.append("their start, ms of CPU")
        rows = list(curve(watch, options))
        plot = Plot("curve", 0, (1, 2), "% of a core, MB", log_x=all(row[0] > 0 for row in rows),
                    log_y=True)
        yield Table("growth_" + key, "The daemon by " + what, columns, rows, note, plot)
