"""Blocks its loop ten times, once told to go, prints when, and ends with its input. With "held",
nobody can read a part of its memory: the list of its threads ends in a page that a userfaultfd never
fills. Needs root and CPython 3.11, whose thread states begin with the addresses of the previous and
of the next. Any other arguments are a command that runs meanwhile.

    held_memory.py [held | COMMAND...]
"""
import asyncio
import ctypes
import fcntl
import json
import mmap
import os
import struct
import subprocess
import sys
import time

SYS_USERFAULTFD = 323  # x86_64
UFFDIO_API = 0xC018AA3F
UFFDIO_REGISTER = 0xC020AA00
UFFD_API = 0xAA
REGISTER_MODE_MISSING = 1

libc = ctypes.CDLL(None, use_errno=True)


def held_page():
    """The address of a page that nobody can read before we have ended, ourselves included."""
    descriptor = libc.syscall(SYS_USERFAULTFD, os.O_CLOEXEC | os.O_NONBLOCK)
    if descriptor < 0:
        print("no userfaultfd: " + os.strerror(ctypes.get_errno()), flush=True)
        os._exit(1)
    fcntl.ioctl(descriptor, UFFDIO_API, bytearray(struct.pack("QQQ", UFFD_API, 0, 0)))
    libc.mmap.restype = ctypes.c_void_p
    page = libc.mmap(None, ctypes.c_size_t(mmap.PAGESIZE), mmap.PROT_READ | mmap.PROT_WRITE,
                     mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, ctypes.c_long(0))
    fcntl.ioctl(descriptor, UFFDIO_REGISTER, bytearray(
        struct.pack("QQQQ", page, mmap.PAGESIZE, REGISTER_MODE_MISSING, 0)))
    return page


def hold_thread_states():
    """Whoever follows the list of threads arrives there after the last one, which is ours."""
    if sys.version_info[:2] != (3, 11):
        print("no CPython 3.11 but", sys.version, flush=True)
        os._exit(1)
    ctypes.pythonapi.PyThreadState_Get.restype = ctypes.c_void_p
    following = ctypes.c_uint64.from_address(ctypes.pythonapi.PyThreadState_Get() + 8)
    assert following.value == 0
    following.value = held_page()


def block():
    start = time.monotonic()
    time.sleep(0.1)
    print(json.dumps([start, time.monotonic(), os.getpid()]), flush=True)


async def line(loop):
    """Until there is one, or no more will come."""
    there = asyncio.Event()
    loop.add_reader(sys.stdin, there.set)
    await asyncio.wait_for(there.wait(), 60)
    loop.remove_reader(sys.stdin)
    sys.stdin.readline()


async def main():
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, time.sleep, 0)  # a pool, so that the list of threads is read
    child = None
    if sys.argv[1:] == ["held"]:
        hold_thread_states()
    elif sys.argv[1:]:
        child = subprocess.Popen(sys.argv[1:])
    print("ready", flush=True)
    await line(loop)
    for _ in range(10):
        await asyncio.sleep(0.4)
        block()
    await line(loop)
    if child:
        child.kill()
        child.wait()
    os._exit(0)  # an orderly end would follow the list itself


asyncio.run(main())
