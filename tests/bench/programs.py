"""What each BPF program costs a hit, by the kernel's statistics."""
import contextlib
import threading
import time

import observers
from growth import looping
from results import Missing, Plot, Spread, Table
from servers import Service
from unrelated import Unrelated
from watching import LAST_CPU, meter, program_runs, wait_for_loops, watching

OPTIONS = {
    "rounds": (5, 1, "interleaved rounds of the scenes"),
    "seconds": (3.0, 0.4, "seconds of a scene"),
    "connections": (32, 32, "connections of wrk"),
    "slices": (20, 4, "slices of the unrelated process"),
    "microseconds": (5000, 1000, "length of such a slice"),
    "cpu": (LAST_CPU, LAST_CPU, "where the unrelated process runs"),
}
BUSY, ALONE, UNWATCHED, IDLE = SCENES = ("uvloop under wrk", "a busy loop alone",
                                         "unrelated processes", "ten idle loops")
COLUMNS = ("BPF program", *(form % scene for scene in SCENES for form in ("%s: runs/s", "%s: ns")))


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
    rounds = {scene: [] for scene in SCENES}
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
            for scene, loops, rate in ((ALONE, 1, 20000), (IDLE, 10, 2)):
                with looping(loops, rate, 0):
                    wait_for_loops(port, 1 + loops)
                    rounds[scene].append(during(pid, lambda: time.sleep(options.seconds)))
    return rounds


def cells(costs, name):
    rates = [round_[name][0] for round_ in costs if name in round_]
    each = [round_[name][1] for round_ in costs if name in round_ and round_[name][1] is not None]
    return Spread(rates or [0.0]), Spread(each) if each else Missing("no run")


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
        "The kernel's own statistics, in which an empty program has 25 to 60 ns. wrk polls and "
        "switches too, unwatched; the busy loop alone is asyncio's with 20,000 iterations a "
        "second. What ran a few times a second ran with cold caches. Never ran: %s."
        % (", ".join(name for name in names if name not in ran) or "none"),
        Plot("bars", 0, (2, 4, 6, 8), "ns a run", log_y=True),
    )
