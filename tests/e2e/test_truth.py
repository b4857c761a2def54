"""Every kind of blocking call of the zoo: all are reported, with the program's own duration and the
right cause, and nothing else is."""
import os
import pathlib

import pytest
from conftest import PYTHON, ZOO, parse_lines, skip_without


def expected(lines):
    return [line for line in lines if "skipped" not in line]


def check(traced, minimum):
    truth = parse_lines(traced.output)
    assert traced.returncode == 0, traced.errors
    found = set()
    for one in expected(truth):
        start, end = one["start"], one["end"]
        stalls = traced.results.around(start, end)
        assert len(stalls) == 1, "%s: %d stalls reported" % (one["kind"], len(stalls))
        stall = stalls[0]
        found.add(stall["monotonic_ns"])
        assert stall["cause"] in one["causes"], (one["kind"], stall["causes"])
        assert sum(stall["causes"].values()) == pytest.approx(stall["duration_seconds"], rel=0.01)
        # The busy phase as the loop itself saw it, where it can be asked; else the call in it.
        true_length = end - start
        if one["busy_end"] is not None:
            true_length = one["busy_end"] - one["busy_start"]
        # What the program measures lies inside the phase. Where the host was too busy to run it
        # between its measurement and the system call, the report says so itself.
        waited_for_cpu = stall["causes"].get("run_queue", 0)
        excess = stall["duration_seconds"] - true_length
        assert excess > -0.001, (one["kind"], excess)
        assert excess < max(0.001, true_length / 100) + waited_for_cpu, (one["kind"], excess)
    others = [s for s in traced.results.stalls if s["monotonic_ns"] not in found]
    assert not others, [(s["duration_seconds"], s["causes"]) for s in others]
    assert len(expected(truth)) >= minimum
    assert traced.results.summary["stalls"] == len(found)
    assert traced.results.summary["lost"] == 0


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_every_kind(trace, loop):
    skip_without(loop)
    traced = trace(PYTHON, ZOO / "stall_zoo.py", "--loop", loop)
    check(traced, minimum=38)
    assert {stall["loop"] for stall in traced.results.stalls} == {loop}


@pytest.mark.parametrize("selector", ["poll", "select"])
def test_other_selectors(trace, selector):
    check(trace(PYTHON, ZOO / "stall_zoo.py", "--selector", selector), minimum=38)


CORE = ["time_sleep", "python_loop", "tcp_receive", "lock_acquire", "subprocess_run", "pipe_read"]


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10", "3.12", "3.13"])
def test_other_interpreters(trace, version):
    root = pathlib.Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    found = sorted(root.glob("versions/%s.*/bin/python3" % version))
    if not found:
        pytest.skip("no CPython %s on this machine" % version)
    traced = trace(found[-1], ZOO / "stall_zoo.py", *CORE)
    check(traced, minimum=len(CORE))
    assert traced.results.stalls[0]["python"].startswith(version + ".")


def test_what_was_waited_for_is_named(trace):
    traced = trace(
        PYTHON,
        ZOO / "stall_zoo.py",
        "tcp_receive",
        "tcp_receive_with_timeout",
        "write_and_fsync",
        "waitpid",
        "terminal_read",
    )
    wait = {s["wait"]["syscall"]: s["wait"]["target"] for s in traced.results.stalls}
    assert wait["recvfrom"].startswith("127.0.0.1:")
    assert wait["poll"].startswith("127.0.0.1:")
    assert wait["wait4"].startswith("pid ")
    assert wait["read"].startswith("/dev/pts/")
    assert any(target.startswith("/") for call, target in wait.items() if "sync" in call)
