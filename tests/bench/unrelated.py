"""What a process that is no Python pays for loopsight on its host."""
import contextlib
import os
import subprocess

from conftest import LOOPSIGHT, running
from results import Plot, Spread, Table
from watching import LAST_CPU, meter, watching

OPTIONS = {
    "rounds": (25, 1, "interleaved rounds"),
    "slices": (20, 4, "slices of a figure; their 20th percentile counts"),
    "microseconds": (5000, 1000, "length of a slice"),
    "cpu": (LAST_CPU, LAST_CPU, "where it runs"),
}
OPERATIONS = ("context switch, with a pipe's write and read", "getppid", "read of /dev/zero",
              "epoll_wait of an empty set")
SWITCH_ALONE = "context switch alone (what a switch adds, less twice what getppid does)"


def built(name):
    """A program of ours for the bench, built beside the daemon."""
    build = os.path.dirname(os.path.dirname(os.path.realpath(LOOPSIGHT)))
    return os.path.join(build, "tests", name)


class Unrelated:
    def __init__(self, process, options):
        self.process, self.options = process, options

    @classmethod
    @contextlib.contextmanager
    def start(cls, options):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with running([built("unrelated"), str(options.cpu)], **pipes) as process:
            yield cls(process, options)

    def figures(self):
        self.process.stdin.write("%d %d\n" % (self.options.slices, self.options.microseconds))
        self.process.stdin.flush()
        return [float(word) for word in self.process.stdout.readline().split()]


def added(measured, before, after):
    """Nanoseconds more than the neighbours: of each call, and of a switch without its calls."""
    more = [one - (a + b) / 2 for one, a, b in zip(measured, before, after)]
    return [*more, more[0] - 2 * more[1]]


def rounds(unrelated, count):
    """({state: [figures]}, [figures without loopsight])"""
    states = {"noise": [], "off": [], "on": []}
    bases = []
    before = unrelated.figures()
    for _ in range(count):
        between, after = unrelated.figures(), unrelated.figures()
        states["noise"].append(added(between, before, after))
        bases += [between, after]
        with watching("--no-bpf-stats"):
            plain = unrelated.figures()
            with meter():
                metered = unrelated.figures()
        before = unrelated.figures()
        bases.append(before)
        states["off"].append(added(plain, after, before))
        states["on"].append(added(metered, after, before))
    return states, bases


def measure(options):
    with Unrelated.start(options) as unrelated:
        unrelated.figures()  # warm
        states, bases = rounds(unrelated, options.rounds)
    rows = []
    for i, name in enumerate((*OPERATIONS, SWITCH_ALONE)):
        base = Spread(row[i] for row in bases) if i < len(OPERATIONS) else ""
        rows.append((name, base, *(Spread(row[i] for row in one) for one in states.values())))
    yield Table(
        "unrelated",
        "What an unrelated process pays, in nanoseconds a call",
        ("call", "without loopsight", "added: nothing (noise)", "added: loopsight, no statistics",
         "added: loopsight, with the kernel's statistics"),
        rows,
        "Each figure is compared to the mean of its neighbours without loopsight. 'No statistics' "
        "is `--no-bpf-stats`.",
        Plot("bars", 0, (2, 3, 4), "ns added"),
    )
