"""A light load for service.py: mostly the good page, now and then each of the bad ones.

    visitors.py PORT SECONDS
"""
import asyncio
import itertools
import sys
import time

import aiohttp


async def visit(session, base, page):
    try:
        async with session.get(base + page) as answer:
            await answer.read()
    except aiohttp.ClientError:
        pass


async def main(port, seconds):
    base = "http://127.0.0.1:%d/" % port
    end = time.monotonic() + seconds
    pages = itertools.cycle(["retry", "login", "price", "stock", "report", "order"])
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < end:
            await asyncio.gather(*(visit(session, base, "home") for _ in range(5)))
            await visit(session, base, next(pages))
            await asyncio.sleep(0.4)


asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
