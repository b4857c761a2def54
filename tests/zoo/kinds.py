"""Every way of blocking an event loop that the tests know, each with the causes it may have.

A kind is a function that blocks the calling thread for about SECONDS. It runs inside a callback of
a loop. What it needs beforehand (files, peers, children) it prepares in a generator's first step,
outside the measured part:

    @kind("sleep")
    def time_sleep():
        yield                 # everything above ran before the measured part
        time.sleep(SECONDS)

Needs nothing outside the standard library and runs on CPython 3.8 and newer.
"""
import concurrent.futures
import contextlib
import ctypes
import fcntl
import gc
import hashlib
import http.server
import json
import mmap
import multiprocessing
import os
import queue
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

SECONDS = 0.12
KINDS = {}


def kind(*causes, needs=lambda: None):
    """Registers a kind; `needs` gives the reason why it cannot run here, or None."""

    def register(function):
        KINDS[function.__name__] = (function, causes, needs)
        return function

    return register


def later(function, seconds=SECONDS):
    timer = threading.Timer(seconds, function)
    timer.daemon = True
    timer.start()
    return timer


def scratch_file(size):
    file = tempfile.NamedTemporaryFile(dir=os.environ.get("ZOO_SCRATCH") or None)
    block = os.urandom(1 << 20)
    for _ in range(size >> 20):
        file.write(block)
    file.flush()
    os.fsync(file.fileno())
    return file


def child_that(code):
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


# --- sleeping ------------------------------------------------------------------------------------
@kind("sleep")
def time_sleep():
    yield
    time.sleep(SECONDS)


@kind("sleep")
def select_on_nothing():
    yield
    select.select([], [], [], SECONDS)


@kind("sleep")
def poll_on_nothing():
    poller = select.poll()
    yield
    poller.poll(SECONDS * 1000)


@kind("sleep")
def libc_usleep():
    libc = ctypes.CDLL(None)
    yield
    libc.usleep(int(SECONDS * 1e6))


@kind("sleep")
def sqlite_locked():
    path = tempfile.mktemp(suffix=".db")
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("create table t (x)")
    holder.execute("begin exclusive")
    other = sqlite3.connect(path, timeout=SECONDS, check_same_thread=False)
    yield
    with contextlib.suppress(sqlite3.OperationalError):
        other.execute("insert into t values (1)")
    yield
    holder.close()
    other.close()
    os.unlink(path)


@kind("sleep")
def many_short_sleeps():
    yield
    for _ in range(24):
        time.sleep(SECONDS / 24)


# --- computing -----------------------------------------------------------------------------------
@kind("cpu")
def python_loop():
    yield
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        pass


@kind("cpu")
def native_code():
    yield
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 20000)


@kind("cpu")
def json_on_large_data():
    data = [{"key%d" % i: [i, str(i), {"deep": i}]} for i in range(4000)]
    yield
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        json.loads(json.dumps(data))


# --- the kernel's share --------------------------------------------------------------------------
def untouched(size):
    """Anonymous memory of 4 KiB pages, none of which is there yet."""
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(memory, "madvise") and hasattr(mmap, "MADV_NOHUGEPAGE"):
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return memory


@kind("system")
def fork_of_a_large_process():
    # A page in each 2 MiB makes a page table of its own, which a fork copies.
    heap = untouched(4 << 30)
    for at in range(0, 4 << 30, 2 << 20):
        heap[at] = 1
    yield
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, os.WNOHANG)
    yield
    heap.close()
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


@kind("system")
def first_touch_of_memory():
    memory = untouched(1 << 30)
    block = b"x" * (4 << 20)
    yield
    end = time.monotonic() + SECONDS
    for at in range(0, 1 << 30, len(block)):
        memory[at:at + len(block)] = block
        if time.monotonic() > end:
            break
    yield
    memory.close()


@kind("system")
def unmapping_of_memory():
    memories = []
    for _ in range(12):
        memory = untouched(64 << 20)
        for at in range(0, 64 << 20, 4096):
            memory[at] = 1
        memories.append(memory)
    yield
    end = time.monotonic() + SECONDS
    while memories and time.monotonic() < end:
        memories.pop().close()


@kind("system")
def cached_file_read():
    file = scratch_file(32 << 20)
    file.seek(0)
    buffer = bytearray(32 << 20)
    os.preadv(file.fileno(), [buffer], 0)
    yield
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        os.preadv(file.fileno(), [buffer], 0)
    yield
    file.close()


@kind("system", "cpu")  # with glibc 2.41 and a kernel that has it, getrandom is in user mode (vDSO)
def random_bytes():
    yield
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        os.urandom(4 << 20)


@kind("system")
def directory_listing():
    folder = tempfile.mkdtemp(dir=os.environ.get("ZOO_SCRATCH") or None)
    for i in range(2000):
        open(os.path.join(folder, "x" * 200 + str(i)), "w").close()
    descriptor = os.open(folder, os.O_RDONLY)
    libc = ctypes.CDLL(None)
    space = ctypes.create_string_buffer(1 << 20)
    yield
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        os.lseek(descriptor, 0, os.SEEK_SET)
        while libc.syscall(217, descriptor, space, len(space)) > 0:  # getdents64
            pass
    yield
    os.close(descriptor)
    shutil.rmtree(folder)


@kind("gc")
def garbage_collection():
    heap = [[i] for i in range(400000)]
    yield
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        gc.collect()
    yield
    del heap


@kind("import")
def slow_import():
    folder = tempfile.mkdtemp()
    name = "zoo_slow_module_%d" % time.monotonic_ns()
    with open(os.path.join(folder, name + ".py"), "w") as module:
        module.write("import time\nend = time.monotonic() + %f\n" % SECONDS)
        module.write("while time.monotonic() < end: pass\n")
    sys.path.insert(0, folder)
    yield
    __import__(name)
    yield
    sys.path.remove(folder)


@kind("gil")
def held_interpreter_lock():
    ended = []
    begin = threading.Event()

    def spin():
        begin.wait()
        end = time.monotonic() + SECONDS * 5
        while not ended and time.monotonic() < end:
            pass

    others = [threading.Thread(target=spin, daemon=True) for _ in range(3)]
    for one in others:
        one.start()
    yield
    begin.set()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        time.sleep(0)  # gives the lock up, and has to get it back
    ended.append(True)
    yield
    for one in others:
        one.join()


# --- the network ---------------------------------------------------------------------------------
@kind("network")
def tcp_receive():
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    peer, _ = server.accept()
    yield
    later(lambda: peer.sendall(b"x"))
    client.recv(1)
    yield
    for one in (server, client, peer):
        one.close()


@kind("network")
def tcp_receive_with_timeout():
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    client.settimeout(SECONDS)
    yield
    with contextlib.suppress(OSError):
        client.recv(1)
    yield
    client.close()
    server.close()


@kind("network")
def tcp_send_to_slow_reader():
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    peer, _ = server.accept()
    data = b"x" * (16 << 20)  # more than the buffers of both ends hold
    yield

    def drain():
        with contextlib.suppress(OSError):
            while peer.recv(1 << 20):
                pass

    later(drain)
    client.sendall(data)
    yield
    for one in (client, peer, server):
        one.close()


@kind("network")
def tcp_accept():
    server = socket.create_server(("127.0.0.1", 0))
    yield
    later(lambda: socket.create_connection(server.getsockname()).close())
    server.accept()[0].close()
    yield
    server.close()


@kind("network")
def tcp_connect_to_full_backlog():
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(0)
    waiting = []
    for _ in range(4):
        one = socket.socket()
        one.setblocking(False)
        with contextlib.suppress(OSError):
            one.connect(server.getsockname())
        waiting.append(one)
    yield
    with contextlib.suppress(OSError):
        socket.create_connection(server.getsockname(), timeout=SECONDS)
    yield
    for one in [server, *waiting]:
        one.close()


@kind("network")
def udp_receive():
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    yield
    later(lambda: sender.sendto(b"x", receiver.getsockname()))
    receiver.recvfrom(1)
    yield
    receiver.close()
    sender.close()


@kind("network")
def ipv6_receive():
    server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    client = socket.create_connection(server.getsockname()[:2])
    peer, _ = server.accept()
    yield
    later(lambda: peer.sendall(b"x"))
    client.recv(1)
    yield
    for one in (server, client, peer):
        one.close()


def has_no_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        return "no IPv6 loopback: %s" % error
    return None


KINDS["ipv6_receive"] = (ipv6_receive, ("network",), has_no_ipv6)


@kind("network")
def unix_socket_receive():
    near, far = socket.socketpair()
    yield
    later(lambda: far.send(b"x"))
    near.recv(1)
    yield
    near.close()
    far.close()


@kind("network")
def http_request():
    # The slow server is a process of its own, so that this one's interpreter lock stays out of it.
    server = child_that(
        "import http.server, time\n"
        "class Slow(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        time.sleep(%f); self.send_response(204); self.end_headers()\n"
        "    def log_message(self, *a): pass\n"
        "s = http.server.HTTPServer(('127.0.0.1', 0), Slow)\n"
        "print(s.server_port, flush=True)\n"
        "s.handle_request()\n" % SECONDS
    )
    port = int(server.stdout.readline())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    yield
    opener.open("http://127.0.0.1:%d/" % port).close()
    yield
    server.communicate()


class Answered:
    """A peer that answers late, and what wakes the waiting thread otherwise."""

    def __init__(self):
        self.wake_read, self.wake_write = os.pipe()  # made first, so it has the lower number
        self.server = socket.create_server(("127.0.0.1", 0))
        self.client = socket.create_connection(self.server.getsockname())
        self.peer, _ = self.server.accept()

    def answer_later(self):
        later(lambda: self.peer.sendall(b"x"))

    def close(self):
        for one in (self.server, self.client, self.peer):
            one.close()
        os.close(self.wake_read)
        os.close(self.wake_write)


@kind("network")
def select_on_socket_and_wakeup():
    one = Answered()
    yield
    one.answer_later()
    select.select([one.client, one.wake_read], [], [])
    yield
    one.close()


@kind("network")
def poll_on_wakeup_and_socket():
    one = Answered()
    poller = select.poll()
    poller.register(one.wake_read, select.POLLIN)
    poller.register(one.client, select.POLLIN)
    yield
    one.answer_later()
    poller.poll()
    yield
    one.close()


@kind("network")
def epoll_on_wakeup_and_socket():
    one = Answered()
    poller = select.epoll()
    poller.register(one.wake_read, select.EPOLLIN)
    poller.register(one.client, select.EPOLLIN)
    yield
    one.answer_later()
    poller.poll()
    yield
    poller.close()
    one.close()


@kind("pipe")
def poll_ended_by_the_pipe():
    one = Answered()
    poller = select.poll()
    poller.register(one.client, select.POLLIN)
    poller.register(one.wake_read, select.POLLIN)
    yield
    later(lambda: os.write(one.wake_write, b"x"))
    poller.poll()
    yield
    one.close()


@kind("sleep")
def poll_on_wakeup_until_its_time_is_up():
    one = Answered()
    poller = select.poll()
    poller.register(one.wake_read, select.POLLIN)
    yield
    poller.poll(SECONDS * 1000)
    yield
    one.close()


# --- locks ---------------------------------------------------------------------------------------
@kind("lock")
def lock_acquire():
    lock = threading.Lock()
    lock.acquire()
    yield
    later(lock.release)
    lock.acquire()


@kind("lock")
def event_wait():
    event = threading.Event()
    yield
    later(event.set)
    event.wait(SECONDS * 10)


@kind("lock")
def queue_get():
    waiting = queue.Queue()
    yield
    later(lambda: waiting.put(1))
    waiting.get(timeout=SECONDS * 10)


# Whose time is up, that nobody ended.
@kind("sleep")
def lock_acquire_until_its_time_is_up():
    lock = threading.Lock()
    lock.acquire()
    yield
    lock.acquire(timeout=SECONDS)


@kind("sleep")
def event_wait_until_its_time_is_up():
    event = threading.Event()
    yield
    event.wait(SECONDS)


@kind("sleep")
def queue_get_until_its_time_is_up():
    yield
    with contextlib.suppress(queue.Empty):
        queue.Queue().get(timeout=SECONDS)


@kind("lock")
def future_result():
    pool = concurrent.futures.ThreadPoolExecutor(1)
    pool.submit(int).result()
    yield
    pool.submit(time.sleep, SECONDS).result()
    yield
    pool.shutdown()


@kind("lock")
def process_shared_lock():
    lock = multiprocessing.get_context("spawn").Lock()
    lock.acquire()
    yield
    later(lock.release)
    lock.acquire()


def hold_file_lock(call):
    file = tempfile.NamedTemporaryFile()
    holder = child_that(
        "import fcntl, sys, time\n"
        "f = open(%r, 'r+b'); fcntl.%s(f, fcntl.LOCK_EX); print('held', flush=True)\n"
        "sys.stdin.readline(); time.sleep(%f)\n" % (file.name, call, SECONDS)
    )
    holder.stdout.readline()
    return file, holder


@kind("lock")
def file_lock_flock():
    file, holder = hold_file_lock("flock")
    yield
    holder.stdin.write(b"\n")
    holder.stdin.flush()
    fcntl.flock(file, fcntl.LOCK_EX)
    yield
    holder.communicate()
    file.close()


@kind("lock")
def file_lock_fcntl():
    file, holder = hold_file_lock("lockf")
    yield
    holder.stdin.write(b"\n")
    holder.stdin.flush()
    fcntl.lockf(file, fcntl.LOCK_EX)
    yield
    holder.communicate()
    file.close()


# --- children ------------------------------------------------------------------------------------
@kind("subprocess")
def subprocess_run():
    yield
    subprocess.run(["sleep", str(SECONDS)], check=True)


# Waiting for a child by reading its pipe is told from any other pipe by the Python frames.
@kind("subprocess")
def subprocess_output():
    yield
    subprocess.run(["sleep", str(SECONDS)], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@kind("subprocess")
def os_system():
    yield
    os.system("sleep %f" % SECONDS)


@kind("subprocess")
def waitpid():
    child = subprocess.Popen(["sleep", str(SECONDS)])
    yield
    os.waitpid(child.pid, 0)
    yield
    child.returncode = 0


@kind("subprocess", needs=lambda: None if hasattr(os, "pidfd_open") else "no os.pidfd_open")
def pidfd_poll():
    child = subprocess.Popen(["sleep", str(SECONDS)])
    poller = select.poll()
    descriptor = os.pidfd_open(child.pid)
    poller.register(descriptor, select.POLLIN)
    yield
    poller.poll()
    yield
    os.close(descriptor)
    child.wait()


# --- pipes and terminals -------------------------------------------------------------------------
@kind("pipe")
def pipe_read():
    read_end, write_end = os.pipe()
    yield
    later(lambda: os.write(write_end, b"x"))
    os.read(read_end, 1)
    yield
    os.close(read_end)
    os.close(write_end)


@kind("pipe")
def full_pipe_write():
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write_end, b"x" * 65536)
    os.set_blocking(write_end, True)
    yield
    later(lambda: os.read(read_end, 1 << 20))
    os.write(write_end, b"x" * 4096)
    yield
    os.close(read_end)
    os.close(write_end)


@kind("pipe")
def inner_epoll():
    read_end, write_end = os.pipe()
    poller = select.epoll()
    poller.register(read_end, select.EPOLLIN)
    yield
    later(lambda: os.write(write_end, b"x"))
    poller.poll()
    yield
    poller.close()
    os.close(read_end)
    os.close(write_end)


@kind("pipe")
def terminal_read():
    controller, terminal = os.openpty()
    yield
    later(lambda: os.write(controller, b"x\n"))
    os.read(terminal, 1)
    yield
    os.close(controller)
    os.close(terminal)


# What is behind it, another thread, is waited for; where that was not seen it is a kind of pipe.
@kind("lock", "pipe", needs=lambda: None if hasattr(os, "eventfd") else "no os.eventfd")
def eventfd_read():
    descriptor = os.eventfd(0)
    yield
    later(lambda: os.eventfd_write(descriptor, 1))
    os.eventfd_read(descriptor)
    yield
    os.close(descriptor)


# --- the disk ------------------------------------------------------------------------------------
@kind("disk", "cpu", "system")
def write_and_fsync():
    file = scratch_file(0)
    block = os.urandom(8 << 20)  # so that each wait is one of milliseconds on a fast disk too
    yield
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        os.pwrite(file.fileno(), block, 0)
        os.fsync(file.fileno())
    yield
    file.close()


@kind("disk", "cpu", "system")
def cold_read():
    file = scratch_file(64 << 20)
    yield
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        for offset in range(0, 64 << 20, 8 << 20):
            os.pread(file.fileno(), 1 << 20, offset)
    yield
    file.close()


@kind("page_fault", "cpu", "system")
def cold_memory_map():
    file = scratch_file(64 << 20)
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    memory = mmap.mmap(file.fileno(), 64 << 20, prot=mmap.PROT_READ)
    if hasattr(memory, "madvise"):
        memory.madvise(mmap.MADV_RANDOM)
    yield
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for offset in range(0, 64 << 20, 4096 * 5):
            memory[offset]
            if time.monotonic() > end:
                break
    yield
    memory.close()
    file.close()


# --- the host ------------------------------------------------------------------------------------
@kind("stopped")
def stopped_by_signal():
    code = (
        "import os, sys, time, signal\n"
        "sys.stdin.readline(); time.sleep(0.01); os.kill(%d, signal.SIGSTOP)\n"
        "time.sleep(%f); os.kill(%d, signal.SIGCONT)\n" % (os.getpid(), SECONDS, os.getpid())
    )
    helper = child_that(code)
    time.sleep(0.2)  # let it start, so that it does not compete for the CPU
    yield
    helper.stdin.write(b"\n")
    helper.stdin.flush()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        pass
    yield
    helper.communicate()


@kind("other")
def signal_wait():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    yield
    signal.sigtimedwait([signal.SIGUSR1], SECONDS)


@kind("run_queue", "cpu", needs=lambda: None if hasattr(os, "sched_setaffinity") else "no affinity")
def starved_of_cpu():
    before = os.sched_getaffinity(0)
    cpu = {min(before)}
    code = (
        "import os, time\nos.sched_setaffinity(0, %r)\nprint('on', flush=True)\n"
        "end = time.monotonic() + 3\nwhile time.monotonic() < end: pass\n" % cpu
    )
    hogs = [child_that(code) for _ in range(4)]
    for hog in hogs:
        hog.stdout.readline()
    yield
    os.sched_setaffinity(0, cpu)
    end = time.monotonic() + SECONDS * 3
    while time.monotonic() < end:
        pass
    os.sched_setaffinity(0, before)
    yield
    for hog in hogs:
        hog.kill()
        hog.communicate()
