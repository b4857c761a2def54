"""What each observer costs a loaded service: throughput, CPU per request, latency."""
import contextlib
import os
import re
import signal
import statistics
import subprocess

import observers
from conftest import PYTHON, free_port, running, wait_for_port
from results import Missing, Plot, Spread, Table
from watching import FIRST_CPU, LAST_CPU, cpu_seconds

OPTIONS = {  # name: (default, with --quick, what)
    "loops": ("uvloop,asyncio", "uvloop", "event loops, by commas"),
    "observers": ("all", "all", "which, by commas"),
    "pairs": (8, 1, "interleaved pairs for each observer and loop"),
    "seconds": (2.0, 0.4, "seconds of load for each figure"),
    "connections": (32, 32, "connections of wrk"),
    "between": (1, 99, "runs between two bare ones"),
    "warm": (1, 0, "whether each service is warmed up first"),
}
COLUMNS = ("observer", "requests/s, to bare", "CPU per request, to bare", "p99 latency, to bare",
           "requests/s", "CPU of the observer itself, % of a core")


class Service:
    """The aiohttp service, pinned, stopped while it does not take the load."""

    def __init__(self, process, port):
        self.pid, self.port = process.pid, port

    @classmethod
    @contextlib.contextmanager
    def start(cls, loop, inside):
        port = free_port()
        command = ["taskset", "-c", str(FIRST_CPU), PYTHON, str(inside.script), str(port), loop]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with running(command, env=inside.environment, **quiet) as process:
            wait_for_port(port, 30)
            service = cls(process, port)
            service.signal(signal.SIGSTOP)
            try:
                yield service
            finally:
                service.signal(signal.SIGCONT)

    def signal(self, number):
        os.kill(self.pid, number)

    @contextlib.contextmanager
    def in_turn(self):
        self.signal(signal.SIGCONT)
        try:
            yield self
        finally:
            self.signal(signal.SIGSTOP)

    def under_load(self, options):
        """(requests a second, CPU seconds a request, p99 seconds)"""
        # wrk counts in whole seconds, but ends at an interrupt with what it has.
        command = ["timeout", "-s", "INT", "--preserve-status", str(options.seconds)]
        command += ["taskset", "-c", str(LAST_CPU), "wrk", "-t1", "-c%d" % options.connections]
        command += ["-d1h", "--latency", "http://127.0.0.1:%d/" % self.port]
        for _ in range(10):  # a machine that is too busy for one request in that time
            before = cpu_seconds(self.pid)
            said = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout
            used = cpu_seconds(self.pid) - before
            found = re.search(r"(\d+) requests in", said)
            if found and int(found[1]) > 0:
                rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
                return rate, used / int(found[1]), p99(said)
        raise SystemExit("no request was answered in %g s: %s" % (options.seconds, said))


def p99(said):
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", said).groups()
    return float(value) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[unit]


class Pairs:
    """The ratios of one observer, each to the bare runs before and after it."""

    def __init__(self):
        self.ratios, self.rates, self.shares = [], [], []

    def add(self, before, measured, after, share):
        bare = [statistics.mean(pair) for pair in zip(before, after)]
        self.ratios.append([a / b for a, b in zip(measured, bare)])
        self.rates.append(measured[0])
        self.shares.append(share)

    def row(self, name):
        ratios = [Spread(column) for column in zip(*self.ratios)]
        share = Spread(self.shares) if name in observers.OUTSIDE else ""
        return (name, *ratios, Spread(self.rates), share)


def observed(name, services, options):
    """One run under an observer: (figures, the observer's own share of a core)."""
    if name in observers.INSIDE:
        with services[name].in_turn() as service:
            return service.under_load(options), 0.0  # in the service's own CPU time
    bare = services["bare"]
    if name not in observers.OUTSIDE:
        with bare.in_turn():
            return bare.under_load(options), 0.0
    with bare.in_turn(), observers.OUTSIDE[name](bare.pid) as pids:
        before = sum(map(cpu_seconds, pids))
        figures = bare.under_load(options)
        return figures, (sum(map(cpu_seconds, pids)) - before) / options.seconds * 100


def what_works(bare, chosen):
    """(the observers of the chosen that can be had here, {the others: why not})"""
    names = [*observers.OUTSIDE, *observers.INSIDE]
    if chosen != "all":
        names = chosen.split(",")
        if unknown := set(names) - {*observers.OUTSIDE, *observers.INSIDE}:
            raise SystemExit("no such observer: %s" % ", ".join(unknown))
        return names, {}
    missing = {"py-spy": Missing(observers.NO_PY_SPY)}
    with bare.in_turn():
        tried = {"bpftrace script": observers.why_not_bpftrace(),
                 "austin": observers.why_not_austin(bare.pid)}
    missing.update({name: why for name, why in tried.items() if why})
    return [name for name in names if name not in missing], missing


def measure_loop(loop, options):
    with contextlib.ExitStack() as stack:
        services = {"bare": stack.enter_context(Service.start(loop, observers.Inside()))}
        for name, inside in observers.INSIDE.items():
            services[name] = stack.enter_context(Service.start(loop, inside))
        names, missing = what_works(services["bare"], options.observers)
        if options.warm:
            for service in services.values():
                with service.in_turn():
                    service.under_load(options)
        pairs, bare_rates = take_turns(["bare again", *names], services, options)
    rows = [("bare", 1.0, 1.0, 1.0, Spread(bare_rates), "")]
    rows += [one.row(name) for name, one in pairs.items()]
    rows += [(name, why, "", "", "", "") for name, why in missing.items()]
    return rows


def take_turns(names, services, options):
    """({observer: its pairs}, [requests a second of the bare runs])"""
    pairs = {name: Pairs() for name in names}
    before, _ = observed("bare", services, options)
    bare_rates = [before[0]]
    for _ in range(options.pairs):
        waiting = []  # for the bare run after them
        for name in names:
            waiting.append((name, *observed(name, services, options)))
            if len(waiting) < options.between and name != names[-1]:
                continue
            after, _ = observed("bare", services, options)
            for one, figures, share in waiting:
                pairs[one].add(before, figures, after, share)
            bare_rates.append(after[0])
            before, waiting = after, []
    return pairs, bare_rates


def measure(options):
    for loop in options.loops.split(","):
        yield Table(
            "servers_" + loop,
            "A saturated aiohttp service on %s, by observer" % loop,
            COLUMNS,
            measure_loop(loop, options),
            "wrk with %d connections; the service on CPU %d, the load on CPU %d; each run between "
            "two bare ones, to whose mean it is compared; 'bare again' is the noise. What runs "
            "inside the service is in its CPU per request."
            % (options.connections, FIRST_CPU, LAST_CPU),
            Plot("bars", 0, (1, 2, 3), "ratio to bare", line_at=1),
        )
