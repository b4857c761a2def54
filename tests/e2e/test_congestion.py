"""A loop that is only busy: no stall, and hardly any time left. What fills it is told."""
import json
import subprocess

import pytest
from conftest import LOOPSIGHT, PYTHON

PROGRAM = """
import asyncio, random, socket, sys, threading, time
def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end: pass
# Of random lengths, as work is: a period that is a multiple of the scheduler's tick is always looked at
# in the same places.
def price():
    end = time.monotonic() + random.uniform(0.003, 0.009)
    while time.monotonic() < end: pass
def render():
    end = time.monotonic() + random.uniform(0.001, 0.003)
    while time.monotonic() < end: pass
near, far = socket.socketpair()
def ask():  # a blocking client whose peer takes 5 ms
    near.send(b"x")
    near.recv(1)
def answer():
    while far.recv(1):
        time.sleep(0.005)
        far.send(b"y")
async def small(end):
    while time.monotonic() < end:
        price(); await asyncio.sleep(0)
        render(); await asyncio.sleep(0)
async def waits(end):
    threading.Thread(target=answer, daemon=True).start()
    while time.monotonic() < end:
        ask(); await asyncio.sleep(0)
async def half(end):
    while time.monotonic() < end:
        spin(0.005); await asyncio.sleep(0.005)
async def stalls(end):
    while time.monotonic() < end:
        spin(0.15); await asyncio.sleep(0.01)
asyncio.run(globals()[sys.argv[1]](time.monotonic() + 14))
"""


def congestions(which, tmp_path, *options):
    out = tmp_path / "lines"
    traced = subprocess.run(
        [LOOPSIGHT, "trace", "--format", "json", "--output", out, *options, "--", PYTHON, "-c",
         PROGRAM, which], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=90)
    assert traced.returncode == 0, traced.stderr
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    return [one for one in lines if one["type"] == "congestion"]


def test_many_short_callbacks(tmp_path):
    found = congestions("small", tmp_path)
    assert [one["in_progress"] for one in found] == [True, False]
    for one in found:
        assert one["busy_share"] > 0.85 and one["duration_seconds"] >= 10
        assert one["longest_seconds"] and one["iterations"] > 200
    shares = {}
    for part in found[-1]["contributors"]:
        shares[part["function"]] = shares.get(part["function"], 0) + part["share"]
    assert found[-1]["samples"] > 100
    assert shares["price"] == pytest.approx(0.75, abs=0.15), shares
    assert shares["render"] == pytest.approx(0.25, abs=0.15), shares
    assert found[-1]["culprit"]["function"] == "price"
    assert found[-1]["contributors"][0]["interpreter_lock_share"] > 0.8


def test_many_short_waits(tmp_path):
    found = congestions("waits", tmp_path)
    assert found, "not told"
    first = found[0]["contributors"][0]
    assert (first["function"], first["cause"]) == ("ask", "network"), found[0]["contributors"]
    assert max(found[0]["causes"], key=found[0]["causes"].get) == "network"
    assert "asynchronous client" in found[0]["advice"]


@pytest.mark.parametrize("which", ["half", "stalls"])
def test_not_of_a_loop_with_time_left_or_with_stalls(tmp_path, which):
    assert congestions(which, tmp_path) == []
