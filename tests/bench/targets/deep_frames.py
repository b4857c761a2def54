"""Sleeps many times in one callback, so many frames deep: deep_frames.py DEPTH SLEEPS

Says "ready" once the daemon knows the loop, then sleeps at each line on standard input.
"""
import asyncio
import sys
import time


def down(depth, sleeps):
    if depth > 1:
        return down(depth - 1, sleeps)
    for _ in range(sleeps):
        time.sleep(0.00002)


async def main():
    for _ in range(20):
        await asyncio.sleep(0.02)
    print("ready", flush=True)
    while sys.stdin.readline():
        down(int(sys.argv[1]), int(sys.argv[2]))
        print("done", flush=True)


# _run_once, run_forever and the rest of asyncio are below: five frames and this module's.
asyncio.run(main())
