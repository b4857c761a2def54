"""Every kind of blocking call of the zoo: all are reported, with the program's own duration and the
right cause, and nothing else is."""
import os
import pathlib

import pytest
from conftest import PYTHON, ZOO, in_suite, parse_lines, skip_without
from outcomes import compare


def check(traced, minimum):
    assert traced.returncode == 0, traced.errors
    outcomes = compare(parse_lines(traced.output), traced.results.stalls)
    found = set()
    for one in outcomes:
        assert len(one.stalls) == 1, "%s: %d stalls reported" % (one.kind, len(one.stalls))
        stall = one.stall
        found.add(stall["monotonic_ns"])
        assert one.cause_is_right, (one.kind, stall["causes"])
        assert one.culprit_is_right, (one.kind, stall["culprit"], stall["frames"])
        assert sum(stall["causes"].values()) == pytest.approx(stall["duration_seconds"], rel=0.01)
        # What the program measures lies inside the phase. Where the host was too busy to run it
        # between its measurement and the system call, the report says so itself.
        waited_for_cpu = stall["causes"].get("run_queue", 0)
        if one.kind == "held_interpreter_lock":  # nor did the lock come back at once
            waited_for_cpu += stall["causes"]["gil"]
        excess = stall["duration_seconds"] - one.true_seconds
        assert excess > -0.001, (one.kind, excess)
        assert excess < max(0.001, one.true_seconds / 100) + waited_for_cpu, (one.kind, excess)
    others = [s for s in traced.results.stalls if s["monotonic_ns"] not in found]
    assert not others, [(s["duration_seconds"], s["causes"]) for s in others]
    assert len(outcomes) >= minimum
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


@pytest.mark.parametrize(
    "suite, version, loop",
    [
        ("bullseye", "3.9", "asyncio"),
        ("trixie", "3.13", "asyncio"),
        ("forky", "3.14", "asyncio"),
        ("forky", "3.14", "uvloop"),
        ("forky", "3.15", "asyncio"),
    ],
)
def test_every_kind_on_the_interpreters_of_other_suites(trace, suite, version, loop):
    python = in_suite(suite, version)
    traced = trace(*python, "/zoo/stall_zoo.py", "--loop", loop)
    check(traced, minimum=40)
    assert {stall["loop"] for stall in traced.results.stalls} == {loop}
    assert all(stall["python"].startswith(version + ".") for stall in traced.results.stalls)


@pytest.mark.parametrize("version", ["3.8", "3.10", "3.12"])
def test_core_kinds_on_interpreters_that_no_suite_has(trace, version):
    root = pathlib.Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    found = sorted(root.glob("versions/%s.*/bin/python3" % version))
    if not found:
        pytest.skip("no CPython %s on this machine" % version)
    traced = trace(found[-1], ZOO / "stall_zoo.py", *CORE)
    check(traced, minimum=len(CORE))
    assert traced.results.stalls[0]["python"].startswith(version + ".")


def test_the_holder_of_the_interpreter_lock_is_named(trace):
    traced = trace(PYTHON, ZOO / "stall_zoo.py", "held_interpreter_lock")
    (stall,) = traced.results.stalls
    assert stall["cause"] == "gil" and stall["blame"] == "code"
    frames = stall["gil_holder"]["frames"]
    assert frames[0]["function"] == "held_interpreter_lock.<locals>.spin"
    assert stall["gil_holder"]["tid"] > 0


def test_lines_and_contributors(trace, tmp_path):
    script = tmp_path / "app.py"
    script.write_text(
        "import asyncio, time\n"
        "def small():\n"
        "    end = time.monotonic() + 0.15\n"
        "    while time.monotonic() < end: pass\n"
        "def large():\n"
        "    end = time.monotonic() + 0.45\n"
        "    while time.monotonic() < end: pass\n"
        "async def main():\n"
        "    await asyncio.sleep(0.1)\n"
        "    small()\n"
        "    large()\n"
        "    await asyncio.sleep(0.05)\n"
        "asyncio.run(main())\n"
    )
    traced = trace(PYTHON, str(script))
    (stall,) = [one for one in traced.results.stalls if one["duration_seconds"] > 0.5]
    culprit = stall["culprit"]
    assert culprit.pop("expression") in "time.monotonic() < end"
    assert culprit.pop("rule") == "own"
    assert culprit == {"function": "large", "module": "app", "file": str(script), "line": 7}
    lines = {frame["function"]: frame["line"] for frame in stall["frames"]}
    assert lines["main"] == 11 and lines["<module>"] == 13
    shares = {one["function"]: one["seconds"] for one in stall["contributors"]}
    assert shares["large"] > shares["small"] > 0
    assert sum(shares.values()) == pytest.approx(stall["causes"]["cpu"], rel=0.1)


def test_fast_changing_deep_calls_never_give_a_wrong_name(trace, tmp_path):
    script = tmp_path / "deep.py"
    script.write_text(
        "import asyncio, time\n"
        "def down(n):\n"
        "    return n if n == 0 else down(n - 1)\n"
        "async def main():\n"
        "    await asyncio.sleep(0.1)\n"
        "    end = time.monotonic() + 1.5\n"
        "    while time.monotonic() < end:\n"
        "        for depth in (3, 150, 40): down(depth)\n"
        "    await asyncio.sleep(0.05)\n"
        "asyncio.run(main())\n"
    )
    traced = trace(PYTHON, str(script))
    (stall,) = traced.results.stalls
    own = {"down", "main", "<module>"}
    for frame in stall["frames"]:
        assert frame["function"] in own or "asyncio" in frame["file"], frame
    assert {one["function"] for one in stall["contributors"]} <= {"down", "main"}
    assert len(stall["frames"]) <= 80


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
