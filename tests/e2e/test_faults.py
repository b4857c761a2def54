"""What the daemon survives, one fault after another; all of them at random: tests/faults/run."""
import contextlib
import datetime
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from conftest import (
    LOOPSIGHT,
    PYTHON,
    ROOT,
    TARGETS,
    http_get,
    our_programs,
    running,
    wait_until,
)

sys.path.insert(0, str(ROOT / "tests" / "faults"))

from account import Account  # noqa: E402  (found through the path above)
from daemon import Daemon, Disk, MemoryGroup, StepClock  # noqa: E402
from plan import plan  # noqa: E402
from targets import Population, storm  # noqa: E402

LONG = 60  # seconds for what takes one where nothing else runs
ROWS = 2047  # of the loop table


@contextlib.contextmanager
def started(*arguments, **options):
    one = Daemon(*arguments, **options)
    try:
        one.start()
        yield one
    finally:
        if one.is_alive():
            one.process.kill()
            one.process.wait()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """One for the faults that it must live through: short of disk, with a clock and a memory limit
    of its own."""
    folder = tmp_path_factory.mktemp("faults")
    before = our_programs()
    disk = Disk(folder / "disk", "16m")
    group = MemoryGroup("loopsight-test-%d" % os.getpid())
    try:
        with started(folder, group, StepClock(folder), disk) as one:
            one.disk = disk
            one.programs_before = before
            yield one
    finally:
        group.remove()
        disk.unmount()


@pytest.fixture
def population(tmp_path):
    one = Population(tmp_path)
    yield one
    one.kill_all()


@pytest.fixture
def target(population):
    population.start(0, "asyncio", 1)
    return population.slots[0]


def stalls(daemon, target):
    lines, _ = daemon.read_lines()
    return [one for one in lines if one.get("pid") == target.pid and not one["in_progress"]]


def wait_for_stalls(daemon, target, more=2):
    """Until so many more of them are reported."""
    before = len(stalls(daemon, target))
    assert wait_until(lambda: len(stalls(daemon, target)) >= before + more, LONG), before


def lost(daemon, reason):
    metrics = daemon.metrics()
    found = [v for name, v in metrics.items() if 'reason="%s"' % reason in name]
    assert len(found) == 1, reason
    return found[0]


def test_a_seed_stands_for_one_sequence():
    first = [str(one) for one, _ in zip(plan(7), range(200))]
    assert first == [str(one) for one, _ in zip(plan(7), range(200))]
    assert first != [str(one) for one, _ in zip(plan(8), range(200))]


def test_a_daemon_that_is_killed(tmp_path, target):
    before = our_programs()
    with started(tmp_path) as one:
        wait_for_stalls(one, target)
        assert our_programs() - before
        one.process.kill()
        one.process.wait()
        assert wait_until(lambda: not our_programs() - before, LONG), "it left programs"
        written = len(target.stalls())
        assert wait_until(lambda: len(target.stalls()) >= written + 2, LONG), "its target is harmed"
        one.start()
        wait_for_stalls(one, target)
        one.terminate()
    assert not our_programs() - before


def test_targets_that_are_killed(daemon, population):
    """Before they are known, in their poll call, in a callback and in a system call."""
    population.start_and_kill(0.02, 5)
    for slot, command in enumerate(["idle", "spin", "block"]):
        population.start(slot, "asyncio", slot)
        target = population.slots[slot]
        wait_for_stalls(daemon, target, more=1)
        target.tell(command)
        if command != "idle":
            kind = {"spin": "cpu", "block": "pipe"}[command]
            assert wait_until(lambda: target.is_inside(kind), LONG)
        time.sleep(0.3)
        target.kill()
    assert wait_until(lambda: daemon.loops() == 0, LONG)
    assert daemon.forgets_the_ended(), daemon.ended_processes()
    daemon.ended(margin=1)
    assert Account(daemon, population.all).failures == []


def test_processes_that_vanish_while_they_are_looked_at(daemon, target):
    daemon.process.send_signal(signal.SIGSTOP)
    try:  # some that have all ended when it gets to look at them
        gone = storm(rate=100, seconds=2)
    finally:
        daemon.process.send_signal(signal.SIGCONT)
    burst = storm(rate=100, seconds=2)
    assert burst["forks"] > 20 and gone["loops"] > 0
    wait_for_stalls(daemon, target)
    assert wait_until(lambda: daemon.loops() == 1, LONG), "of those that have ended some are left"
    assert daemon.forgets_the_ended(), daemon.ended_processes()


def test_a_loop_table_that_is_full(daemon, population):
    command = [PYTHON, str(TARGETS / "full_table.py"), str(ROWS + 100)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    program = daemon.folder / "faults_full_table.py"
    program.write_bytes((TARGETS / "full_table.py").read_bytes())
    command[1] = str(program)
    with running(command, text=True, **pipes) as process:
        if process.stdout.readline() != "full\n":
            pytest.skip("so many threads cannot be started here")
        assert wait_until(lambda: lost(daemon, "loop_table_full") > 0, LONG)
        population.start(0, "asyncio", 1)
        target = population.slots[0]
        assert wait_until(lambda: len(target.stalls()) >= 2, LONG)
        assert daemon.is_alive()
    wait_for_stalls(daemon, target)  # there is room again
    assert wait_until(lambda: daemon.loops() == 1, LONG)
    assert daemon.log.read_text().count("the loop table (2047 rows) has no more") == 1


def test_a_disk_that_is_full(daemon, target):
    wait_for_stalls(daemon, target)
    said = daemon.log.read_text().count("are lost there until it works")
    before = lost(daemon, "export_json_lines")
    daemon.disk.fill()
    try:
        # What is said once must stay said once, so more than one line has to fail.
        assert wait_until(lambda: lost(daemon, "export_json_lines") >= before + 3, LONG)
    finally:
        daemon.disk.free()
    wait_for_stalls(daemon, target)
    assert daemon.log.read_text().count("are lost there until it works") == said + 1
    assert wait_until(lambda: "is written again" in daemon.log.read_text(), LONG)
    assert daemon.read_lines()[1] == 0, "lines that are no JSON"


def test_clients_that_hang(daemon, target):
    """Slow ones, half-open ones, more than there is room for: the others are served."""
    with contextlib.ExitStack() as stack:
        for number in range(400):
            one = stack.enter_context(socket.socket())
            one.settimeout(LONG)
            one.connect(("127.0.0.1", daemon.port))
            with contextlib.suppress(OSError):  # it had to give way
                if number % 3 == 1:
                    one.sendall(b"GET /met")
                elif number % 3 == 2:
                    one.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        begin = time.monotonic()
        for _ in range(5):
            assert http_get(daemon.port, "/metrics", LONG)[0] == 200
        assert time.monotonic() - begin < 10  # their own time is 12 s and longer
        wait_for_stalls(daemon, target)
    assert http_get(daemon.port, "/api/v1/loops", LONG)[0] == 200


def times_of_kept_stalls(daemon, limit):
    newest = json.loads(http_get(daemon.port, "/api/v1/stalls?limit=%d" % limit, LONG)[1])
    done = [one for one in newest if not one["in_progress"]]
    return {(one["tid"], one["monotonic_ns"]): one["time"] for one in done}


def test_a_clock_that_is_set(daemon, target):
    """Lengths are the same whatever the wall clock does; the times are those of the new one."""
    if not daemon.clock:
        pytest.skip("no C compiler to build what steps one process's clock")
    wait_for_stalls(daemon, target)
    kept = times_of_kept_stalls(daemon, 10)
    try:
        for seconds in (-86400, 365 * 86400, 0):
            daemon.clock.step(seconds)
            wait_for_stalls(daemon, target, more=3)
            newest = stalls(daemon, target)[-1]
            told = datetime.datetime.fromisoformat(newest["time"].replace("Z", "+00:00"))
            assert abs(told.timestamp() - time.time() - seconds) < LONG
            now = times_of_kept_stalls(daemon, 200)
            both = kept.keys() & now.keys()
            assert both and all(kept[key] == now[key] for key in both)
    finally:
        daemon.clock.step(0)
    time.sleep(1.5)  # what was written down last is reported by then
    daemon.ended(margin=1)
    account = Account(daemon, [target])
    assert account.failures == [] and account.found >= 3
    for one in target.stalls():
        for stall in account.around(target.pid, one["start"], one["end"]):
            true = one["end"] - one["start"]
            assert true - 0.002 <= stall["duration_seconds"] < true + 30


def test_little_memory(daemon, target):
    """Near its limit the daemon goes on, or it is started anew and goes on then."""
    if not daemon.group:
        pytest.skip("no cgroup memory controller to make a group in")
    daemon.group.squeeze(2 << 20)
    try:
        target.tell("flood")
        for _ in range(20):
            with contextlib.suppress(OSError, http.client.HTTPException):
                http_get(daemon.port, "/metrics", 10)
            time.sleep(0.1)
    finally:
        daemon.group.release()
    if wait_until(lambda: not daemon.is_alive(), 1):
        assert daemon.process.returncode == -signal.SIGKILL
        daemon.died()
        daemon.start()
    wait_for_stalls(daemon, target)


def test_it_stops_and_leaves_nothing(daemon):
    assert wait_until(lambda: daemon.loops() == 0, LONG)
    daemon.terminate()
    assert not our_programs() - daemon.programs_before


SLEEPER = """
import asyncio, json, time
async def main():
    await asyncio.sleep(0.05)
    start = time.monotonic()
    time.sleep(0.1)
    print(json.dumps({"type": "truth", "start": start, "end": time.monotonic()}), flush=True)
    await asyncio.sleep(0.05)
asyncio.run(main())
"""


def trace_sleeper(*prefix, inside=()):
    """Runs a trace, by a prefix, of a program that stalls once, by another."""
    command = [*prefix, LOOPSIGHT, "trace", "--format", "json", "--"]
    command += [*inside, PYTHON, "-c", SLEEPER]
    got = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         timeout=LONG)
    lines = [json.loads(line) for line in got.stdout.splitlines()]
    return got, {kind: [one for one in lines if one["type"] == kind] for kind in ("truth", "stall")}


def without(*mounts):
    """What runs a command in a mount namespace of its own in which these are not mounted."""
    script = "".join("while umount -l %s 2>/dev/null; do :; done\n" % one for one in mounts)
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script + 'exec "$@"', "sh"]


def test_without_tracefs():
    got, _ = trace_sleeper(*without("/sys/kernel/tracing", "/sys/kernel/debug"))
    assert got.returncode == 1
    assert "mount -t tracefs tracefs /sys/kernel/tracing" in got.stderr
    assert len(got.stderr.splitlines()) == 1, got.stderr


def test_without_bpffs():
    got, lines = trace_sleeper(*without("/sys/fs/bpf"))
    assert got.returncode == 0, got.stderr
    assert "sleep" in [one["cause"] for one in lines["stall"]]


AHEAD = 1_000_000  # seconds


@pytest.fixture
def time_namespace():
    command = ["unshare", "--time", "--fork", "--monotonic", str(AHEAD), "--boottime", str(AHEAD)]
    if subprocess.run([*command, "true"], stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("no time namespace can be made here")
    return command


def test_a_target_with_a_clock_of_its_own(time_namespace):
    """The kernel's times are the same for all, whatever a program's monotonic clock says."""
    got, lines = trace_sleeper(inside=time_namespace)
    assert got.returncode == 0, got.stderr
    (truth,) = lines["truth"]
    (stall,) = [one for one in lines["stall"] if one["cause"] == "sleep"]
    start = stall["monotonic_ns"] / 1e9 + AHEAD
    assert start <= truth["start"] + 0.002
    assert start + stall["duration_seconds"] >= truth["end"] - 0.002
    assert stall["causes"]["sleep"] == pytest.approx(0.1, abs=0.05)


def test_a_trace_with_a_clock_of_its_own(time_namespace):
    """Its times would not be the kernel's, so it says so and ends."""
    got, _ = trace_sleeper(*time_namespace)
    assert got.returncode == 1 and "time namespace" in got.stderr
