"""An asyncio program whose loop stalls again and again, in functions that are called like markup.

    page_stalls.py SECONDS        prints "ready" once the first stalls are over
"""
import asyncio
import sys
import time
import types

NAMES = ["<script>window.owned=1</script>", "<img src=x onerror=window.owned=1>", "checkout"]


def block(seconds):
    time.sleep(seconds)


def named(name):
    code = block.__code__.replace(
        co_name=name, co_qualname=name, co_filename="/srv/<svg onload=window.owned=1>.py"
    )
    return types.FunctionType(code, globals())


def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


async def handle(function, seconds):
    function(seconds)


async def main(seconds):
    end = time.monotonic() + seconds
    functions = [named(name) for name in NAMES]
    said = False
    while time.monotonic() < end:
        for function in functions:
            await handle(function, 0.12)
            await asyncio.sleep(0.05)
        await handle(spin, 0.08)
        if not said:
            print("ready", flush=True)
            said = True
        await asyncio.sleep(1)


asyncio.run(main(float(sys.argv[1])))
