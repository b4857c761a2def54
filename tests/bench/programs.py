"""What each BPF program costs a hit, by the kernel's statistics."""
import contextlib
import threading
import time

import observers
from conftest import PYTHON, running
from results import Missing, Plot, Spread, Table
from servers import Service
from unrelated import Unrelated
from watching import LAST_CPU, meter, program_runs, wait_for_loops, watching

OPTIONS = {
    "rounds": (5, 1, "interleaved rounds of the three scenes"),
    "seconds": (3.0, 0.4, "seconds of a scene"),
    "connections": (32, 32, "connections of wrk"),
    "slices": (20, 4, "slices of the unrelated process"),
    "microseconds": (5000, 1000, "length of such a slice"),
    "cpu": (LAST_CPU, LAST_CPU, "where the unrelated process runs"),
}
BUSY, UNWATCHED, IDLE = "a busy uvloop", "only unrelated processes", "ten idle loops"
COLUMNS = ("BPF program", "%s: runs/s" % BUSY, "ns a run", "%s: runs/s" % UNWATCHED, "ns a run ",
           "%s: runs/s" % IDLE, "ns a run  ")


def unrelated_until(seconds, unrelated):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        unrelated.figures()


def during(pid, scene):
    """{program: (runs a second, nanoseconds a run)} while a scene is played."""
    before, start = program_runs(pid), time.monotonic()
    scene()
    after, seconds = program_runs(pid), time.monotonic() - start
    costs = {}
    for name, (runs, ns) in after.items():
        more = runs - before.get(name, (0, 0))[0]
        each = (ns - before.get(name, (0, 0))[1]) / more if more else None
        costs[name] = (more / seconds, each)
    return costs


def play(options):
    """{scene: [costs of a round]}"""
    rounds = {BUSY: [], UNWATCHED: [], IDLE: []}
    idle = [PYTHON, str(observers.TARGETS / "many_loops.py"), "10", "2", "0"]
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(Service.start("uvloop", observers.Inside()))
        unrelated = stack.enter_context(Unrelated.start(options))
        stack.enter_context(meter())
        pid, port = stack.enter_context(watching("--no-bpf-stats"))
        with service.in_turn():
            service.under_load(options)
        for _ in range(options.rounds):
            with service.in_turn():
                load = threading.Thread(target=service.under_load, args=(options,))
                rounds[BUSY].append(during(pid, lambda: (load.start(), load.join())))
            rounds[UNWATCHED].append(
                during(pid, lambda: unrelated_until(options.seconds, unrelated)))
            with running(idle):
                wait_for_loops(port, 11)
                rounds[IDLE].append(during(pid, lambda: time.sleep(options.seconds)))
    return rounds


def cells(costs, name):
    rates = [round_[name][0] for round_ in costs if name in round_]
    each = [round_[name][1] for round_ in costs if name in round_ and round_[name][1] is not None]
    return Spread(rates) if rates else "", Spread(each) if each else Missing("no run")


def measure(options):
    rounds = play(options)
    names = sorted({name for costs in rounds.values() for one in costs for name in one})
    ran = [name for name in names
           if any(one.get(name, (0,))[0] for costs in rounds.values() for one in costs)]
    rows = [(name, *(cell for costs in rounds.values() for cell in cells(costs, name)))
            for name in ran]
    rows.sort(key=lambda row: -row[1].median)
    yield Table(
        "programs",
        "What each BPF program costs a run",
        COLUMNS,
        rows,
        "The kernel's own statistics, in which an empty program has 25 to 60 ns. Programs that "
        "never ran are left out: %s." % (", ".join(n for n in names if n not in ran) or "none"),
        Plot("bars", 0, (2, 4, 6), "ns a run"),
    )
