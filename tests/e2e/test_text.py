"""What a person reads: the text output says what the JSON knows."""
import re
import signal
import subprocess

import pytest
from conftest import LOOPSIGHT, PYTHON, free_port, http_get, parse_lines, running, wait_for_port, wait_until

PROGRAM = """
import asyncio, time
def parse(): time.sleep(0.12)
async def handler(): parse()
async def main():
    await asyncio.sleep(1)
    for _ in range(2):
        await handler()
        await asyncio.sleep(0.2)
asyncio.run(main())
"""
MIXED = """
import asyncio, time
def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end: pass
def spin_too(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end: pass
def first(): spin(0.08)
def third(): spin_too(0.06)
def second(): time.sleep(0.07)
async def main():
    await asyncio.sleep(1)
    for _ in range(2):
        first(); second(); third()
        await asyncio.sleep(0.3)
asyncio.run(main())
"""
KILLED = """
import asyncio, time
async def main():
    await asyncio.sleep(1)
    time.sleep(60)
asyncio.run(main())
"""


def text_of(tmp_path, program, *options):
    script = tmp_path / "app.py"
    script.write_text(program)
    done = subprocess.run([LOOPSIGHT, "trace", *options, "--", PYTHON, script],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    return done.stdout


def test_says_at_the_start_what_is_watched(tmp_path):
    first = text_of(tmp_path, PROGRAM, "--threshold", "80ms").splitlines()[0]
    assert re.fullmatch(r"watching pid \d+ \(python3\) and its children; a stall is a busy phase "
                        r"over 80.0 ms; it ends with the command", first)


def test_one_line_names_the_culprit(tmp_path):
    lines = [line for line in text_of(tmp_path, PROGRAM, "-q").splitlines() if "sleep" in line]
    assert len(lines) == 2
    for line in lines:
        assert re.search(r"stalled for 1\d\d ms: .*, in parse \(.*/app\.py:3\)$", line), line


def test_shows_the_whole_stack(tmp_path):
    text = text_of(tmp_path, PROGRAM, "--frames")
    assert text.count("<module> (") >= 2 and text.count("BaseEventLoop._run_once (") >= 2
    assert "called by handler (app.py:4) ← main (app.py:8)" in text
    assert "_run_once" not in text_of(tmp_path, PROGRAM)


def test_names_contributors_where_none_has_most(tmp_path):
    text = text_of(tmp_path, MIXED)
    found = [line for line in re.findall(r"\n +(\d+ % .*)\n", text) if "second" in line]
    assert len(found) >= 2, text
    for line in found:
        assert "% sleep in second (app.py:11)" in line, text
        assert "% cpu in " in line, text


def test_figures_agree_where_the_process_is_killed_in_a_stall(tmp_path):
    script = tmp_path / "app.py"
    script.write_text(KILLED)
    out = tmp_path / "x.json"
    with running([PYTHON, str(script)]) as process:
        trace = subprocess.Popen([LOOPSIGHT, "trace", "--format", "json", "--output", out, "--pid",
                                  str(process.pid)])
        assert wait_until(lambda: out.exists() and any(
            line.get("in_progress") and line["duration_seconds"] > 1.8
            for line in parse_lines(out.read_text())), 20)
        process.kill()
        process.wait()
        trace.wait(20)
    lines = parse_lines(out.read_text())
    (stall,) = [one for one in lines if one["type"] == "stall" and not one["in_progress"]]
    summary = lines[-1]
    assert summary["busy_seconds"] == pytest.approx(stall["duration_seconds"], abs=0.1)
    assert summary["causes"]["sleep"] == pytest.approx(stall["causes"]["sleep"], abs=0.1)
    assert summary["loops"][0]["state"] == "blocked"


def test_metrics_count_a_running_stall_as_it_passes(tmp_path):
    script = tmp_path / "app.py"
    script.write_text(KILLED)
    port = free_port()

    def busy():
        lines = http_get(port, "/metrics")[1].splitlines()
        return sum(
            float(line.split()[-1])
            for line in lines
            if line.startswith("loopsight_loop_busy_seconds_total{")
            and 'app.py"' in line
            and 'cause="sleep"' in line
        )

    with running([LOOPSIGHT, "run", "--web.listen-address", f"127.0.0.1:{port}"]) as daemon:
        wait_for_port(port, 30)
        with running([PYTHON, str(script)]):
            assert wait_until(lambda: busy() > 2, 20)
        daemon.send_signal(signal.SIGTERM)
