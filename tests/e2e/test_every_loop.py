"""Every loop is seen from its first moment, whatever its process polled before, and nothing else is
called one."""
import json

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


@pytest.fixture(params=INTERPRETERS)
def interpreter(request):
    return INTERPRETERS[request.param]()


def check(traced, count):
    """The stalls are those that the program tells, each once, with the frame that slept."""
    assert traced.returncode == 0, traced.errors
    truths = [json.loads(line) for line in traced.output.splitlines() if line.startswith("[")]
    assert len(truths) == count
    for start, end, tid in truths:
        stalls = traced.results.around(start, end)
        assert len(stalls) == 1, (start, end, traced.results.all)
        assert stalls[0]["tid"] == tid
        assert stalls[0]["duration_seconds"] == pytest.approx(end - start, abs=0.03)
        assert stalls[0]["culprit"], stalls[0]
    assert len(traced.results.stalls) == count, traced.results.all


@pytest.mark.parametrize("before", BEFORE)
def test_what_was_polled_before_does_not_hide_a_loop(trace, interpreter, before):
    code = program(BEFORE[before] + "\ntime.sleep(0.06)\nasyncio.run(main())\n")
    check(trace(*interpreter, "-c", code), 3)


@pytest.mark.parametrize("before", BEFORE)
def test_nor_one_of_uvloop(trace, before):
    skip_without("uvloop")
    code = program(BEFORE[before] + "\ntime.sleep(0.06)\nimport uvloop; uvloop.install(); asyncio.run(main())\n")
    check(trace(PYTHON, "-c", code), 3)


@pytest.mark.parametrize("other", OTHERS)
def test_what_is_a_loop_and_when(trace, interpreter, other):
    code, count = OTHERS[other]
    check(trace(*interpreter, "-c", program(code)), count)


@pytest.mark.parametrize("other", ["between_runs", "queue_thread", "stall_then_left", "callbacks_that_poll", "between_runs_computing"])
def test_when_a_loop_of_uvloop_runs(trace, other):
    skip_without("uvloop")
    code, count = OTHERS[other]
    code = "import uvloop; uvloop.install()\n" + code.replace("asyncio.new_event_loop()", "uvloop.new_event_loop()")
    check(trace(PYTHON, "-c", program(code)), count)
