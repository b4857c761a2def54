"""Holds a row of the daemon's loop table for each of its threads, until its standard input ends.

    full_table.py THREADS      says "full" once all of them poll
"""
import os
import select
import sys
import threading

epoll = select.epoll()  # one for all: a loop is a thread and an instance
reader, writer = os.pipe()
epoll.register(reader, select.EPOLLIN)
threading.stack_size(128 * 1024)
threads = [threading.Thread(target=epoll.poll) for _ in range(int(sys.argv[1]))]
for thread in threads:
    thread.start()
print("full", flush=True)
sys.stdin.read()
os.write(writer, b"x")  # level-triggered: it wakes each of them
for thread in threads:
    thread.join()
