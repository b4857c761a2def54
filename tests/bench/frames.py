"""What reading Python frames adds to a context switch."""
import contextlib
import subprocess

from conftest import PYTHON, running
from observers import TARGETS
from results import Plot, Spread, Table
from watching import LAST_CPU, meter, program_runs, watching

OPTIONS = {
    "depths": ("1,9,17,33,65", "1,9", "frames below the callback"),
    "rounds": (5, 1, "interleaved rounds"),
    "sleeps": (4000, 200, "switches of a figure"),
}


def ask(process):
    process.stdin.write("\n")
    process.stdin.flush()
    process.stdout.readline()


def measure(options):
    depths = [int(one) for one in options.depths.split(",")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    costs = {depth: [] for depth in depths}
    with watching() as (pid, _), meter(), contextlib.ExitStack() as stack:
        script = str(TARGETS / "deep_frames.py")
        programs = {}
        for depth in depths:
            command = ["taskset", "-c", str(LAST_CPU), PYTHON, script]
            command += [str(depth), str(options.sleeps)]
            programs[depth] = stack.enter_context(running(command, **pipes))
            programs[depth].stdout.readline()
        for _ in range(options.rounds):
            for depth, process in programs.items():
                before = program_runs(pid)["sched_switch"][1]
                ask(process)
                costs[depth].append(
                    (program_runs(pid)["sched_switch"][1] - before) / options.sleeps)
    rows = [(depth, Spread(cost)) for depth, cost in costs.items()]
    slope = (rows[-1][1].median - rows[0][1].median) / max(1, depths[-1] - depths[0])
    yield Table(
        "frames",
        "Reading Python frames at a context switch inside a busy phase",
        ("frames below the callback", "ns of sched_switch for each sleep"),
        rows,
        "The kernel's statistics of our program, for two switches: out and in. %.1f ns a frame: "
        "%.0f ns for 33." % (slope, 33 * slope),
        Plot("curve", 0, (1,), "ns"),
    )
