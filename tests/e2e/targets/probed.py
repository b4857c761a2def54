"""Does what CPython's own probes tell of, one thing an iteration, and prints what it measured.

probed.py gc | imports FOLDER | calls FOLDER | functions
"""
import asyncio
import contextlib
import fcntl
import gc
import json
import os
import pathlib
import subprocess
import sys
import threading
import time


def say(**facts):
    print(json.dumps(facts), flush=True)


async def collections():
    gc.disable()
    kept = [[number] for number in range(250000)]
    for _ in range(7):
        await asyncio.sleep(0.02)
        start = time.monotonic()
        gc.collect()
        end = time.monotonic()
        say(kind="gc", start=start, end=end, generation=2)
    del kept


async def imports(folder):
    for name, text in (
        ("ls_outer", "import ls_middle"),
        ("ls_middle", "import ls_inner"),
        ("ls_inner", "import time; time.sleep(0.06)"),
    ):
        (folder / (name + ".py")).write_text(text)
    sys.path.insert(0, str(folder))
    await asyncio.sleep(0.05)
    start = time.monotonic()
    import ls_outer  # noqa: F401

    say(kind="import", start=start, end=time.monotonic(), name="ls_outer")


def later(function):
    threading.Timer(0.12, function).start()


async def calls(folder):
    fifo = folder / "ls.fifo"
    with contextlib.suppress(FileExistsError):
        os.mkfifo(fifo)
    held = open(folder / "ls.lock", "w")
    fcntl.flock(held, fcntl.LOCK_EX)
    mine = open(folder / "ls.lock")

    def open_fifo():
        later(lambda: os.close(os.open(fifo, os.O_WRONLY)))
        open(fifo).close()

    def take_lock():
        later(lambda: fcntl.flock(held, fcntl.LOCK_UN))
        fcntl.flock(mine, fcntl.LOCK_EX)

    for event, argument, call in (
        ("open", str(fifo), open_fifo),
        ("os.system", "sleep", lambda: os.system("sleep 0.12")),
        ("fcntl.flock", str(mine.fileno()), take_lock),
        ("subprocess.Popen", "sleep", lambda: subprocess.call(["sleep", "0.12"])),
        ("time.sleep", None, lambda: time.sleep(0.12)),
    ):
        await asyncio.sleep(0.1)
        start = time.monotonic()
        call()
        say(kind="call", start=start, end=time.monotonic(), event=event, argument=argument)


def counted():
    return 1


async def functions():
    await asyncio.sleep(0.05)
    start = time.monotonic()
    for _ in range(20000):
        counted()
    say(kind="functions", start=start, end=time.monotonic(), calls=20000)


async def main(what, folder=None):
    await asyncio.sleep(0.2)
    if what == "gc":
        await collections()
    elif what == "imports":
        await imports(pathlib.Path(folder))
    elif what == "calls":
        await calls(pathlib.Path(folder))
    else:
        await functions()
    await asyncio.sleep(0.05)


asyncio.run(main(*sys.argv[1:]))
