"""Thread pools: all threads busy while jobs wait, as the program itself arranged it.

The program holds its jobs until the test has seen what it waits for, so no time is assumed.
"""
import json
import os
import signal
import subprocess

import pytest
from conftest import LOOPSIGHT, PYTHON, http_get, in_suite, running, tracing, wait_until
from test_metrics import daemon, value

PROGRAM = """
import asyncio, sys, threading
from concurrent.futures import ThreadPoolExecutor
gate = threading.Event()
def fetch():
    gate.wait()
async def main():
    loop = asyncio.get_running_loop()
    fed = asyncio.Event()
    ended = asyncio.Event()
    def commands():
        for line in sys.stdin:
            loop.call_soon_threadsafe(fed.set if line == "submit\\n" else gate.set)
        loop.call_soon_threadsafe(ended.set)
    threading.Thread(target=commands, daemon=True).start()
    idle = ThreadPoolExecutor(2, thread_name_prefix="idle")
    both = threading.Barrier(2)  # a thread that is idle already would take the second job too
    await asyncio.gather(*[loop.run_in_executor(idle, both.wait) for _ in range(2)])
    async def tick():
        while True:
            await asyncio.sleep(0.05)
    ticking = asyncio.ensure_future(tick())
    print("ready", flush=True)
    await fed.wait()
    full = ThreadPoolExecutor(6, thread_name_prefix="full")
    jobs = [loop.run_in_executor(full, fetch) for _ in range(60)]
    await asyncio.gather(*jobs)
    await ended.wait()
    ticking.cancel()
asyncio.run(main())
"""


class Program:
    def __init__(self, process):
        self.process = process
        self.pid = process.pid
        assert process.stdout.readline() == "ready\n"

    def say(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()


def start(*python):
    return running(
        [*python, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def executors(path):
    """What was written so far; a line that is being written is left away."""
    if not path.exists():
        return []
    text = path.read_text()
    lines = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    return [line for line in lines if line["type"] == "executor"]


def check_full(line):
    assert (line["pool"], line["threads"], line["busy"]) == ("full", 6, 6)
    assert (line["max_workers"], line["queued"]) == (6, 54)
    assert line["oldest_wait_seconds"] >= 1
    assert line["duration_seconds"] >= 1


def check_frames(line):
    assert line["threads_alike"] == 6
    assert line["culprit"]["function"] == "fetch"
    assert "fetch" in line["advice"]


@pytest.mark.parametrize(
    "suite, version",
    [
        (None, "3.11"),
        ("bullseye", "3.9"),
        ("trixie", "3.13"),
        ("forky", "3.14"),
        ("forky", "3.15"),
    ],
)
def test_six_threads_and_sixty_jobs(tmp_path, suite, version):
    python = in_suite(suite, version) if suite else [PYTHON]
    path = tmp_path / "lines.json"
    with start(*python) as process:
        program = Program(process)
        with tracing(path, "--pid", str(program.pid)):
            program.say("submit")
            assert wait_until(lambda: executors(path), 60), "nothing was found"
            program.say("go")
            ended = wait_until(lambda: not executors(path)[-1]["in_progress"], 60)
    lines = executors(path)
    assert ended, lines
    first, last = lines[0], lines[-1]
    assert first["in_progress"]
    check_full(first)
    check_frames(first)  # at the end the threads are on their way
    check_full(last)
    assert first["monotonic_ns"] == last["monotonic_ns"]
    assert first["pid"] == program.pid
    # Neither the pool that has nothing to do nor the one that is done has a line of its own.
    assert {line["pool"] for line in lines} == {"full"}


def test_a_recording_holds_it(tmp_path):
    recording = tmp_path / "a.lsrec"
    shown = tmp_path / "shown.txt"
    with start(PYTHON) as process, open(shown, "w") as out:
        program = Program(process)
        command = [LOOPSIGHT, "record", "-o", recording, "--pid", str(program.pid)]
        with running(command, stdout=out, stderr=subprocess.DEVNULL) as tracer:
            program.say("submit")
            assert wait_until(lambda: "thread pool full is saturated" in shown.read_text(), 60)
            tracer.send_signal(signal.SIGINT)
            assert tracer.wait(30) == 0
    replayed = tmp_path / "replayed.json"
    with open(replayed, "w") as out:
        subprocess.run(
            [LOOPSIGHT, "replay", "--format", "json", recording], stdout=out, check=True, timeout=60
        )
    first = executors(replayed)[0]
    check_full(first)
    check_frames(first)


def test_metrics(tmp_path):
    script = tmp_path / ("pools-%d.py" % os.getpid())
    script.write_text(PROGRAM)
    threads = "loopsight_executor_threads"
    with daemon() as (port, _), running(
        [PYTHON, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        program = Program(process)

        def shows(busy, idle, queued):
            have = (
                value(port, threads, workload=script.name, state="busy"),
                value(port, threads, workload=script.name, state="idle"),
                value(port, "loopsight_executor_queued", workload=script.name),
            )
            return have == (busy, idle, queued)

        def saturated():
            return value(
                port, "loopsight_executor_saturated_seconds_total", workload=script.name
            )

        assert wait_until(lambda: shows(0, 2, 0), 60), "the idle pool"
        assert saturated() == 0
        program.say("submit")
        assert wait_until(lambda: shows(6, 2, 54), 60), "the full pool"
        assert wait_until(lambda: saturated() >= 1, 60)
        shown = json.loads(http_get(port, "/api/v1/executors")[1])
        mine = [one for one in shown if one["workload"] == script.name]
        assert [one["queued"] for one in mine] == [54], shown
        program.say("go")
        assert wait_until(lambda: shows(0, 8, 0), 60), "both pools idle"
