"""Forks at a steady rate, its children short-lived: most end at once, some run an event loop, and a
few are fresh interpreters that import asyncio and run one.

    faults_storm.py RATE SECONDS     prints how many of each there were
    faults_storm.py                  such a fresh interpreter
"""
import asyncio
import json
import os
import sys
import time

LOOP_EVERY = 7  # one in so many forks runs a loop
FRESH_EVERY = 160


async def short():
    for _ in range(3):
        await asyncio.sleep(0.001)


def child(number):
    """What a fork does; never returns."""
    try:
        if number % FRESH_EVERY == 0:
            os.execv(sys.executable, [sys.executable, __file__])
        if number % LOOP_EVERY == 0:
            asyncio.run(short())
    finally:
        os._exit(0)


def reap(alive, most):
    """Waits until at most `most` are left."""
    while len(alive) > most:
        alive.discard(os.waitpid(-1, 0)[0])
    while alive:
        pid, _ = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        alive.discard(pid)


def main(rate, seconds):
    start = time.monotonic()
    alive = set()
    forks = loops = fresh = 0
    while time.monotonic() < start + seconds:
        due = int((time.monotonic() - start) * rate)
        while forks < due:
            forks += 1
            pid = os.fork()
            if pid == 0:
                child(forks)
            alive.add(pid)
            fresh += forks % FRESH_EVERY == 0
            loops += forks % FRESH_EVERY != 0 and forks % LOOP_EVERY == 0
            reap(alive, 32)
        reap(alive, 32)
        time.sleep(0.01)
    reap(alive, 0)
    print(json.dumps({"forks": forks, "loops": loops, "fresh": fresh}), flush=True)


if len(sys.argv) > 1:
    import gc

    gc.freeze()
    main(float(sys.argv[1]), float(sys.argv[2]))
else:
    asyncio.run(short())
