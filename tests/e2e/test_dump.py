"""`loopsight dump` says once what every loop and every thread of a process does now."""
import json
import os
import signal
import subprocess
import textwrap
import time

import pytest
from conftest import LOOPSIGHT, PYTHON, in_suite, running, skip_without

HANGS = """
import asyncio, ctypes, os, socket, subprocess, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
lock = threading.Lock()
def hold(seconds):
    with lock: time.sleep(seconds)
def stuck(how, seconds):
    if how == "sleep": time.sleep(seconds)
    elif how == "lock":
        threading.Thread(target=hold, args=[seconds], daemon=True).start()
        time.sleep(0.1)
        lock.acquire(timeout=seconds)
    elif how == "cpu":
        end = time.monotonic() + seconds
        while time.monotonic() < end: sum(range(1000))
    elif how in ("recv", "timeout"):
        server = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(server.getsockname())
        if how == "timeout": client.settimeout(seconds)
        client.recv(1)
    elif how == "child": subprocess.run(["sleep", str(seconds)])
    elif how == "fifo": open(sys.argv[3])
def keep_lock(seconds): ctypes.PyDLL(None).sleep(int(seconds))
async def main(how, seconds):
    pool = ThreadPoolExecutor(3)
    for _ in range(3): pool.submit(time.sleep, 0.05)
    await asyncio.sleep(0.2)
    print("now", flush=True)
    if how == "gil": threading.Thread(target=keep_lock, args=[seconds], daemon=True).start()
    if how in ("idle", "gil"): await asyncio.sleep(seconds)
    else: stuck(how, seconds)
if "uvloop" in sys.argv:
    import uvloop
    # No frame of asyncio's stands outside of its run method, which has none.
    uvloop.new_event_loop().run_until_complete(main(sys.argv[1], float(sys.argv[2])))
else:
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
"""
SECONDS = 20
# Cause, system call, and what the target holds.
TRUTHS = {
    "sleep": ("sleep", "clock_nanosleep", None),
    "lock": ("lock", "futex", None),
    "recv": ("network", "recvfrom", "127.0.0.1:"),
    "timeout": ("network", "poll", "127.0.0.1:"),
    "child": ("subprocess", "wait4", "pid "),
    "fifo": ("disk", "openat", "/fifo"),
}
INTERPRETERS = {
    "3.9": lambda: in_suite("bullseye", "3.9"),
    "3.13": lambda: in_suite("trixie", "3.13"),
    "3.14": lambda: in_suite("forky", "3.14"),
    "3.15": lambda: in_suite("forky", "3.15"),
}


def dump(*arguments):
    return subprocess.run([LOOPSIGHT, "dump", *arguments], capture_output=True, text=True, timeout=60)


def threads_of(process):
    got = dump("--format", "json", "--pid", str(process.pid))
    assert got.returncode == 0, got.stderr
    line = json.loads(got.stdout)
    assert line["type"] == "dump" and line["pid"] == process.pid
    return line["threads"]


def hanging(interpreter, *words):
    return running([*interpreter, "-c", HANGS, *words], stdout=subprocess.PIPE, text=True)


def loop_of(threads):
    loops = [one for one in threads if one["loop"]]
    assert len(loops) == 1, threads
    return loops[0]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("how", TRUTHS)
def test_what_a_loop_hangs_on(tmp_path, how, loop):
    if loop == "uvloop":
        skip_without("uvloop")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with hanging([PYTHON], how, str(SECONDS), str(fifo), loop) as process:
        process.stdout.readline()
        time.sleep(1)
        one = loop_of(threads_of(process))
    cause, syscall, target = TRUTHS[how]
    assert one["tid"] == process.pid and one["loop"] == {"kind": loop, "state": "busy"}
    assert one["cause"] == cause and one["state"] == "waits" and one["stood_still"]
    assert one["wait"]["syscall"] == syscall
    assert target is None or target in one["wait"]["target"]
    assert 0.7 < one["seconds"] < 5
    assert one["culprit"]["function"] == "stuck" and one["advice"]


@pytest.mark.parametrize("version", INTERPRETERS)
@pytest.mark.parametrize("how", ["timeout", "cpu", "idle"])
def test_each_version(how, version):
    with hanging(INTERPRETERS[version](), how, str(SECONDS)) as process:
        process.stdout.readline()
        time.sleep(0.5)
        threads = threads_of(process)
    one = loop_of(threads)
    if how == "idle":
        assert one["loop"] == {"kind": "asyncio", "state": "idle"}
        assert one["cause"] is None and one["culprit"] is None
    else:
        assert one["loop"] == {"kind": "asyncio", "state": "busy"}
        assert one["cause"] == TRUTHS.get(how, ("cpu",))[0] and one["culprit"]["function"] == "stuck"
    # The idle threads of the pool are there too, each with where it waits.
    workers = [t for t in threads if t["frames"] and t["frames"][0]["function"].endswith("_worker")]
    assert len(workers) == 3 and all(t["state"] == "waits" and not t["loop"] for t in workers)


def test_who_has_the_interpreter_lock():
    with hanging([PYTHON], "gil", str(SECONDS)) as process:
        process.stdout.readline()
        time.sleep(0.5)
        threads = threads_of(process)
    one = loop_of(threads)
    holder = [t for t in threads if t["has_gil"]]
    assert len(holder) == 1 and holder[0]["culprit"]["function"] == "keep_lock"
    assert one["cause"] == "gil" and one["gil_holder"]["tid"] == holder[0]["tid"]
    assert one["gil_holder"]["frames"][0]["function"] == "keep_lock"


def test_an_idle_uvloop_is_not_busy():
    skip_without("uvloop")
    with hanging([PYTHON], "idle", str(SECONDS), "", "uvloop") as process:
        process.stdout.readline()
        time.sleep(0.5)
        assert loop_of(threads_of(process))["loop"] == {"kind": "uvloop", "state": "idle"}


def test_a_stopped_process():
    with hanging([PYTHON], "cpu", str(SECONDS)) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        one = loop_of(threads_of(process))
        process.send_signal(signal.SIGCONT)
    assert one["cause"] == "stopped" and one["blame"] == "host"


def test_the_text_says_it_first():
    with hanging([PYTHON], "sleep", str(SECONDS)) as process:
        process.stdout.readline()
        time.sleep(1)
        got = dump("--pid", str(process.pid))
    lines = got.stdout.splitlines()
    assert "1 of 1 loop busy; 4 Python threads" in lines[0]
    assert f"thread {process.pid} " in lines[1] and "asyncio loop, blocked by sleep: waits for 1." in lines[1]
    assert lines[2].startswith("    in stuck (")
    # Threads that do the same stand together.
    assert sum("threads " in line for line in lines[1:]) == 1


def test_many_threads_are_all_told():
    code = textwrap.dedent(
        """
        import threading, time
        for _ in range(1500): threading.Thread(target=time.sleep, args=[30], daemon=True).start()
        print("now", flush=True)
        time.sleep(30)
        """
    )
    with running([PYTHON, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        threads = threads_of(process)
    assert len(threads) == 1501 and all(t["python"] and t["frames"] for t in threads)


def test_what_cannot_be_looked_at():
    with running(["sleep", "30"]) as other, hanging([PYTHON], "sleep", str(SECONDS)) as process:
        process.stdout.readline()
        got = dump("--pid", f"{other.pid},{process.pid},{2**22 + 1}", "--format", "json")
        # One that can is shown all the same.
        assert [json.loads(line)["pid"] for line in got.stdout.splitlines()] == [process.pid]
    assert got.returncode == 1
    assert f"pid {other.pid} (sleep)" in got.stderr and "no such process" in got.stderr
    assert dump().returncode == 2
