"""From the end of a stall to its line, and from the start of a process to its being watched."""
import contextlib
import json
import pathlib
import select
import subprocess
import tempfile
import time

from conftest import LOOPSIGHT, PYTHON, running, wait_until
from observers import TARGETS
from results import Plot, Spread, Table
from watching import wait_for_loops, watching

OPTIONS = {
    "stalls": (60, 4, "stalls of each way out"),
    "starts": (20, 2, "starts of a process"),
}
STARTER = """
import asyncio, sys, time
async def main():
    print(time.monotonic_ns(), flush=True)
    for _ in range(400):
        time.sleep(0.003)
        await asyncio.sleep(0)
asyncio.run(main())
"""
QUIET = {"stderr": subprocess.DEVNULL}


class Lines:
    """JSON lines as they arrive, each with the moment when it did."""

    def __init__(self, stream):
        self.stream = stream

    def stalls(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for text in self.arrived(end):
                line = json.loads(text)
                if line["type"] == "stall" and not line["in_progress"]:
                    yield line, time.monotonic_ns()


class Pipe(Lines):
    def arrived(self, end):
        if select.select([self.stream], [], [], max(0, end - time.monotonic()))[0]:
            yield from self.stream.readline().splitlines()


class Growing(Lines):
    part = ""

    def arrived(self, _):
        self.part += self.stream.readline()
        if self.part.endswith("\n"):
            yield self.part
            self.part = ""
        else:
            time.sleep(0.001)


def end_of(stall):
    return stall["monotonic_ns"] + stall["duration_seconds"] * 1e9


def stalling():
    command = [PYTHON, str(TARGETS / "many_loops.py"), "1", "0", "10"]
    return running(command, **QUIET)


@contextlib.contextmanager
def tracing(*options):
    """`loopsight trace --all`, attached: a first process of ours has shown up."""
    command = [LOOPSIGHT, "trace", "--all", "--format", "json", *options]
    # Unbuffered: what is read ahead of a line would hide from select().
    with running(command, stdout=subprocess.PIPE, bufsize=0, **QUIET) as process:
        lines = Pipe(process.stdout)
        with stalling():
            next(lines.stalls(60))
        yield lines


def delays(lines, pid, count):
    found = []
    for stall, arrived in lines.stalls(60 + count):
        if stall["pid"] != pid:
            continue
        found.append((arrived - end_of(stall)) / 1e6)
        if len(found) == count:
            break
    return found


def by_file(options, folder):
    path = folder / "stalls.jsonl"
    with watching("--export.json-lines", str(path)) as (_, port), stalling() as process:
        wait_for_loops(port, 1)
        wait_until(path.exists, 30)
        with open(path) as stream:
            stream.seek(0, 2)
            return delays(Growing(stream), process.pid, options.stalls)


def by_start(lines, options):
    """[(milliseconds to the first callback, from there to the first stall that is reported)]"""
    found = []
    for _ in range(options.starts):
        start = time.monotonic_ns()
        with running([PYTHON, "-c", STARTER], stdout=subprocess.PIPE, text=True) as process:
            running_at = int(process.stdout.readline())
            for stall, _ in lines.stalls(30):
                if stall["pid"] == process.pid:
                    watched = stall["monotonic_ns"]
                    found.append(((running_at - start) / 1e6, (watched - running_at) / 1e6))
                    break
    return found


def measure(options):
    with tempfile.TemporaryDirectory() as folder:
        in_file = by_file(options, pathlib.Path(folder))
    with tracing("--threshold", "2ms") as lines:
        starts = by_start(lines, options)
        with stalling() as process:
            in_pipe = delays(lines, process.pid, options.stalls)
    rows = [
        ("end of a stall to its line: `loopsight trace --format json`", Spread(in_pipe)),
        ("end of a stall to its line: `loopsight run --export.json-lines`", Spread(in_file)),
        ("start of a process to its loop's first callback (Python's own start)",
         Spread(before for before, _ in starts)),
        ("first callback to the start of the first stall that is reported (below 0: its own)",
         Spread(after for _, after in starts)),
    ]
    yield Table(
        "latency",
        "How soon, in milliseconds",
        ("from … to …", "ms"),
        rows,
        "The last row by stalls of 3 ms without a pause, at a threshold of 2 ms: how much of a new "
        "loop's life goes unseen.",
        Plot("bars", 0, (1,), "ms", log_y=True),
    )
