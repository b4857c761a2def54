"""For each number that it reads, stalls that many times, then says "done"."""
import asyncio
import sys
import time


async def tick():
    while True:  # a loop that never polls is not seen
        await asyncio.sleep(0.05)


async def main():
    loop = asyncio.get_running_loop()
    ticking = loop.create_task(tick())
    while True:
        line = await loop.run_in_executor(None, sys.stdin.readline)
        if not line:
            break
        for _ in range(int(line)):
            await asyncio.sleep(0.05)
            time.sleep(0.08)
        await asyncio.sleep(0.05)
        print("done", flush=True)
    ticking.cancel()


asyncio.run(main())
