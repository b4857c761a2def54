"""What one user may do to a daemon that watches everybody. Runs until its input ends.

  codes PROCESSES          each stalls without end in functions that it has just made
  rows THREADS             each a loop of its own, which idles
  records PROCESSES        each sleeps 51 ms in its loop, without end
  labels PROCESSES         forks of one loop, each with a made-up name
  processes PROCESSES      forks of one loop, which idle
  hang PROCESSES           loops with memory that nobody can read (needs to be started as root, becomes
                           user 65534)
  gc                       collects in its loop without end
"""
import asyncio
import ctypes
import fcntl
import gc
import mmap
import os
import select
import signal
import struct
import sys
import threading
import time

USER = 65534
libc = ctypes.CDLL(None, use_errno=True)


def end_with_the_parent():
    libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() == 1:
        os._exit(0)


def forked(count, work):
    """Children that end with us."""
    for number in range(count):
        if os.fork() == 0:
            end_with_the_parent()
            work(number)
            os._exit(0)


def until_the_end():
    print("ready", flush=True)
    sys.stdin.read()


async def idle():
    while True:
        await asyncio.sleep(5)


def chain_of(number, depth=60):
    """A function that sleeps below so many others, all of them new."""
    lines = ["def f0(): time.sleep(0.051)"]
    for level in range(1, depth):
        lines.append("def f%d(): f%d()  # %d" % (level, level - 1, number))
    space = {"time": time}
    exec(compile("\n" * (number % 30000) + "\n".join(lines), "/flood/%d.py" % number, "exec"), space)
    return space["f%d" % (depth - 1)], space


async def make_codes():
    kept, number = [], 0
    while True:
        number += 1
        function, space = chain_of(number)
        kept.append(space)  # so that no memory is used again
        function()
        await asyncio.sleep(0)


async def stall():
    while True:
        time.sleep(0.051)
        await asyncio.sleep(0)


def set_title(name):
    """Writes over the arguments that /proc/self/cmdline shows."""
    fields = open("/proc/self/stat").read().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    text = ("python3\0" + name).encode()[: end - start - 1]
    ctypes.memmove(start, text + b"\0" * (end - start - len(text)), end - start)


async def stall_now_and_then():
    while True:
        time.sleep(0.06)
        await asyncio.sleep(2)


def hold_thread_states():
    """As tests/e2e/targets/held_memory.py: who follows the list of threads arrives at a page that a
    userfaultfd never fills."""
    descriptor = libc.syscall(323, os.O_CLOEXEC | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, 0xC018AA3F, bytearray(struct.pack("QQQ", 0xAA, 0, 0)))
    libc.mmap.restype = ctypes.c_void_p
    page = libc.mmap(None, ctypes.c_size_t(mmap.PAGESIZE), mmap.PROT_READ | mmap.PROT_WRITE,
                     mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, ctypes.c_long(0))
    fcntl.ioctl(descriptor, 0xC020AA00, bytearray(struct.pack("QQQQ", page, mmap.PAGESIZE, 1, 0)))
    ctypes.pythonapi.PyThreadState_Get.restype = ctypes.c_void_p
    ctypes.c_uint64.from_address(ctypes.pythonapi.PyThreadState_Get() + 8).value = page


async def hang():
    await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0)
    hold_thread_states()
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)
    end_with_the_parent()  # what was asked for before is forgotten with a change of user
    await idle()


async def collect():
    while True:
        for _ in range(1000):
            gc.collect(0)
        await asyncio.sleep(0)


def thread_with_a_loop():
    asyncio.run(idle())


def main():
    what, count = sys.argv[1], int((sys.argv + ["1"])[2])
    if what == "rows":
        threading.stack_size(128 << 10)
        for _ in range(count):
            threading.Thread(target=thread_with_a_loop, daemon=True).start()
        until_the_end()
        os._exit(0)
    work = {"codes": make_codes, "records": stall, "processes": idle, "hang": hang, "gc": collect,
            "labels": stall_now_and_then}[what]

    def run(number):
        if what == "labels":
            set_title("made_up_%d.py" % number)
        asyncio.run(work())

    forked(count, run)
    until_the_end()


main()
