"""How long the daemon takes to stop, with everything attached."""
import contextlib
import os
import pathlib
import shutil
import tempfile
import time

from conftest import PYTHON, running, wait_until
from growth import looping, numbers
from results import Plot, Spread, Table
from watching import bpf_descriptors, wait_for_loops, watching

OPTIONS = {
    "interpreters": ("1,10,50", "1", "numbers of different interpreters"),
    "loops": ("1,10,100,1000", "2", "numbers of loops"),
    "rounds": (3, 1, "interleaved rounds"),
}


def probe_links(pid):
    return sum(info.get("link_type") == "uprobe_multi" for info in bpf_descriptors(pid))


@contextlib.contextmanager
def interpreters(folder, count):
    """So many processes, each of an interpreter file of its own."""
    source = os.path.realpath(PYTHON)
    env = {**os.environ, "PYTHONHOME": "/usr"}
    with contextlib.ExitStack() as stack:
        for number in range(count):
            copy = folder / ("python%d" % number)
            if not copy.exists():
                shutil.copy(source, copy)
            sleep = "import time; time.sleep(3600)"
            stack.enter_context(running([str(copy), "-S", "-c", sleep], env=env))
        yield


def stop_of(targets, ready):
    """Seconds from the signal to the daemon's end; the targets live on."""
    with targets:
        with watching() as (pid, port):
            ready(pid, port)
            start = time.monotonic()
        return time.monotonic() - start


def with_interpreters(folder, count):
    def ready(pid, _):
        # Two links each, and two of the interpreter that runs this; on kernels before 6.6 there
        # are none of this kind, and time must do.
        wait_until(lambda: probe_links(pid) >= 2 * (count + 1), 20)

    return stop_of(interpreters(folder, count), ready)


def with_loops(count):
    return stop_of(looping(count, 2, 0), lambda _, port: wait_for_loops(port, count))


def curve(key, what, counts, stop, rounds):
    found = {count: [] for count in counts}
    for _ in range(rounds):
        for count in counts:
            found[count].append(stop(count))
    rows = [(count, Spread(seconds)) for count, seconds in found.items()]
    return Table(
        "stopping_" + key, "Stopping the daemon, by " + what, (what, "seconds to its end"), rows,
        "From SIGTERM, with all default probes attached.",
        Plot("curve", 0, (1,), "s", log_x=True))


def measure(options):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        yield curve("interpreters", "interpreters", numbers(options.interpreters),
                    lambda count: with_interpreters(folder, count), options.rounds)
    yield curve("loops", "loops", numbers(options.loops), with_loops, options.rounds)
