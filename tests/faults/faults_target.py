"""A real event loop that stalls by a seeded schedule and by command, and writes each stall down.

    faults_target.py SEED asyncio|uvloop LOG

Commands come on standard input, one a line: idle (no stall for a while), block (a system call that
never returns), spin (a callback that computes for a minute), flood (stall after stall), stop. Each
line of the log is a JSON object: {"begin": …, "kind": …} before a stall, {"start": …, "end": …,
"kind": …} after it, {"iterations": …} at the end (asyncio only). Times are CLOCK_MONOTONIC in
seconds.
"""
import asyncio
import json
import os
import random
import selectors
import sys
import threading
import time

LONG = (0.08, 0.25)  # seconds: over any threshold that the tests set
SHORT = (0.002, 0.015)  # under each


def by_sleep(seconds):
    time.sleep(seconds)


def by_computing(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def by_lock(seconds):
    lock = threading.Lock()
    lock.acquire()
    threading.Timer(seconds, lock.release).start()
    lock.acquire()


def by_pipe(seconds):
    reader, writer = os.pipe()
    threading.Timer(seconds, os.write, (writer, b"x")).start()
    os.read(reader, 1)
    os.close(reader)
    os.close(writer)


WAYS = {"sleep": by_sleep, "cpu": by_computing, "lock": by_lock, "pipe": by_pipe}


class CountingSelector(selectors.EpollSelector):
    calls = 0

    def select(self, timeout=None):
        CountingSelector.calls += 1
        return super().select(timeout)


class Target:
    def __init__(self, seed, log):
        self.random = random.Random(seed)
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.quiet_until = 0
        self.flood_until = 0
        self.ended = asyncio.Event()

    def say(self, **fields):
        os.write(self.log, json.dumps(fields).encode() + b"\n")

    def stall(self, kind, seconds):
        self.say(begin=time.monotonic(), kind=kind)
        start = time.monotonic()
        WAYS[kind](seconds)
        self.say(start=start, end=time.monotonic(), kind=kind)

    async def run(self):
        asyncio.get_running_loop().add_reader(0, self.on_command)
        while not self.ended.is_set():
            now = time.monotonic()
            if now < self.flood_until:
                self.stall("sleep", LONG[0])
                await asyncio.sleep(0.001)
                continue
            await asyncio.sleep(self.random.uniform(0.05, 0.3))
            if time.monotonic() < self.quiet_until:
                continue
            if self.random.random() < 0.7:
                self.stall(self.random.choice(list(WAYS)), self.random.uniform(*LONG))
            else:
                time.sleep(self.random.uniform(*SHORT))
        self.say(iterations=CountingSelector.calls)

    def on_command(self):
        line = os.read(0, 4096).decode()
        if not line:
            self.ended.set()
        for command in line.split():
            if command == "stop":
                self.ended.set()
            elif command == "idle":
                self.quiet_until = time.monotonic() + 3
            elif command == "flood":
                self.flood_until = time.monotonic() + 6
            elif command == "block":
                self.say(begin=time.monotonic(), kind="pipe")
                os.read(os.pipe()[0], 1)
            elif command == "spin":
                self.say(begin=time.monotonic(), kind="cpu")
                by_computing(60)


def new_loop(name):
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.SelectorEventLoop(CountingSelector())


def main():
    seed, name, log = sys.argv[1:]
    loop = new_loop(name)
    asyncio.set_event_loop(loop)
    loop.run_until_complete(Target(int(seed), log).run())


main()
