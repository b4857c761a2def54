"""A loop whose code says that it is lines of another file. It does what it is told on standard input:

  stall LINE WIDTH FILE        sleeps in an expression that takes WIDTH columns of a line of FILE
  stall_and_exec LINE WIDTH FILE PROGRAM   the same, then runs another program at once
"""
import asyncio
import os
import sys
import time


def sleeping(file, line, width):
    call = "time.sleep(%s0.12)" % (" " * (width - len("time.sleep(0.12)")))
    return compile("\n" * (line - 1) + call, file, "exec")


def stall(line, width, file):
    exec(sleeping(file, int(line), int(width)), {"time": time})


def stall_and_exec(line, width, file, program):
    stall(line, width, file)
    os.execv(program, [program])


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
        {"stall": stall, "stall_and_exec": stall_and_exec}[told[0]](*told[1:])
        await asyncio.sleep(0.05)
        print("done", flush=True)


asyncio.run(main())
