"""Holds a row of the daemon's loop table for each of its threads, until its standard input ends.

    full_table.py THREADS      says "full" once all of them run a loop
"""
import asyncio
import resource
import sys
import threading

count = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (4 * count, 4 * count))
threading.stack_size(256 * 1024)
loops = []
running = threading.Semaphore(0)


def run():
    loop = asyncio.new_event_loop()
    loops.append(loop)
    loop.call_soon(running.release)
    loop.run_forever()
    loop.close()


threads = [threading.Thread(target=run) for _ in range(count)]
for thread in threads:
    thread.start()
for _ in threads:
    running.acquire()
print("full", flush=True)
sys.stdin.read()
for loop in loops:
    loop.call_soon_threadsafe(loop.stop)
for thread in threads:
    thread.join()
