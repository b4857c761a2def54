"""What a stall says of the code: expression, task, callbacks, collections, and the stack of a loop
that has not come back, on real interpreters."""
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest
from conftest import PYTHON, in_suite, parse_lines, running, tracing, wait_until

PROGRAM = """
import asyncio, gc, time
def small():
    time.sleep(0.002)
async def inner():
    time.sleep(
        0.12)
async def handler():
    await inner()
async def main():
    await asyncio.sleep(0.2)
    time.sleep(0.06)  # the first stall; from the second on all is known
    await asyncio.sleep(0.05)
    await asyncio.create_task(handler(), name="my-handler")
    await asyncio.sleep(0.05)
    await asyncio.create_task(handler())
    await asyncio.sleep(0.05)
    for _ in range(60):
        asyncio.get_running_loop().call_soon(small)
    await asyncio.sleep(0.05)
asyncio.run(main())
"""


def check_program(stalls, has_expressions, has_c_functions):
    _, named, numbered, many = stalls
    assert named["task"] == "my-handler"
    assert numbered["task"].startswith("Task-")
    for stall in (named, numbered):
        assert stall["culprit"]["function"].endswith("inner")
        assert stall["culprit"]["expression"] == ("time.sleep(0.12)" if has_expressions else None)
        assert stall["leaf"]["c_function"] == ("sleep" if has_c_functions else None)
        functions = [frame["function"] for frame in stall["frames"]]
        assert functions[:2] == ["inner", "handler"]  # the await chain, the innermost first
        assert stall["callbacks"] is None or stall["callbacks"]["largest_share"] == 1
    assert many["callbacks"]["ready"] == 60
    assert many["callbacks"]["largest_share"] < 0.1
    assert "saturated" in many["advice"]
    (contributor,) = [
        one
        for one in many["contributors"]
        if one["function"] == "small" and one["cause"] == "sleep"  # it runs a little, too
    ]
    # Of the waits before half the threshold only the longest is known.
    assert contributor["seconds"] > 0.5 * many["duration_seconds"]


def test_expression_task_and_callbacks(trace, tmp_path):
    script = tmp_path / "app.py"
    script.write_text(PROGRAM)
    check_program(trace(PYTHON, script).results.stalls, True, False)


@pytest.mark.parametrize(
    "suite, version, c_functions",
    [
        ("bullseye", "3.9", False),
        ("trixie", "3.13", False),
        ("forky", "3.14", True),
        ("forky", "3.15", True),
    ],
)
def test_on_other_interpreters(trace, tmp_path, suite, version, c_functions):
    python = in_suite(suite, version)
    script = pathlib.Path(python[1]) / "zoo-app.py"  # beside the root's folders; /tmp is another
    script.write_text(PROGRAM)
    stalls = trace(*python, "/zoo-app.py").results.stalls
    check_program(stalls, version != "3.9", c_functions)


def own_build(variable):
    """An interpreter that no package has, from the environment."""
    python = os.environ.get(variable)
    if not python:
        pytest.skip("%s names no interpreter: no Debian package has such a build" % variable)
    return python


SPINNERS = """
import asyncio, threading, time
def spin():
    end = time.monotonic() + 0.8
    while time.monotonic() < end: pass
async def main():
    await asyncio.sleep(0.3)
    for _ in range(3): threading.Thread(target=spin).start()
    end = time.monotonic() + 0.4
    while time.monotonic() < end: pass
    await asyncio.sleep(0.5)
asyncio.run(main())
"""


def test_the_interpreter_lock_on_musl(trace, tmp_path):
    script = tmp_path / "app.py"
    script.write_text(SPINNERS)
    traced = trace(own_build("LOOPSIGHT_TEST_MUSL_PYTHON"), script)
    stall = max(traced.results.stalls, key=lambda one: one["duration_seconds"])
    assert stall["cause"] == "gil", stall["causes"]
    assert stall["gil_holder"]["frames"][0]["function"] == "spin"
    assert stall["causes"].get("lock", 0) < 0.1 * stall["duration_seconds"]


COLLECTOR = """
import asyncio, gc, threading, time
def collect():
    heap = [[] for _ in range(2000000)]
    gc.disable()
    for _ in range(6): gc.collect()
async def main():
    await asyncio.sleep(0.3)
    threading.Thread(target=collect).start()
    end = time.monotonic() + 1.5
    while time.monotonic() < end: pass
    await asyncio.sleep(0.1)
asyncio.run(main())
"""


def test_a_stopped_world_on_a_free_threaded_build(trace, tmp_path):
    script = tmp_path / "app.py"
    script.write_text(COLLECTOR)
    traced = trace(own_build("LOOPSIGHT_TEST_FREE_THREADED_PYTHON"), script)
    stall = max(traced.results.stalls, key=lambda one: one["duration_seconds"])
    assert stall["causes"]["other"] > 0.1 and "gil" not in stall["causes"]
    assert stall["wait"]["target"] == "a stop-the-world pause of the interpreter"
    assert stall["gil_holder"]["frames"][0]["function"] == "collect"


GARBAGE = """
import asyncio, gc, json, time
gc.disable()
heap = [[i] for i in range(900000)]
async def main():
    await asyncio.sleep(0.3)
    end = time.monotonic() + 0.2
    while time.monotonic() < end: pass
    start = time.monotonic()
    for _ in range(4): gc.collect()
    print(json.dumps({"gc": time.monotonic() - start}), flush=True)
    await asyncio.sleep(0.05)
asyncio.run(main())
"""


def test_collections_without_any_probe_in_the_interpreter(trace, tmp_path):
    python = tmp_path / "python3.11"
    subprocess.run(["objcopy", "-R", ".note.stapsdt", "/usr/bin/python3.11", python], check=True)
    script = tmp_path / "app.py"
    script.write_text(GARBAGE)
    traced = trace(python, script)
    (stall,) = traced.results.stalls
    (truth,) = parse_lines(traced.output)
    # 99 samples a second: within four of them.
    assert stall["causes"]["gc"] == pytest.approx(truth["gc"], abs=0.05)
    assert stall["gc"]["seconds"] == stall["causes"]["gc"]
    assert stall["causes"]["cpu"] == pytest.approx(0.2, abs=0.05)


def test_a_cut_stack_says_so(trace, tmp_path):
    script = tmp_path / "app.py"
    script.write_text(
        "import asyncio, time\n"
        "def down(n): down(n - 1) if n else time.sleep(0.1)\n"
        "async def main():\n"
        "    await asyncio.sleep(0.1); down(20)\n"
        "    await asyncio.sleep(0.1); down(200)\n"
        "    await asyncio.sleep(0.05)\n"
        "asyncio.run(main())\n"
    )
    short, long = trace(PYTHON, script).results.stalls
    assert not short["frames_cut"] and short["frames"][-1]["function"] == "<module>"
    assert long["frames_cut"] and len(long["frames"]) == 80


def test_a_code_object_in_the_place_of_another_never_gets_its_name(trace, tmp_path):
    # Each round frees its function's code object, and the next takes its memory.
    script = tmp_path / "app.py"
    script.write_text(
        "import asyncio, time\n"
        "def round_(n):\n"
        "    space = {'time': time}\n"
        "    source = 'def f%d():\\n' % n + '  x = %d\\n' % n * (n % 3) + '  time.sleep(0.002)\\n'\n"
        "    exec(compile(source, '/srv/generated_%d.py' % n, 'exec'), space)\n"
        "    space['f%d' % n]()\n"
        "async def main():\n"
        "    await asyncio.sleep(0.1)\n"
        "    for part in range(6):\n"
        "        for n in range(part * 40, part * 40 + 40): round_(n)\n"
        "        await asyncio.sleep(0.02)\n"
        "asyncio.run(main())\n"
    )
    traced = trace(PYTHON, script)
    assert len(traced.results.stalls) == 6
    seen = set()
    for stall in traced.results.stalls:
        for frame in stall["contributors"] + stall["frames"] + [stall["culprit"]]:
            if "generated_" in frame["file"]:
                number = frame["file"].split("_")[1].split(".")[0]
                assert frame["function"] == "f" + number, frame
                assert frame["line"] == 2 + int(number) % 3, frame
                seen.add(number)
    assert len(seen) >= 6


def test_no_expression_from_a_file_that_changed(trace, tmp_path):
    script = tmp_path / "app.py"
    script.write_text(
        "import asyncio, os, time\n"
        "async def main():\n"
        "    await asyncio.sleep(0.8)\n"
        "    text = open(__file__).read()\n"
        "    open(__file__, 'w').write(text.replace('time.sleep', 'okay.sleep'))\n"
        "    time.sleep(0.1)\n"
        "    await asyncio.sleep(0.05)\n"
        "asyncio.run(main())\n"
    )
    (stall,) = trace(PYTHON, script).results.stalls
    assert stall["culprit"]["function"] == "main" and stall["culprit"]["line"] == 6
    assert stall["culprit"]["expression"] is None


STUCK = (
    "import asyncio, time\n"
    "def stuck(): time.sleep(60)\n"
    "async def main():\n"
    "    for _ in range(30): await asyncio.sleep(0.1)\n"
    "    stuck()\n"
    "asyncio.run(main())\n"
)


def test_a_loop_that_has_not_come_back_shows_where_it_is(tmp_path):
    script = tmp_path / "app.py"
    script.write_text(STUCK)
    path = tmp_path / "stalls.json"
    with running([PYTHON, str(script)]) as process:
        with tracing(path, "--pid", str(process.pid)):
            assert wait_until(lambda: len(parse_lines(path.read_text())) >= 2, 15)
        process.kill()
    running_stalls = [one for one in parse_lines(path.read_text()) if one["type"] == "stall"]
    for stall in running_stalls:
        assert stall["in_progress"] and stall["cause"] == "sleep"
        assert stall["culprit"]["function"] == "stuck"
        assert stall["culprit"]["expression"] == "time.sleep(60)"
    first, second = running_stalls[:2]
    assert 0.5 <= first["duration_seconds"] < 1.0 <= second["duration_seconds"] < 1.6
    assert first["monotonic_ns"] == second["monotonic_ns"]


def test_a_loop_that_is_killed_in_a_stall_shows_where_it_was(tmp_path):
    script = tmp_path / "app.py"
    script.write_text(STUCK)
    path = tmp_path / "stalls.json"
    with running([PYTHON, str(script)]) as process:
        with tracing(path, "--pid", str(process.pid)):
            time.sleep(4)
            process.send_signal(signal.SIGKILL)
            process.wait(5)
    stalls = [one for one in parse_lines(path.read_text()) if one["type"] == "stall"]
    assert not stalls[-1]["in_progress"]
    assert stalls[-1]["culprit"]["function"] == "stuck"


def test_moved_causes_reach_the_sums(trace, tmp_path):
    """What the frames say of a stall's cause is in the summary's sums too, as in the metrics."""
    script = tmp_path / "app.py"
    script.write_text(GARBAGE)
    traced = trace(PYTHON, script)
    (stall,) = traced.results.stalls
    causes = traced.results.summary["causes"]
    assert causes["gc"] == pytest.approx(stall["causes"]["gc"], rel=0.01)


REPLACED = """
import asyncio, sys, time
def blocks():
    time.sleep(0.08)
NAMES = ["renamed_%02d" % number for number in range(12)]
def rename(number):  # the code object before the last one is free then
    name = NAMES[number]
    new = {"co_name": name, "co_qualname": name} if sys.version_info >= (3, 11) else {"co_name": name}
    blocks.__code__ = blocks.__code__.replace(**new)
async def main():
    await asyncio.sleep(0.2)
    for number in range(12):
        rename(number)
        await asyncio.sleep(0.02)
        blocks()
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.05)
asyncio.run(main())
"""


def test_a_code_object_in_the_place_of_another_has_its_own_name(trace, tmp_path):
    script = tmp_path / "replaced.py"
    script.write_text(REPLACED)
    stalls = trace(PYTHON, script).results.stalls
    assert [stall["frames"][0]["function"] for stall in stalls] == ["renamed_%02d" % i for i in range(12)]
