"""A loop that hangs when loopsight comes is told at once, with what it hangs on and whose code."""
import subprocess
import textwrap
import time

import pytest
from conftest import LOOPSIGHT, PYTHON, in_suite, read_results, running, skip_without, tracing, wait_until

HANGS = """
import asyncio, select, socket, subprocess, sys, threading, time
lock = threading.Lock(); lock.acquire()
def stuck(how, seconds):
    if how == "sleep": time.sleep(seconds)
    elif how == "lock": lock.acquire(timeout=seconds)
    elif how == "cpu":
        end = time.monotonic() + seconds
        while time.monotonic() < end: sum(range(1000))
    elif how == "recv":
        a, b = socket.socketpair(); a.settimeout(seconds)
        try: a.recv(1)
        except socket.timeout: pass
    elif how == "child": subprocess.run(["sleep", str(seconds)])
async def main(how, seconds):
    await asyncio.sleep(0.1)
    print(time.monotonic(), flush=True)
    stuck(how, seconds)
    print(time.monotonic(), flush=True)
    await asyncio.sleep(0.2)
    time.sleep(0.12)
    await asyncio.sleep(0.2)
if "uvloop" in sys.argv:
    import uvloop; uvloop.install()
if "thread" in sys.argv:
    t = threading.Thread(target=lambda: asyncio.run(main(sys.argv[1], float(sys.argv[2]))))
    t.start(); t.join()
else:
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
"""
CAUSES = {"sleep": "sleep", "lock": "lock", "cpu": "cpu", "recv": "network", "child": "subprocess"}
INTERPRETERS = {
    "3.11": lambda: [PYTHON],
    "3.9": lambda: in_suite("bullseye", "3.9"),
    "3.13": lambda: in_suite("trixie", "3.13"),
    "3.15": lambda: in_suite("forky", "3.15"),
}


def check_hang(tmp_path, interpreter, how, *words, seconds=4):
    """Attaches one second into the hang; returns the line that told of it and the trace's results."""
    out = tmp_path / "hung.json"
    command = [*interpreter, "-c", HANGS, how, str(seconds), *words]
    with running(command, stdout=subprocess.PIPE, text=True) as process:
        began = float(process.stdout.readline())
        time.sleep(1)
        with tracing(out, "--pid", str(process.pid)):
            told = lambda: [one for one in read_results(out).all if one["in_progress"]]
            assert wait_until(told, 3), "nothing is told of the hang"
            first = told()[0]
            ended = float(process.stdout.readline())
            process.wait(20)
    return first, began, ended, read_results(out)


@pytest.mark.parametrize(
    "how, version",
    [(how, version) for how in CAUSES for version in INTERPRETERS if version == "3.11" or how in ("lock", "cpu")],
)
def test_a_hang_is_told_at_once(tmp_path, how, version):
    first, began, ended, results = check_hang(tmp_path, INTERPRETERS[version](), how)
    assert first["at_least"] and first["cause"] == CAUSES[how]
    assert first["culprit"]["function"] == "stuck"
    # The end is told too, never with more than the truth; and then all is as usual.
    whole = [one for one in results.stalls if one["at_least"]]
    assert len(whole) == 1
    assert whole[0]["duration_seconds"] <= ended - began + 0.05
    # What slept when we came is told from when it began to sleep.
    if how != "cpu":
        assert whole[0]["duration_seconds"] >= ended - began - 0.1
    others = [one for one in results.stalls if not one["at_least"]]
    assert [one["cause"] for one in others] == ["sleep"]
    assert others[0]["duration_seconds"] == pytest.approx(0.12, abs=0.05)


@pytest.mark.parametrize("words", [("uvloop",), ("thread",)])
def test_so_is_one_of_another_loop_or_thread(tmp_path, words):
    if "uvloop" in words:
        skip_without("uvloop")
    first, began, ended, results = check_hang(tmp_path, [PYTHON], "sleep", *words)
    assert first["at_least"] and first["culprit"]["function"] == "stuck"
    assert len([one for one in results.stalls if not one["at_least"]]) == 1


def test_a_healthy_loop_is_not_told_of(tmp_path):
    out = tmp_path / "healthy.json"
    code = "import asyncio\nasyncio.run(asyncio.sleep(2.5))"
    with running([PYTHON, "-c", code]) as process:
        time.sleep(0.5)
        with tracing(out, "--pid", str(process.pid)):
            process.wait(20)
    assert read_results(out).all == []


def test_nothing_seen_is_said(tmp_path):
    code = textwrap.dedent(
        """
        import select, time
        for _ in range(20): select.poll().poll(10)
        time.sleep(0.2)
        """
    )
    got = subprocess.run(
        [LOOPSIGHT, "trace", "--", PYTHON, "-c", code], stdout=subprocess.PIPE, text=True, timeout=60
    )
    assert got.returncode == 4
    assert "no event loop was seen" in got.stdout
    assert "no run method of an event loop is among its frames" in got.stdout
    assert "in poll" in got.stdout and "<string>:3" in got.stdout


GREENLETS = {
    "gevent": """
import gevent, sys, time
def stuck():
    print(time.monotonic(), flush=True); time.sleep(4); print(time.monotonic(), flush=True)
    gevent.sleep(0.2); time.sleep(0.12); gevent.sleep(0.2)
gevent.spawn(lambda: [gevent.sleep(0.05) for _ in range(20)])
gevent.spawn_later(0.1, stuck).join()
""",
    "eventlet": """
import warnings; warnings.simplefilter("ignore")
import eventlet, time
def stuck():
    eventlet.sleep(0.1)
    print(time.monotonic(), flush=True); time.sleep(4); print(time.monotonic(), flush=True)
    eventlet.sleep(0.2); time.sleep(0.12); eventlet.sleep(0.2)
eventlet.spawn(stuck).wait()
""",
    "greenlet": """
import asyncio, greenlet, time
def stuck():
    asyncio_loop.switch("rest")
    print(time.monotonic(), flush=True); time.sleep(4); print(time.monotonic(), flush=True)
async def main():
    global asyncio_loop
    asyncio_loop = greenlet.getcurrent()
    below = greenlet.greenlet(stuck)
    below.switch()
    await asyncio.sleep(0.1)
    below.switch()
    await asyncio.sleep(0.2); time.sleep(0.12); await asyncio.sleep(0.2)
asyncio.run(main())
""",
    "uvloop": """
import asyncio, time, uvloop
async def main():
    await asyncio.sleep(0.1)
    print(time.monotonic(), flush=True); time.sleep(4); print(time.monotonic(), flush=True)
    await asyncio.sleep(0.2); time.sleep(0.12); await asyncio.sleep(0.2)
uvloop.new_event_loop().run_until_complete(main())
""",
}
KINDS = {"greenlet": "asyncio"}


@pytest.mark.parametrize("module", GREENLETS)
def test_a_run_method_that_is_not_on_the_stack(tmp_path, module):
    """The callback is a greenlet, whose frames do not lead to the hub; or the run method has no frame."""
    skip_without(module)
    out = tmp_path / "hung.json"
    with running([PYTHON, "-c", GREENLETS[module]], stdout=subprocess.PIPE, text=True) as process:
        began = float(process.stdout.readline())
        time.sleep(1)
        with tracing(out, "--pid", str(process.pid)):
            told = lambda: [one for one in read_results(out).all if one["in_progress"]]
            assert wait_until(told, 3), "nothing is told of the hang"
            ended = float(process.stdout.readline())
            process.wait(20)
    results = read_results(out)
    assert {one["loop"] for one in results.all} == {KINDS.get(module, module)}
    whole = [one for one in results.stalls if one["at_least"]]
    assert len(whole) == 1 and whole[0]["cause"] == "sleep"
    assert whole[0]["duration_seconds"] == pytest.approx(ended - began, abs=0.1)
    others = [one for one in results.stalls if not one["at_least"]]
    assert [one["cause"] for one in others] == ["sleep"]
    assert others[0]["duration_seconds"] == pytest.approx(0.12, abs=0.05)
