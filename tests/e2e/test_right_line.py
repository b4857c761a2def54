"""The right line of the right function: what each program does, it says itself."""
import json
import pathlib
import subprocess
import zipfile

import pytest
from conftest import LOOPSIGHT, parse_lines, read_results
from registry import interpreter, site_packages, venv

VERSIONS = ["3.11", "3.12", "3.13"]
HOST = ("run_queue", "throttled", "stopped", "page_fault")  # what a busy machine makes of a cause
HEAD = """
import asyncio, json, sys, time
def row(function, line, start):
    print(json.dumps({"function": function, "line": line, "start": start,
                      "end": time.monotonic()}), flush=True)
def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end: pass
"""


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


def line_of(text, mark):
    return 1 + next(i for i, line in enumerate(text.splitlines()) if mark in line)


def stalls_of(tmp_path, python, text, options=(), env=None):
    """The program's own rows, and for each the stall that it lies in."""
    program = tmp_path / "app.py"
    program.write_text(text)
    out = tmp_path / "stalls.json"
    done = subprocess.run(
        [LOOPSIGHT, "trace", "--format", "json", "--output", out, *options, "--", python, program],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180, env=env,
        cwd=tmp_path)
    results = read_results(out)
    rows = parse_lines(done.stdout)
    assert rows, done.stderr
    found = []
    for row in rows:
        around = results.around(row["start"] + 1e-3, row["end"] - 1e-3)
        assert len(around) == 1, (row, results.all)
        found.append((row, around[0]))
    return found


def test_the_line_that_had_most_of_the_time(tmp_path, version):
    text = HEAD + """
small, big = json.dumps(list(range(300_000))), [(-i * 7919) % 1_000_003 for i in range(900_000)]
async def handler():
    json.loads(small)
    sorted(big); sorted(big, key=str)
async def main():
    await asyncio.sleep(1)
    for _ in range(5):
        start = time.monotonic()
        await handler()
        row("handler", 0, start)
        await asyncio.sleep(0.2)
asyncio.run(main())
"""
    for _, stall in stalls_of(tmp_path, interpreter(version), text):
        assert stall["culprit"]["function"] == "handler"
        assert stall["culprit"]["line"] == line_of(text, "sorted(big);")
        assert stall["contributors"][0]["line"] == stall["culprit"]["line"]
        assert "JSON" not in stall["advice"]


def test_deep_recursion_of_a_library_keeps_both_ends(tmp_path, version):
    text = HEAD + """
import copy
def snapshot(tree):
    return copy.deepcopy(tree)
async def main():
    tree = [0] * 3000
    for _ in range(200): tree = [tree, dict.fromkeys(range(60), 1)]
    await asyncio.sleep(1)
    sys.setrecursionlimit(5000)
    for _ in range(5):
        start = time.monotonic()
        while time.monotonic() < start + 0.15: snapshot(tree)
        row("snapshot", 0, start)
        await asyncio.sleep(0.2)
asyncio.run(main())
"""
    for _, stall in stalls_of(tmp_path, interpreter(version), text):
        assert stall["culprit"]["function"] == "snapshot", stall["culprit"]
        assert stall["culprit"]["rule"] == "own"
        assert stall["frames"][-1]["function"] == "<module>"
    assert any(stall["frames_left_out"] for _, stall in stalls_of(
        tmp_path, interpreter(version), text))


SQL = HEAD + """
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
class Base(DeclarativeBase): pass
class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    a: Mapped[int] = mapped_column(); b: Mapped[int] = mapped_column(); c: Mapped[str] = mapped_column()
async def fetch_orders(session):
    return (await session.execute(sa.select(Order))).scalars().all()
def read_all(session):
    return session.query(Order).all()
async def report(session):
    await session.run_sync(read_all)
async def main():
    engine = create_async_engine("sqlite+aiosqlite://")
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.execute(sa.insert(Order), [{"a": i, "b": i, "c": "x" * 20} for i in range(15000)])
    await asyncio.sleep(1)
    for function in (fetch_orders, report) * 3:
        async with AsyncSession(engine) as session:
            start = time.monotonic()
            await function(session)
            row(function.__name__, 0, start)
        await asyncio.sleep(0.2)
    await engine.dispose()
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_sqlalchemys_greenlets(tmp_path, version, loop):
    """Code in a greenlet is told with the coroutine that switched to it."""
    folder = venv(version, "sqlalchemy", "greenlet", "aiosqlite", "uvloop")
    run = "asyncio.run(main())" if loop == "asyncio" else "import uvloop; uvloop.run(main())"
    program = tmp_path / "app.py"
    program.write_text(SQL + run + "\n")
    out = tmp_path / "stalls.json"
    done = subprocess.run(
        [LOOPSIGHT, "trace", "--format", "json", "--output", out, "--threshold", "30ms", "--",
         folder / "bin/python", program],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180)
    rows = parse_lines(done.stdout)
    assert len(rows) == 6, done.stderr
    results = read_results(out)
    seen = 0
    for row in rows:
        inside = [s for s in results.stalls
                  if row["start"] <= s["monotonic_ns"] / 1e9 + 0.005 and
                  s["monotonic_ns"] / 1e9 + s["duration_seconds"] <= row["end"] + 0.3]
        for stall in inside:
            if not any("/sqlalchemy/" in frame["file"] for frame in stall["frames"]):
                continue
            seen += 1
            wanted = "read_all" if row["function"] == "report" else "fetch_orders"
            assert stall["culprit"]["function"] == wanted, stall["culprit"]
            assert stall["culprit"]["rule"] == "own"
            functions = [frame["function"] for frame in stall["frames"]]
            assert row["function"] in functions and "greenlet_spawn" in functions
            assert stall["task"], stall
    assert seen >= 4, results.all


def test_code_that_a_library_writes_is_its_callers(tmp_path, version):
    text = HEAD + """
import dataclasses
@dataclasses.dataclass(order=True)
class Big:
    number: int
def compare_all():
    end = time.monotonic() + 0.2
    while time.monotonic() < end: Big(1) < Big(2)
async def main():
    await asyncio.sleep(1)
    for _ in range(5):
        start = time.monotonic()
        compare_all()
        row("compare_all", 0, start)
        await asyncio.sleep(0.2)
asyncio.run(main())
"""
    for row, stall in stalls_of(tmp_path, interpreter(version), text):
        assert stall["culprit"]["function"] == row["function"], stall["culprit"]


def test_a_zipped_standard_library(tmp_path, version):
    """What an embedding program has: none of it is own code."""
    python = interpreter(version)
    lib = subprocess.run([python, "-c", "import os; print(os.path.dirname(os.__file__))"],
                         capture_output=True, text=True, check=True).stdout.strip()
    archive = tmp_path / f"python{version.replace('.', '')}.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in pathlib.Path(lib).rglob("*.py"):
            if "site-packages" not in path.parts and "test" not in path.parts:
                zipped.write(path, path.relative_to(lib))
    text = HEAD + """
import configparser, io
assert ".zip/" in configparser.__file__, configparser.__file__
source = "[a]\\n" + "".join(f"k{i} = {i}\\n" for i in range(60000))
def load():
    configparser.ConfigParser().read_file(io.StringIO(source))
async def main():
    await asyncio.sleep(1)
    for _ in range(5):
        start = time.monotonic()
        load()
        row("load", 0, start)
        await asyncio.sleep(0.2)
asyncio.run(main())
"""
    env = {"PYTHONPATH": str(archive), "PATH": "/usr/bin:/bin"}
    for _, stall in stalls_of(tmp_path, python, text, env=env):
        assert stall["culprit"]["function"] == "load", stall["culprit"]
        assert stall["culprit"]["rule"] == "own"


def test_a_bound_is_never_told_as_a_fact(tmp_path, version):
    """60,000 tiny steps in one iteration, whatever the length of the stall."""
    text = HEAD + """
import gc
steps = []
async def fetch_one(n):
    await asyncio.sleep(0)
    steps.append(time.monotonic())
    await asyncio.sleep(0)
async def fetch_all(count):
    steps.clear()
    await asyncio.gather(*[fetch_one(n) for n in range(count)])
    print(json.dumps({"start": steps[0], "end": steps[-1],
                      "largest": max(b - a for a, b in zip(steps, steps[1:]))}), flush=True)
async def main():
    await asyncio.sleep(1)
    for count in (60_000, 20_000, 60_000):
        await fetch_all(count)
        await asyncio.sleep(0.3)
gc.collect(); gc.disable()
asyncio.run(main())
"""
    checked = 0
    for row, stall in stalls_of(tmp_path, interpreter(version), text):
        callbacks = stall["callbacks"]
        assert callbacks["ready"] >= 20_000
        share = row["largest"] / stall["duration_seconds"]
        assert callbacks["largest_share"] <= share + 0.05
        assert callbacks["largest_at_most"] >= share * 0.9
        assert "Many callbacks" in stall["advice"] or stall["cause"] in HOST, stall["advice"]
        assert stall["culprit"]["function"] == "fetch_one", stall["contributors"]
        checked += 1
    assert checked == 3


def test_the_task_is_never_one_of_the_loops_own_methods(tmp_path, version):
    text = HEAD + """
class Echo(asyncio.Protocol):
    def data_received(self, data):
        start = time.monotonic()
        time.sleep(0.12)
        row("data_received", 0, start)
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    await asyncio.sleep(1)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    for _ in range(4):
        writer.write(b"x")
        await asyncio.sleep(0.3)
asyncio.run(main())
"""
    for _, stall in stalls_of(tmp_path, interpreter(version), text):
        assert stall["culprit"]["function"] == "Echo.data_received"
        assert stall["task"] == "Echo.data_received"


def test_the_holder_of_the_lock_is_to_blame_for_a_loop_that_does_nothing(tmp_path, version):
    text = HEAD + """
import threading
def hold():
    global pattern
    import re
    while True:
        re.match(r"(a+)+$", "a" * 25 + "b")   # holds the lock all the time
        time.sleep(0.3)
async def main():
    threading.Thread(target=hold, daemon=True).start()
    end = time.monotonic() + 4
    while time.monotonic() < end: await asyncio.sleep(0.01)
    print(json.dumps({"done": 1}), flush=True)
asyncio.run(main())
"""
    program = tmp_path / "app.py"
    program.write_text(text)
    out = tmp_path / "stalls.json"
    subprocess.run([LOOPSIGHT, "trace", "--format", "json", "--output", out, "--",
                    interpreter(version), program], capture_output=True, timeout=60)
    stalls = [s for s in read_results(out).stalls if s["cause"] == "gil"]
    # One may begin where the thread is started, which is the program's own doing.
    stalls = [s for s in stalls if s["culprit"]["function"] != "main"]
    assert stalls
    for stall in stalls:
        assert stall["culprit"]["function"] == "hold", stall["culprit"]
        assert stall["culprit"]["rule"] == "holder"
