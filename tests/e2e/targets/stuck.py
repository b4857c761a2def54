"""Runs for a moment as an event loop should, then hangs in one callback."""
import asyncio
import time


async def main():
    for _ in range(20):
        await asyncio.sleep(0.1)
    time.sleep(600)


asyncio.run(main())
