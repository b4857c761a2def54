"""Polls all day and is no loop: pollers.py LIBRARY CPU. Answers each line "SLICES MICROSECONDS" with
nanoseconds of a poll call: of native code, of one function, of eight in turn, below forty frames."""
import ctypes
import os
import select
import sys
import time

library = ctypes.CDLL(sys.argv[1])
library.native_poll_ns.restype = ctypes.c_double
os.sched_setaffinity(0, {int(sys.argv[2])})
epoll = select.epoll()


def once():
    epoll.poll(0)


places = []
for i in range(8):
    scope = {"epoll": epoll}
    exec("def place():\n" + "\n" * i + "    epoll.poll(0)\n", scope)
    places.append(scope["place"])


def in_turn():
    for place in places:
        place()


def deep(frames, call):
    return call() if frames == 0 else deep(frames - 1, call)


def figure(slices, microseconds, call, calls):
    each = []
    for _ in range(slices):
        begin = now = time.perf_counter_ns()
        count = 0
        while now - begin < microseconds * 1000:
            call()
            count += calls
            now = time.perf_counter_ns()
        each.append((now - begin) / count)
    return sorted(each)[len(each) // 5]


for line in sys.stdin:
    slices, microseconds = map(int, line.split())
    figures = [library.native_poll_ns(slices, microseconds)]
    figures.append(figure(slices, microseconds, once, 1))
    figures.append(figure(slices, microseconds, in_turn, 8))
    figures.append(deep(40, lambda: figure(slices, microseconds, once, 1)))
    print(*figures, flush=True)
