"""Loops in other threads, several in one process, closed and made anew, left and nested."""
import json
import textwrap

import pytest
from conftest import PYTHON, skip_without

PRELUDE = """
import asyncio, json, os, sys, threading, time
def block(seconds=0.1):
    start = time.monotonic(); time.sleep(seconds)
    print(json.dumps([start, time.monotonic(), threading.get_native_id()]), flush=True)
"""


@pytest.fixture
def program(trace):
    def run(code, **options):
        traced = trace(PYTHON, "-c", PRELUDE + textwrap.dedent(code), **options)
        assert traced.returncode == 0, traced.errors
        return traced, [json.loads(line) for line in traced.output.splitlines()]

    return run


def only(traced, truths):
    """Each truth has its one stall, and there is no other."""
    for start, end, tid in truths:
        stalls = traced.results.around(start, end)
        assert len(stalls) == 1, (start, end, stalls)
        assert stalls[0]["tid"] == tid
        assert stalls[0]["duration_seconds"] == pytest.approx(end - start, abs=0.005)
    assert len(traced.results.all) == len(truths), traced.results.all


def test_a_loop_in_a_thread(program):
    traced, truths = program(
        """
        async def main():
            await asyncio.sleep(0.05); block(); await asyncio.sleep(0.05)
        thread = threading.Thread(target=asyncio.run, args=(main(),))
        thread.start()
        time.sleep(0.4)  # the main thread has no loop, so its sleep is none's business
        thread.join()
        """
    )
    only(traced, truths)
    assert len(truths) == 1


def test_many_loops_in_one_process(program):
    traced, truths = program(
        """
        async def main(delay):
            await asyncio.sleep(delay); block(); await asyncio.sleep(0.05)
        threads = [threading.Thread(target=asyncio.run, args=(main(0.05 + i * 0.15),)) for i in range(4)]
        for t in threads: t.start()
        asyncio.run(main(0.8))
        for t in threads: t.join()
        """
    )
    assert len(truths) == 5
    only(traced, truths)
    assert len(traced.results.summary["loops"]) == 5


def test_a_loop_that_is_closed_and_made_anew(program):
    traced, truths = program(
        """
        async def main():
            await asyncio.sleep(0.02); block(); await asyncio.sleep(0.02)
        for i in range(5):
            asyncio.run(main())
            time.sleep(0.15)  # no loop is there to stall
        """
    )
    assert len(truths) == 5
    only(traced, truths)


def test_a_loop_that_is_left_open(program):
    traced, truths = program(
        """
        async def main():
            await asyncio.sleep(0.02); block(); await asyncio.sleep(0.02)
        first = asyncio.new_event_loop()
        first.run_until_complete(main())
        asyncio.run(main())
        time.sleep(0.6)  # ten times the threshold: nothing may be reported in progress either
        asyncio.run(main())
        """
    )
    only(traced, truths)


def test_a_program_that_goes_on_after_its_loop(program):
    traced, truths = program(
        """
        async def main():
            await asyncio.sleep(0.02); block(); await asyncio.sleep(0.02)
        asyncio.run(main())
        time.sleep(1.5)
        """
    )
    only(traced, truths)


@pytest.mark.parametrize("outer", ["asyncio", "uvloop"])
def test_a_loop_inside_a_callback_is_a_wait_of_the_outer(program, outer):
    skip_without(outer)
    traced, truths = program(
        """
        async def main():
            await asyncio.sleep(0.05)
            start = time.monotonic()
            asyncio._set_running_loop(None)
            inner = asyncio.new_event_loop()
            inner.run_until_complete(asyncio.sleep(0.2))
            inner.close()
            asyncio._set_running_loop(loop)
            print(json.dumps([start, time.monotonic(), threading.get_native_id()]), flush=True)
            await asyncio.sleep(0.05)
        if %r == "uvloop":
            import uvloop; loop = uvloop.new_event_loop()
        else:
            loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        loop.close()
        """
        % outer
    )
    assert len(truths) == 1
    only(traced, truths)


def test_many_small_callbacks_are_one_stall(program):
    traced, truths = program(
        """
        async def small():
            time.sleep(0.004)
        async def main():
            await asyncio.sleep(0.05)
            await asyncio.gather(*(small() for _ in range(40)))
            await asyncio.sleep(0.05)
        asyncio.run(main())
        """
    )
    assert len(traced.results.stalls) == 1
    stall = traced.results.stalls[0]
    assert stall["cause"] == "sleep" and stall["duration_seconds"] > 0.16


def test_a_stall_is_shown_while_it_runs_and_once_more_when_it_ends(program):
    traced, truths = program(
        """
        async def main():
            await asyncio.sleep(0.1); block(2.3); await asyncio.sleep(0.05)
        asyncio.run(main())
        """
    )
    running = [stall for stall in traced.results.all if stall["in_progress"]]
    ages = [stall["duration_seconds"] for stall in running]
    # At ten times the threshold (0.5 s) and at each doubling, looked at four times a second.
    assert len(ages) == 3, ages
    for age, due in zip(ages, (0.5, 1.0, 2.0)):
        assert due <= age < due + 0.9
    assert all(stall["wait"]["syscall"] == "clock_nanosleep" for stall in running)
    assert all(stall["cause"] == "sleep" for stall in running)
    start, end, tid = truths[0]
    final = traced.results.stalls
    assert len(final) == 1 and final[0]["duration_seconds"] == pytest.approx(end - start, abs=0.02)
    identities = {(stall["tid"], stall["monotonic_ns"]) for stall in traced.results.all}
    assert len(identities) == 1


def test_a_process_killed_while_it_stalls_is_reported(trace):
    code = PRELUDE + textwrap.dedent(
        """
        import signal
        async def main():
            await asyncio.sleep(0.05)
            threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
            print(json.dumps([time.monotonic()]), flush=True)
            time.sleep(10)
        asyncio.run(main())
        """
    )
    traced = trace(PYTHON, "-c", code)
    assert traced.returncode == 128 + 9
    (start,) = json.loads(traced.output)
    assert len(traced.results.stalls) == 1
    stall = traced.results.stalls[0]
    assert 0.19 < stall["duration_seconds"] < 1.5
    assert stall["cause"] == "sleep"
    assert stall["culprit"]["function"] == "main"  # where it stood when it died
