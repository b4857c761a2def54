"""What the end-to-end tests share: the real daemon, real programs, and the truth these print.

Every process that a test starts ends with the test, and only by pid.
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
ZOO = ROOT / "tests" / "zoo"
TARGETS = pathlib.Path(__file__).resolve().parent / "targets"
LOOPSIGHT = os.environ.get("LOOPSIGHT", str(ROOT / "build" / "daemon" / "loopsight"))
PYTHON = "/usr/bin/python3"
PYTHONS = ROOT / "build" / "pythons"  # made by tests/pythons/unpack
# The interpreters under test behave as their defaults say, whatever the caller has set: with
# PYTHONUNBUFFERED, for one, print() is two writes, and lines of forked workers run together.
for name in [name for name in os.environ if name.startswith("PYTHON")]:
    if name != "PYTHONDONTWRITEBYTECODE":
        del os.environ[name]
sys.path.insert(0, str(ZOO))

from outcomes import around, parse_lines  # noqa: E402  (found through the path above)


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="needs root to load BPF programs"))


class Results:
    """The JSON lines of one trace."""

    def __init__(self, lines):
        self.all = [line for line in lines if line["type"] == "stall"]
        self.stalls = [line for line in self.all if not line["in_progress"]]
        self.summary = next((line for line in lines if line["type"] == "summary"), None)

    def around(self, start, end):
        """The stalls that contain this span of CLOCK_MONOTONIC seconds."""
        return around(self.stalls, start, end)


class Traced:
    def __init__(self, process, results, output, errors):
        self.returncode = process.returncode
        self.results = results
        self.output = output
        self.errors = errors


@pytest.fixture
def trace(tmp_path):
    """Runs `loopsight trace` on a command to its end."""

    def run(*command, options=(), timeout=120, env=None):
        path = tmp_path / "stalls.json"
        process = subprocess.run(
            [LOOPSIGHT, "trace", "--format", "json", "--output", path, *options, "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=timeout,
            text=True,
            env=env,
        )
        lines = parse_lines(path.read_text()) if path.exists() else []
        return Traced(process, Results(lines), process.stdout, process.stderr)

    return run


@contextlib.contextmanager
def running(command, **options):
    """A process that is ended when the block ends."""
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()


@contextlib.contextmanager
def tracing(path, *selection, options=()):
    """`loopsight trace` on running processes; yields once it is attached."""
    before = our_links()
    command = [LOOPSIGHT, "trace", "--format", "json", "--output", str(path), *options, *selection]
    with running(command, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: our_links() - before >= 20 or process.poll() is not None, 20)
        time.sleep(0.3)  # the scan of what runs already comes after
        yield process
        # An answer reaches its client before the callback that sent it has ended; its stall ends
        # with the callback.
        time.sleep(0.3)
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(20)


def read_results(path):
    return Results(parse_lines(pathlib.Path(path).read_text()))


def wait_until(condition, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


BPFTOOL = shutil.which("bpftool", path="/usr/sbin:/sbin:" + os.environ.get("PATH", ""))


def bpf_objects(kind):
    """What `bpftool KIND show` lists, which fails at an object that is being made at that moment."""
    for _ in range(50):
        listing = subprocess.run([BPFTOOL, "-j", kind, "show"], stdout=subprocess.PIPE)
        if listing.returncode == 0:
            return json.loads(listing.stdout or b"[]")
        time.sleep(0.02)
    raise RuntimeError("bpftool %s show: %s" % (kind, listing.stdout.decode(errors="replace")))


def our_programs():
    names = ("epoll_", "poll_e", "sched_switch", "process_", "cpu_tick")
    return {
        one["id"] for one in bpf_objects("prog") if one.get("name", "").startswith(names)
    }


def our_links():
    """In how many places our programs are attached."""
    programs = our_programs()
    return sum(one.get("prog_id") in programs for one in bpf_objects("link"))


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for_port(port, seconds=15):
    def answers():
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        return False

    assert wait_until(answers, seconds), "nothing listens on port %d" % port


def http_get(port, path="/", timeout=30):
    status, body = http_get_bytes(port, path, timeout)
    return status, body.decode()


def http_get_bytes(port, path="/", timeout=30):
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def in_suite(suite, version):
    """The command that starts CPython `version` of another suite of Debian; /zoo is the zoo."""
    root = PYTHONS / suite
    if not (root / "complete").exists():
        pytest.skip("tests/pythons/unpack has not been run: no %s" % root)
    return [str(ROOT / "tests" / "pythons" / "run"), str(root), "/usr/bin/python" + version]


def skip_without(module):
    """Skips where Debian's interpreter lacks a library."""
    got = subprocess.run([PYTHON, "-c", "import " + module], stderr=subprocess.DEVNULL)
    if got.returncode != 0:
        pytest.skip("python3-%s is not installed" % module)
