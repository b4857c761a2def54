"""An honest service: told to on standard input, it blocks its loop twenty times in a function of its
own and prints when.
"""
import asyncio
import json
import sys
import time

TIMES = 20


def blocks():
    start = time.monotonic()
    time.sleep(0.08)
    print(json.dumps([start, time.monotonic()]), flush=True)


async def main():
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        for _ in range(TIMES):
            await asyncio.sleep(0.15)
            blocks()
        await asyncio.sleep(0.01)
        print("done", flush=True)


asyncio.run(main())
