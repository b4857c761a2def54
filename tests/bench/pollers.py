"""What a thread of a Python process pays that polls all day and is no loop."""
import contextlib
import pathlib
import subprocess

from conftest import PYTHON, running
from results import Plot, Spread, Table
from unrelated import built
from watching import LAST_CPU, watching

OPTIONS = {
    "rounds": (15, 1, "interleaved rounds"),
    "slices": (20, 4, "slices of a figure; their 20th percentile counts"),
    "microseconds": (5000, 1000, "length of a slice"),
    "cpu": (LAST_CPU, LAST_CPU, "where it runs"),
}
TARGET = pathlib.Path(__file__).resolve().parent / "targets" / "pollers.py"
KINDS = (
    "a thread of native code",
    "Python, from one place",
    "Python, from eight places in turn",
    "Python, below 40 frames",
)


class Pollers:
    def __init__(self, process, options):
        self.process, self.options = process, options

    @classmethod
    @contextlib.contextmanager
    def start(cls, options):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        command = [PYTHON, str(TARGET), built("libnative_poller.so"), str(options.cpu)]
        with running(command, **pipes) as process:
            yield cls(process, options)

    def figures(self):
        self.process.stdin.write("%d %d\n" % (self.options.slices, self.options.microseconds))
        self.process.stdin.flush()
        return [float(word) for word in self.process.stdout.readline().split()]


def measure(options):
    bases, noise, added = [], [], []
    with Pollers.start(options) as pollers:
        pollers.figures()  # warm
        before = pollers.figures()
        for _ in range(options.rounds):
            between, after = pollers.figures(), pollers.figures()
            noise.append([one - (a + b) / 2 for one, a, b in zip(between, before, after)])
            with watching("--no-bpf-stats"):
                pollers.figures()  # what is judged is judged
                watched = pollers.figures()
            before = pollers.figures()
            added.append([one - (a + b) / 2 for one, a, b in zip(watched, after, before)])
            bases += [between, after]
    rows = [
        (kind, *(Spread(row[i] for row in part) for part in (bases, noise, added)))
        for i, kind in enumerate(KINDS)
    ]
    yield Table(
        "pollers",
        "What a thread that polls and is no loop pays, in nanoseconds a call",
        ("poll call of", "without loopsight", "added: nothing (noise)", "added: loopsight"),
        rows,
        "An empty epoll_wait in a CPython process that is watched; each figure is compared to the "
        "mean of its neighbours without loopsight.",
        Plot("bars", 0, (2, 3), "ns added"),
    )
