"""On what, exactly: waits that several descriptors, threads or the kernel's own locks stand behind,
and the kernel's share of CPU time. The zoo has the plain kinds; here are the libraries that wait in
native code, and what a report says of each beside the cause."""
import textwrap

import pytest
from conftest import PYTHON, ZOO, in_suite, parse_lines
from outcomes import around, compare
from registry import venv

# Each block says when it began and ended, and what is true of it.
PRELUDE = """
import asyncio, json, sys, threading, time
def told(block, *arguments):
    start = time.clock_gettime(time.CLOCK_MONOTONIC)
    block(*arguments)
    end = time.clock_gettime(time.CLOCK_MONOTONIC)
    print(json.dumps({"start": start, "end": end, "function": block.__name__}), flush=True)
async def several(block, *arguments, times=4):
    await asyncio.sleep(0.5)
    for _ in range(times):
        told(block, *arguments)
        await asyncio.sleep(0.15)
"""


def stalls_of(trace, interpreter, code, count=4, options=()):
    traced = trace(interpreter, "-c", PRELUDE + textwrap.dedent(code), timeout=120, options=options)
    assert traced.returncode == 0, traced.errors
    found = []
    for one in parse_lines(traced.output):
        (stall,) = around(traced.results.stalls, one["start"], one["end"])
        assert stall["culprit"]["function"] == one["function"], stall["culprit"]
        found.append(stall)
    assert len(found) == count
    return found


def cause_of(stall):
    """Where the host was busy: of the rest."""
    rest = {k: v for k, v in stall["causes"].items() if k not in ("run_queue", "throttled")}
    return max(rest, key=rest.get)


# --- behind one descriptor or another --------------------------------------------------------------
def test_zeromq_waits_for_its_peer(trace):
    """libzmq's send and recv poll an eventfd that its own I/O thread writes."""
    python = venv("3.11", "pyzmq") / "bin" / "python"
    peer = ("import zmq, time; s = zmq.Context().socket(zmq.REP); "
            "print(s.bind_to_random_port('tcp://127.0.0.1'), flush=True)\n"
            "while True: s.recv(); time.sleep(0.15); s.send(b'y')")
    stalls = stalls_of(trace, python, """
        import subprocess, zmq
        peer = subprocess.Popen([sys.executable, "-c", %r], stdout=subprocess.PIPE, text=True)
        socket = zmq.Context().socket(zmq.REQ)
        socket.connect("tcp://127.0.0.1:" + peer.stdout.readline().strip())
        def request():
            socket.send(b"x")
            socket.recv()
        asyncio.run(several(request))
        peer.kill()
        """ % peer)
    for stall in stalls:
        assert cause_of(stall) == "network", (stall["causes"], stall["waited_for"])
        assert "zmq.asyncio" in stall["advice"]
        assert stall["waited_for"]["comm"].startswith("ZMQbg")


def test_libcurl_waits_for_the_answer(trace):
    python = venv("3.11", "pycurl") / "bin" / "python"
    stalls = stalls_of(trace, python, """
        import http.server, pycurl
        class Slow(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                time.sleep(0.15)
                self.send_response(204)
                self.end_headers()
            def log_message(self, *_): pass
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        def fetch():
            curl = pycurl.Curl()
            curl.setopt(curl.URL, "http://127.0.0.1:%d/" % server.server_port)
            curl.setopt(curl.NOPROXY, "*")
            curl.perform()
            curl.close()
        asyncio.run(several(fetch))
        """)
    for stall in stalls:
        assert cause_of(stall) == "network", stall["causes"]
        assert stall["wait"]["target"].startswith("127.0.0.1:"), stall["wait"]


def test_a_native_thread_pool_says_that_it_worked(trace):
    """polars computes on threads of its own while the loop's waits on a futex."""
    python = venv("3.11", "polars") / "bin" / "python"
    stalls = stalls_of(trace, python, """
        import polars
        frame = polars.DataFrame({"k": polars.int_range(0, 6_000_000, eager=True) % 1000,
                                  "v": polars.int_range(0, 6_000_000, eager=True)})
        def summarise():
            (frame.lazy().sort("v", "k").group_by("k").agg(polars.col("v").quantile(0.9))).collect()
        summarise()
        asyncio.run(several(summarise))
        """)
    waited = [stall for stall in stalls if cause_of(stall) == "lock"]
    for stall in waited:
        told = stall["waited_for"]
        # Its own short wait is not what took long.
        assert not told or not told["wait"] or told["wait"]["seconds"] > stall["duration_seconds"] / 4
    assert any(one["waited_for"] and one["waited_for"]["ran_seconds"] for one in waited), stalls


# --- locks that are not the program's own ----------------------------------------------------------
@pytest.mark.parametrize("version", ["3.11", "3.13"])
def test_a_thread_that_cannot_start_for_want_of_the_interpreter_lock(trace, version):
    interpreter = [PYTHON] if version == "3.11" else in_suite("trixie", version)
    code = PRELUDE + textwrap.dedent("""
        stop = []
        def crunch():
            while not stop: sum(range(2000))
        def start():
            thread = threading.Thread(target=time.sleep, args=(0.01,))
            thread.start()
        async def main():
            threads = [threading.Thread(target=crunch) for _ in range(20)]
            for one in threads: one.start()
            await several(start)
            stop.append(1)
        asyncio.run(main())
        """)
    traced = trace(*interpreter, "-c", code, timeout=120)
    truths = [one for one in parse_lines(traced.output) if one["end"] - one["start"] > 0.05]
    assert truths
    for one in truths:
        (stall,) = around(traced.results.stalls, one["start"], one["end"])
        assert cause_of(stall) == "gil", (stall["causes"], stall["waited_for"])
        assert "asyncio.Event" not in stall["advice"]


def test_the_process_s_own_memory_map(trace):
    """mprotect of much memory by another thread holds the lock that mmap and page faults need."""
    stalls = stalls_of(trace, PYTHON, """
        import ctypes, mmap
        libc = ctypes.CDLL(None)
        libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        SIZE = 3 << 30
        big = mmap.mmap(-1, SIZE + (1 << 29), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        big.madvise(mmap.MADV_NOHUGEPAGE)
        for at in range(0, SIZE, 1 << 22): big[at:at + (1 << 22):4096] = b"x" * 1024
        address = ctypes.addressof(ctypes.c_char.from_buffer(big))
        def seal():
            for _ in range(4):
                libc.mprotect(address, SIZE + (1 << 29), mmap.PROT_READ)
                libc.mprotect(address, SIZE + (1 << 29), mmap.PROT_READ | mmap.PROT_WRITE)
        count = 0
        def load():
            mmap.mmap(-1, 1 << 20)
        def touch():
            global count
            count += 1
            big[SIZE + count * 4096 * 50]
        async def main():
            await asyncio.sleep(0.5)
            for block in (load, touch) * 2:
                thread = threading.Thread(target=seal)
                thread.start()
                await asyncio.sleep(0.02)
                told(block)
                while thread.is_alive(): await asyncio.sleep(0.05)
                await asyncio.sleep(0.1)
        asyncio.run(main())
        """, options=["--threshold", "10ms"])
    for stall in stalls:
        assert stall["cause"] in ("lock", "run_queue") and cause_of(stall) == "lock", stall["causes"]
        if stall["cause"] == "lock":
            assert stall["blame"] == "code"
            assert stall["wait"]["target"] == "the process's memory map"
            assert "memory map" in stall["advice"]


# --- the kernel's share ----------------------------------------------------------------------------
KERNEL = {
    "fork_of_a_large_process": (("clone",), "fork"),
    "first_touch_of_memory": (("page fault (minor)",), "first touched"),
    "unmapping_of_memory": (("munmap",), "took back"),
    "cached_file_read": (("preadv", "preadv2"), "asyncio.to_thread"),
    "random_bytes": (("getrandom",), "os.urandom"),
    "directory_listing": (("getdents64",), "asyncio.to_thread"),
}


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_what_the_kernel_did_is_named(trace, loop):
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    traced = trace(PYTHON, ZOO / "stall_zoo.py", "--loop", loop, *KERNEL)
    outcomes = compare(parse_lines(traced.output), traced.results.stalls)
    assert len(outcomes) == len(KERNEL)
    for one in outcomes:
        calls, advice = KERNEL[one.kind]
        assert one.cause_is_right and one.culprit_is_right, (one.kind, one.stall)
        told = one.stall["system"]
        assert told["call"] in calls, (one.kind, told)
        assert told["seconds"] == pytest.approx(one.stall["causes"]["system"], abs=0.002)
        if one.cause == "system":
            assert one.stall["blame"] == "code"
            assert advice in one.stall["advice"], one.stall["advice"]
    forked = next(one.stall for one in outcomes if one.kind == "fork_of_a_large_process")
    assert forked["system"]["address_space_bytes"] > 4 << 30
    touched = next(one.stall for one in outcomes if one.kind == "first_touch_of_memory")
    assert touched["system"]["minor_faults"] > 1000


def test_a_program_in_user_mode_is_not_the_kernel_s(trace):
    traced = trace(PYTHON, ZOO / "stall_zoo.py", "python_loop", "native_code", "json_on_large_data")
    outcomes = compare(parse_lines(traced.output), traced.results.stalls)
    for one in outcomes:
        assert one.cause_is_right, (one.kind, one.stall["causes"])
        assert one.stall["causes"].get("system", 0) < one.true_seconds / 2


# --- what the kernel slept in ----------------------------------------------------------------------
def test_the_kernel_s_functions_of_a_wait(trace):
    with open("/proc/kallsyms") as symbols:
        if all(line.startswith("0" * 16) for line, _ in zip(symbols, range(100))):
            pytest.skip("the kernel shows no addresses in /proc/kallsyms")
    traced = trace(PYTHON, ZOO / "stall_zoo.py", "time_sleep", "pipe_read", "lock_acquire")
    kernel = {one.kind: one.stall["wait"]["kernel"] for one in
              compare(parse_lines(traced.output), traced.results.stalls)}
    assert any("nanosleep" in name for name in kernel["time_sleep"]), kernel
    assert any("pipe" in name for name in kernel["pipe_read"]), kernel
    assert any("futex" in name for name in kernel["lock_acquire"]), kernel
    for names in kernel.values():
        assert "__schedule" not in names and not any(name.startswith("0x") for name in names)
