"""Many event loops in one process: many_loops.py LOOPS ITERATIONS STALLS

Each loop is asyncio's own in a thread of its own and makes so many iterations and so many stalls
of 60 ms a second. Above a hundred iterations they come in bursts.
"""
import asyncio
import sys
import threading
import time

STALL_SECONDS = 0.06
BURSTS = 100


async def iterate(rate):
    bursts = min(rate / 2, BURSTS)
    debt = 0.0
    while True:
        await asyncio.sleep(1 / bursts)  # two iterations: the timer's, and the task's
        debt += rate / bursts - 2
        while debt >= 1:
            await asyncio.sleep(0)
            debt -= 1


async def stall(rate):
    period = 1 / rate
    while True:
        start = time.monotonic()
        time.sleep(STALL_SECONDS)
        await asyncio.sleep(max(0.001, period - (time.monotonic() - start)))


async def live(iterations, stalls):
    jobs = [iterate(iterations)] if iterations else []
    jobs += [stall(stalls)] if stalls else []
    await asyncio.gather(*jobs)


def main():
    loops, iterations, stalls = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    threading.stack_size(256 * 1024)
    for _ in range(loops - 1):
        thread = threading.Thread(
            target=lambda: asyncio.run(live(iterations, stalls)), daemon=True
        )
        thread.start()
    asyncio.run(live(iterations, stalls))


if __name__ == "__main__":
    main()
