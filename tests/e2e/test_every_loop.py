"""Every loop is seen from its first moment, whatever its process polled before, and nothing else is
called one. All programs on all interpreters take a quarter of an hour: LOOPSIGHT_ALL_LOOPS=1; else
the other interpreters run those that differ most."""
import json
import os

import pytest
from conftest import PYTHON, in_suite, skip_without
from loop_programs import BEFORE, OTHERS, program

INTERPRETERS = {
    "3.11": lambda: [PYTHON],
    "3.9": lambda: in_suite("bullseye", "3.9"),
    "3.13": lambda: in_suite("trixie", "3.13"),
    "3.14": lambda: in_suite("forky", "3.14"),
    "3.15": lambda: in_suite("forky", "3.15"),
}


SHORT = {"many", "deep", "between_runs", "queue_thread", "own_epoll_thread", "first_callback"}


def on_interpreters(programs):
    """Each program with each interpreter that is to run it."""
    everything = "LOOPSIGHT_ALL_LOOPS" in os.environ
    return [
        pytest.param(name, version, id="%s-%s" % (name, version))
        for name in programs
        for version in INTERPRETERS
        if everything or version == "3.11" or name in SHORT
    ]


def check(traced, count):
    """The stalls are those that the program tells, each once, with the frame that slept."""
    assert traced.returncode == (0 if count else 4), traced.errors
    truths = [json.loads(line) for line in traced.output.splitlines() if line.startswith("[")]
    assert len(truths) == count
    for start, end, tid in truths:
        stalls = traced.results.around(start, end)
        assert len(stalls) == 1, (start, end, traced.results.all)
        assert stalls[0]["tid"] == tid
        assert stalls[0]["duration_seconds"] == pytest.approx(end - start, abs=0.03)
        assert stalls[0]["culprit"], stalls[0]
    assert len(traced.results.stalls) == count, traced.results.all


@pytest.mark.parametrize("before, version", on_interpreters(BEFORE))
def test_what_was_polled_before_does_not_hide_a_loop(trace, before, version):
    interpreter = INTERPRETERS[version]()
    code = program(BEFORE[before] + "\ntime.sleep(0.06)\nasyncio.run(main())\n")
    check(trace(*interpreter, "-c", code), 3)


@pytest.mark.parametrize("before", BEFORE)
def test_nor_one_of_uvloop(trace, before):
    skip_without("uvloop")
    loop = "\ntime.sleep(0.06)\nimport uvloop; uvloop.install(); asyncio.run(main())\n"
    code = program(BEFORE[before] + loop)
    check(trace(PYTHON, "-c", code), 3)


@pytest.mark.parametrize("other, version", on_interpreters(OTHERS))
def test_what_is_a_loop_and_when(trace, other, version):
    code, count = OTHERS[other]
    check(trace(*INTERPRETERS[version](), "-c", program(code)), count)


# Not stall_then_left: libuv runs what is ready before it first polls, so a loop that was left tells
# nothing of the first callback of its next run.
OF_UVLOOP = ["between_runs", "queue_thread", "callbacks_that_poll", "between_runs_computing"]


@pytest.mark.parametrize("other", OF_UVLOOP)
def test_when_a_loop_of_uvloop_runs(trace, other):
    skip_without("uvloop")
    code, count = OTHERS[other]
    code = "import uvloop; uvloop.install()\n" + code
    check(trace(PYTHON, "-c", program(code)), count)
