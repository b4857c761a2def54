"""What is the host's doing never blames code: CPU contention, cgroup throttling, stops."""
import json
import os
import pathlib
import signal
import subprocess
import textwrap
import time

import pytest
from conftest import PYTHON, read_results, running, tracing, wait_until

SPIN = textwrap.dedent(
    """
    import asyncio, json, sys, time
    async def main():
        end = time.monotonic() + float(sys.argv[1])
        while time.monotonic() < end:
            start = time.monotonic()
            while time.thread_time() - begin(start) < 0.04: pass
            await asyncio.sleep(0.005)
    def begin(_, state={}):
        return state.setdefault(_, time.thread_time())
    asyncio.run(main())
    """
)


def cpu_controller():
    """(version, directory) of a CPU controller that new groups can be made in."""
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, where, kind, options = line.split()[:4]
        if kind == "cgroup" and "cpu" in options.split(","):
            return 1, pathlib.Path(where)
        if kind == "cgroup2":
            control = pathlib.Path(where) / "cgroup.subtree_control"
            if "cpu" in control.read_text().split():
                return 2, pathlib.Path(where)
    return None, None


@pytest.fixture
def quota_group():
    """A cgroup with a tenth of a CPU, taken away afterwards."""
    version, root = cpu_controller()
    if not version:
        pytest.skip("no cgroup CPU controller to make a group in")
    group = root / ("loopsight-test-%d" % os.getpid())
    group.mkdir()
    try:
        if version == 1:
            if not (group / "cpu.cfs_quota_us").exists():
                pytest.skip("this kernel has no CPU quota (CONFIG_CFS_BANDWIDTH)")
            (group / "cpu.cfs_period_us").write_text("100000")
            (group / "cpu.cfs_quota_us").write_text("10000")
        else:
            if not (group / "cpu.max").exists():
                pytest.skip("this kernel has no CPU quota (CONFIG_CFS_BANDWIDTH)")
            (group / "cpu.max").write_text("10000 100000")
        yield group
    finally:
        wait_until(lambda: not (group / "cgroup.procs").read_text().strip(), 10)
        group.rmdir()


def test_a_throttled_service(tmp_path, quota_group):
    out = tmp_path / "x.json"
    with running([PYTHON, "-c", SPIN, "4"]) as process:
        (quota_group / "cgroup.procs").write_text(str(process.pid))
        with tracing(out, "--pid", str(process.pid)):
            process.wait(60)
            wait_until(lambda: False, 0.3)
    stalls = read_results(out).stalls
    throttled = [one for one in stalls if one["cause"] == "throttled"]
    assert len(throttled) >= 3, [(one["cause"], one["causes"]) for one in stalls]
    assert all(one["blame"] == "host" for one in throttled)
    # Apart from the wait in the run queue: nobody else wanted that CPU for long.
    for one in throttled:
        assert one["causes"]["throttled"] > one["causes"].get("run_queue", 0)


def test_a_starved_service_is_told_from_a_throttled_one(tmp_path):
    out = tmp_path / "x.json"
    cpu = min(os.sched_getaffinity(0))
    hog = "import os, time\nos.sched_setaffinity(0, {%d})\nend = time.monotonic() + 8\n" % cpu
    hog += "while time.monotonic() < end: pass\n"
    pinned = "import os\nos.sched_setaffinity(0, {%d})\n%s" % (cpu, SPIN)
    with running([PYTHON, "-c", pinned, "4"]) as process:
        with tracing(out, "--pid", str(process.pid)):
            hogs = [subprocess.Popen([PYTHON, "-c", hog]) for _ in range(6)]
            process.wait(60)
            for one in hogs:
                one.kill()
                one.wait()
            wait_until(lambda: False, 0.3)
    stalls = read_results(out).stalls
    starved = [one for one in stalls if one["cause"] == "run_queue"]
    assert starved, [(one["cause"], one["causes"]) for one in stalls]
    assert all(one["blame"] == "host" for one in starved)
    assert all(one["causes"].get("throttled", 0) == 0 for one in stalls)


def test_a_stopped_service(tmp_path):
    out = tmp_path / "x.json"
    with running([PYTHON, "-c", SPIN, "3"]) as process:
        with tracing(out, "--pid", str(process.pid)):
            wait_until(lambda: False, 0.5)
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.4)
            process.send_signal(signal.SIGCONT)
            process.wait(30)
            wait_until(lambda: False, 0.3)
    stopped = [one for one in read_results(out).stalls if one["cause"] == "stopped"]
    assert len(stopped) == 1
    assert stopped[0]["blame"] == "host"
    assert stopped[0]["causes"]["stopped"] == pytest.approx(0.4, abs=0.1)
