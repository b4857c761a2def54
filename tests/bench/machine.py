"""The head of every result: where it was measured."""
import os
import pathlib
import platform
import subprocess

from conftest import LOOPSIGHT, PYTHON, ROOT


def output_of(*command):
    try:
        got = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except OSError:
        return ""
    return got.stdout.strip()


def describe():
    processor = [line.split(":", 1)[1].strip()
                 for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                 if line.startswith("model name")]
    memory = pathlib.Path("/proc/meminfo").read_text().split()[1]
    commit = output_of("git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD") or "unknown"
    if output_of("git", "-C", str(ROOT), "status", "--porcelain", "-uno"):
        commit += " with changes"
    return {
        "processor": processor[0] if processor else platform.machine(),
        "cores": os.cpu_count(),
        "memory": "%.0f GB" % (int(memory) / 1e6),
        "kernel": platform.release(),
        "Python": output_of(PYTHON, "-c", "import sys; print(sys.version.split()[0])"),
        "loopsight": output_of(LOOPSIGHT, "--version").split()[-1],
        "commit": commit,
        "load before": "%.2f" % os.getloadavg()[0],
    }
