"""What people put beside or into a service to see where its loop spends its time."""
import contextlib
import os
import shutil
import signal
import subprocess
import time

from conftest import ROOT, running, wait_until
from results import Missing
from watching import watching

TARGETS = ROOT / "tests" / "bench" / "targets"
PLAIN = ROOT / "tests" / "e2e" / "targets" / "web_aiohttp.py"
NO_PY_SPY = "py-spy is in no Debian package"


class Inside:
    """A way to run the service itself."""

    def __init__(self, script=PLAIN, **environment):
        self.script = script
        self.environment = {**os.environ, **environment}


# The observers that are part of the service: another process takes the load.
INSIDE = {
    "asyncio debug mode": Inside(PYTHONASYNCIODEBUG="1"),
    "watchdog thread": Inside(TARGETS / "watched_aiohttp.py"),
}


@contextlib.contextmanager
def loopsight(_, *options):
    with watching(*options) as (pid, _):
        time.sleep(0.5)  # the scan of what runs already
        yield [pid]


@contextlib.contextmanager
def bpftrace(server):
    command = ["bpftrace", str(TARGETS / "accounting.bt"), str(server)]
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        wait_for_attach(process)
        yield [process.pid]
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)[0]
    if "@busy_us" not in said:
        raise RuntimeError("bpftrace counted nothing: " + said[:200])


def wait_for_attach(process):
    """bpftrace says so on its first line, which is buffered: its links tell."""
    def links():
        folder = "/proc/%d/fd" % process.pid
        with contextlib.suppress(OSError):
            return sum("perf_event" in os.readlink(folder + "/" + fd) for fd in os.listdir(folder))
        return 0

    wait_until(lambda: links() >= 6 or process.poll() is not None, 30)
    time.sleep(0.2)


@contextlib.contextmanager
def austin(server):
    command = ["austin", "-i", "10000", "-p", str(server)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with running(command, **quiet) as process:
        time.sleep(0.5)
        yield [process.pid]


# The observers from outside: the same process as the bare one takes the load.
OUTSIDE = {
    "loopsight": loopsight,
    "loopsight --audit": lambda server: loopsight(server, "--audit"),
    "bpftrace script": bpftrace,
    "austin": austin,
}


def why_not_bpftrace():
    """None where bpftrace can do it, else a Missing with its own words."""
    if not shutil.which("bpftrace"):
        return Missing("bpftrace is not installed (deploy/install-packages bench)")
    program = "tracepoint:syscalls:sys_exit_epoll_wait { exit(); } interval:ms:100 { exit(); }"
    command = ["bpftrace", "-e", program]
    got = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if got.returncode == 0:
        return None
    return Missing((got.stdout.strip().splitlines() or ["no message"])[-1])


def why_not_austin(server):
    """None where it sees frames of this interpreter, else a Missing."""
    if not shutil.which("austin"):
        return Missing("austin is not installed (deploy/install-packages bench)")
    command = ["timeout", "-s", "INT", "2", "austin", "-i", "1000", "-p", str(server)]
    got = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if any(";" in line and "(" in line for line in got.stdout.splitlines()):
        return None
    version = subprocess.run(["austin", "--version"], stdout=subprocess.PIPE, text=True).stdout
    return Missing("%s shows no frame of this interpreter" % version.strip())
