"""Programs put together at random, which poll, run children and threads, and start, stop and nest
loops, each with its own truth of what blocked which loop: none is missed and none invented.

LOOPSIGHT_RANDOM_PROGRAMS says how many (20), LOOPSIGHT_RANDOM_SEED from which on (1).
"""
import json
import os
import random
import subprocess
import textwrap

import pytest
from conftest import LOOPSIGHT, PYTHON, Results, parse_lines
from loop_programs import BEFORE, PRELUDE

PROGRAMS = int(os.environ.get("LOOPSIGHT_RANDOM_PROGRAMS", "20"))
SEED = int(os.environ.get("LOOPSIGHT_RANDOM_SEED", "1"))
BATCH = 20

MORE = """
import selectors
def outside(seconds=0.15): time.sleep(seconds)
def own_poller():
    r, w = os.pipe(); p = select.epoll(); p.register(r, select.EPOLLIN)
    for _ in range(3): p.poll(0.01); time.sleep(0.08)
    p.close(); os.close(r); os.close(w)
async def waits():
    start = time.monotonic(); timed_recv(0.1)
    print(json.dumps([start, time.monotonic(), threading.get_native_id()]), flush=True)
    await asyncio.sleep(0.01)
"""
# Each is a step of a program, in the main thread or in one of its own.
STEPS = [
    *BEFORE.values(),
    "outside()",
    "own_poller()",
    "asyncio.run(main({n}, {pause}))",
    "asyncio.run(waits())",
    "kept.run_until_complete(main({n}, {pause}))",
    "kept.run_until_complete(waits())",
    "kept.run_until_complete(asyncio.sleep({pause}))",
    "other = asyncio.SelectorEventLoop(selectors.{selector}()); other.run_until_complete(main({n}, {pause})); other.close()",
    "t = threading.Thread(target=asyncio.run, args=(main({n}, {pause}),)); t.start(); t.join()",
    "t = threading.Thread(target=own_poller); t.start(); asyncio.run(main({n}, {pause})); t.join()",
]


def random_program(seed):
    chance = random.Random(seed)
    lines = ["kept = asyncio.new_event_loop()"]
    for _ in range(chance.randint(2, 7)):
        step = chance.choice(STEPS)
        values = {
            "n": chance.randint(0, 2),
            "pause": chance.choice([0, 0.001, 0.02, 0.06]),
            "selector": chance.choice(["SelectSelector", "PollSelector", "EpollSelector"]),
        }
        for name, value in values.items():
            step = step.replace("{%s}" % name, str(value))
        lines += textwrap.dedent(step).strip().splitlines()
        if chance.random() < 0.4:
            lines.append("outside(%s)" % chance.choice([0.01, 0.07, 0.2]))
    return PRELUDE + MORE + "\n".join(lines) + "\n"


def run_batch(folder, seeds):
    """Traces the programs one after the other; their truths by pid and seed, and the results."""
    script, out = folder / "all.sh", folder / "all.json"
    lines = []
    for seed in seeds:
        path = folder / ("random_%d.py" % seed)
        path.write_text(random_program(seed))
        lines.append("%s %s > %s/%d.out" % (PYTHON, path, folder, seed))
    script.write_text("\n".join(lines))
    subprocess.run(
        [LOOPSIGHT, "trace", "--format", "json", "--output", out, "--", "sh", script],
        timeout=600, stdin=subprocess.DEVNULL,
    )
    truths = []
    for seed in seeds:
        for line in (folder / ("%d.out" % seed)).read_text().splitlines():
            truths.append((seed, *json.loads(line)))
    return truths, Results(parse_lines(out.read_text()))


@pytest.mark.parametrize("first", range(SEED, SEED + PROGRAMS, BATCH))
def test_no_loop_is_missed_and_none_invented(tmp_path, first):
    seeds = range(first, min(first + BATCH, SEED + PROGRAMS))
    truths, results = run_batch(tmp_path, seeds)
    wrong = []
    for seed, start, end, tid in truths:
        stalls = [one for one in results.around(start, end) if one["tid"] == tid]
        if len(stalls) != 1:
            wrong.append(("missed", seed, start, end))
    for one in results.stalls:
        start = one["monotonic_ns"] / 1e9
        end = start + one["duration_seconds"]
        if not any(start <= t + 0.01 and e <= end + 0.01 and tid == one["tid"] for _, t, e, tid in truths):
            wrong.append(("invented", one["workload"], one["cause"], one["duration_seconds"], one["leaf"]))
    assert wrong == []
    assert len(results.stalls) == len(truths)
