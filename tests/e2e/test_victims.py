"""Who waited for a stall: what a client and a program measure themselves agrees with the report."""
import json
import os
import statistics
import subprocess

import pytest
from conftest import LOOPSIGHT, PYTHON, running, skip_without, wait_until
from test_metrics import daemon, value

# A server with a client of 200 connections in a process of its own. The first connection has the
# server block; meanwhile each of the others asks and measures how long its answer takes.
SERVER = """
import asyncio, json, os, select, socket, sys, time

CLIENTS, BLOCK, SPREAD = 200, 1.0, 0.3

def client(port):
    def ask(one, what=b"a"):
        one.send(what)
        return time.monotonic()
    trigger, *others = [socket.create_connection(("127.0.0.1", port)) for _ in range(CLIENTS + 1)]
    for one in others:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ask(one); one.recv(1)
    time.sleep(0.2)
    poll = select.epoll()
    asked, took = {}, {}
    for one in others:
        poll.register(one, select.EPOLLIN)
    ask(trigger, b"b")
    time.sleep(0.1)
    for one in others:
        asked[one.fileno()] = ask(one)
        time.sleep(SPREAD / CLIENTS)
    while len(took) < CLIENTS:
        for fd, _ in poll.poll():
            took[fd] = time.monotonic() - asked[fd]
            poll.unregister(fd)
    trigger.recv(1)
    print(json.dumps({"asked": [min(asked.values()), max(asked.values())],
                      "events": len(took), "seconds": sum(took.values()),
                      "longest": max(took.values()), "answered": time.monotonic()}), flush=True)
    os._exit(0)

class Server(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        if data == b"b":
            start = time.monotonic()
            time.sleep(BLOCK)
            print(json.dumps({"blocked": [start, time.monotonic()]}), flush=True)
        self.transport.write(b"k")

async def main(listener, pid):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, sock=listener)
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        await asyncio.sleep(0.05)

listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
pid = os.fork()
if pid == 0:
    client(listener.getsockname()[1])
if sys.argv[1] == "uvloop":
    import uvloop; uvloop.install()
asyncio.run(main(listener, pid))
"""


def sees_readiness():
    """Whether this kernel shows us sockets becoming ready."""
    got = subprocess.run(
        [LOOPSIGHT, "check", "--format", "json"], stdout=subprocess.PIPE, timeout=60
    )
    return any(
        one["name"] == "exact delays" and one["ok"] for one in json.loads(got.stdout)["features"]
    )


def measure(trace, loop, options):
    """What is reported of the stall, what the client measured, and whether it asked in time."""
    traced = trace(PYTHON, "-c", SERVER, loop, options=options)
    assert traced.returncode == 0, traced.errors
    truth = {}
    for line in traced.output.splitlines():
        truth.update(json.loads(line))
    (stall,) = traced.results.around(*truth["blocked"])
    inside = truth["blocked"][0] < truth["asked"][0] and truth["asked"][1] < truth["blocked"][1]
    return stall["delayed"], truth, inside


# A busy host may not let the client ask while the server blocks, or not let it have its answers at
# once: then what it measures tells nothing of the stall.
ATTEMPTS = 4


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_what_a_client_measures_lies_within_the_bounds(trace, loop):
    skip_without(loop)
    for _ in range(ATTEMPTS):
        delayed, truth, inside = measure(trace, loop, [])
        if inside:
            break
    else:
        pytest.skip("this host is too busy: the client never asked in time")
    assert delayed["events_at_least"] <= truth["events"] <= delayed["events"], delayed
    assert delayed["events"] <= truth["events"] + 5  # nothing else is there to become ready
    # The client's time goes on until its answer comes back: only the stall's part is bounded.
    handled = truth["answered"] - truth["blocked"][1]
    assert delayed["seconds"] >= truth["seconds"] - truth["events"] * handled
    assert not delayed["exact"]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_what_a_client_measures_is_what_is_reported(trace, loop):
    skip_without(loop)
    if not sees_readiness():
        pytest.skip("this kernel has neither fentry nor the tracepoint sk_data_ready")
    seen = []
    for _ in range(ATTEMPTS):
        delayed, truth, inside = measure(trace, loop, ["--exact-delays"])
        if not inside:
            continue
        seen.append((delayed, truth))
        if not delayed["exact"]:  # something else became ready as well
            assert delayed["events_at_least"] <= truth["events"] <= delayed["events"], delayed
            continue
        assert delayed["events"] == truth["events"]
        assert delayed["seconds"] <= truth["seconds"]
        assert delayed["longest_seconds"] <= truth["longest"]
        if delayed["seconds"] >= truth["seconds"] * 0.95:
            return
    if not seen:
        pytest.skip("this host is too busy: the client never asked in time")
    raise AssertionError(seen)


# A timer is shown by a poll call, then a callback of a socket blocks past its deadline.
TIMERS = """
import asyncio, json, socket, sys, threading, time

ROUNDS = 9

async def main():
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    late, spans = [], []
    def block():
        ours.recv(1)
        start = time.monotonic()
        time.sleep(0.15)
        spans.append([start, time.monotonic()])
    loop.add_reader(ours, block)
    for number in range(ROUNDS):
        await asyncio.sleep(0.05)
        due = time.monotonic() + 0.1
        loop.call_later(0.1, lambda: late.append(time.monotonic() - due))
        threading.Timer(0.04, theirs.send, (b"x",)).start()
        while min(len(late), len(spans)) <= number:
            await asyncio.sleep(0.3)
    print(json.dumps({"late": late, "spans": spans}), flush=True)

if sys.argv[1] == "uvloop":
    import uvloop; uvloop.install()
asyncio.run(main())
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_what_a_timer_measures(trace, loop):
    skip_without(loop)
    for attempt in range(2):
        traced = trace(PYTHON, "-c", TIMERS, loop)
        assert traced.returncode == 0, traced.errors
        truth = json.loads(traced.output)
        differences = []
        for span, late in zip(truth["spans"], truth["late"]):
            (stall,) = traced.results.around(*span)
            reported = stall["delayed"]["timer_lateness_seconds"]
            if reported is not None:  # where the host was busy the timer may not have been due
                differences.append(reported - late)
        assert len(differences) >= len(truth["late"]) // 2, traced.results.stalls
        difference = statistics.median(differences)
        if abs(difference) < 0.001:
            break
    assert abs(difference) < 0.001, differences


# A thread computes, so that the loop, which gives the interpreter lock up in each short call, gets
# it back only after the switch interval.
CONVOY = """
import asyncio, json, sys, threading, time

def spin():
    while not over:
        sum(range(100))

async def main(rounds):
    for _ in range(rounds):
        await asyncio.sleep(0.05)
        start = time.monotonic()
        for _ in range(20):
            time.sleep(0.0002)
        print(json.dumps([start, time.monotonic()]), flush=True)

over = False
thread = threading.Thread(target=spin)
thread.start()
asyncio.run(main(int(sys.argv[1])))
over = True
"""


def test_a_lock_convoy_is_told_from_one_long_wait(trace):
    traced = trace(PYTHON, "-c", CONVOY, "10")
    assert traced.returncode == 0, traced.errors
    convoys = []
    for line in traced.output.splitlines():
        for stall in traced.results.around(*json.loads(line)):
            waits = stall["gil_waits"]
            # On a busy host the other thread may not run all the time.
            if stall["cause"] != "gil" or not waits["convoy"]:
                continue
            assert "each system call" in stall["advice"]
            convoys.append(waits["count"])
    assert convoys, [(one["causes"], one["gil_waits"]) for one in traced.results.stalls]
    assert all(3 <= count <= 60 for count in convoys)  # 20 calls, each with one wait or a few


def test_the_daemon_counts_them(tmp_path):
    script = tmp_path / ("convoy-%d.py" % os.getpid())
    script.write_text(CONVOY)
    name = {"workload": script.name}
    with daemon() as (port, _):
        with running([PYTHON, script, "1000"], stdout=subprocess.DEVNULL):
            assert wait_until(
                lambda: value(port, "loopsight_gil_wait_seconds_total", **name) > 0.5, 30
            )
            assert value(port, "loopsight_gil_wait_seconds_total", holder=script.stem + ":spin", **name) > 0.3
            assert wait_until(lambda: value(port, "loopsight_gil_waits_total", **name) > 50, 30)
            # Each sleep is a timer, and each of them fires.
            assert wait_until(
                lambda: value(port, "loopsight_timer_lateness_seconds_count", **name) >= 3, 30
            )
            waiting = value(port, "loopsight_loop_polls_total", wait="yes", **name)
            assert waiting > 0
            assert value(port, "loopsight_loop_polls_total", wait="no", **name) > 0
            assert value(port, "loopsight_delayed_events_total", **name) >= 0
