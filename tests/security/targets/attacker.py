"""A loop whose code says that it is lines of another file. It does what it is told on standard input:

  stall LINE WIDTH FILE                    sleeps in WIDTH columns of a line of FILE, from the tenth
  stall_and_exec LINE WIDTH FILE PROGRAM   in its next line, then becomes another program
"""
import asyncio
import functools
import os
import sys
import time


@functools.lru_cache(None)  # the same code object again: by its second stall its names are known
def sleeping(file, line, width):
    call = "time.sleep(%s0.12)" % (" " * (width - len("time.sleep(0.12)")))
    return compile("\n" * (line - 1) + "if here: %s\nelse: %s" % (call, call), file, "exec")


def stall(line, width, file, here=True):
    exec(sleeping(file, int(line), int(width)), {"time": time, "here": here})


async def main():
    loop = asyncio.get_running_loop()
    for _ in range(3):  # it is known as a loop, by code of its own
        await asyncio.sleep(0.05)
    print("ready", flush=True)
    while True:
        told = (await loop.run_in_executor(None, sys.stdin.readline)).split()
        if not told:
            return
        await asyncio.sleep(0.05)
        # The same code, whose names are known by then, in a line that was not asked for yet.
        stall(*told[1:4], here=told[0] == "stall")
        await asyncio.sleep(0.001)  # with the next poll call the stall has ended
        if told[0] == "stall_and_exec":
            os.execv(told[4], told[4:])
        await asyncio.sleep(0.05)
        print("done", flush=True)


asyncio.run(main())
