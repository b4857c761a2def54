"""`loopsight report` on what trace and record wrote."""
import json
import subprocess

from conftest import LOOPSIGHT, PYTHON, ROOT

RECORDING = ROOT / "tests" / "replay" / "zoo-asyncio.lsrec"
PROGRAM = """
import asyncio, sys, time

def blocking():
    time.sleep(0.1)

async def main(times):
    for _ in range(times):
        blocking()
        await asyncio.sleep(0.01)
    await asyncio.sleep(0 if times else 3)

asyncio.run(main(int(sys.argv[1])))
"""


def report(*arguments, check=True):
    return subprocess.run(
        [LOOPSIGHT, "report", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=check,
    )


def traced(tmp_path, name, times):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    path = tmp_path / name
    subprocess.run(
        [LOOPSIGHT, "trace", "--format", "json", "--output", path, "--",
         PYTHON, program, str(times)],
        check=True, timeout=120, stdin=subprocess.DEVNULL,
    )
    return path


def test_recording_and_its_json_lines_give_the_same_report(tmp_path):
    lines = tmp_path / "zoo.jsonl"
    subprocess.run(
        [LOOPSIGHT, "replay", "--format", "json", "--output", lines, RECORDING], check=True
    )
    from_recording = json.loads(report("--format", "json", RECORDING).stdout)
    from_lines = json.loads(report("--format", "json", lines).stdout)
    assert from_recording["stalls"] == from_lines["stalls"] > 40
    for key in ("seconds", "watched_seconds", "iterations", "causes", "culprits", "loops"):
        assert from_recording[key] == from_lines[key], key


def test_before_and_after_of_a_real_program(tmp_path):
    before = traced(tmp_path, "before.jsonl", 25)
    after = traced(tmp_path, "after.jsonl", 0)
    text = report(before, after).stdout
    assert "**Fewer stalls**" in text
    rows = [line for line in text.splitlines() if "blocking` | sleep |" in line]
    assert len(rows) == 1 and rows[0].endswith("| gone |")
    one = json.loads(report("--format", "json", before).stdout)
    blocked = [item for item in one["culprits"] if item["culprit"].endswith(":blocking")]
    # The busy phase before a loop's first poll is not seen; what else may be missed is little.
    assert 15 <= sum(item["stalls"] for item in blocked) <= 25
    assert sum(item["seconds"] for item in blocked) >= 1.5
    assert one["watched_seconds"] >= 2.5


def test_bad_lines_are_counted_and_foreign_files_refused(tmp_path):
    path = tmp_path / "mixed.jsonl"
    good = subprocess.run(
        [LOOPSIGHT, "replay", "--format", "json", RECORDING], check=True, stdout=subprocess.PIPE
    ).stdout
    path.write_bytes(b"\xff\xfe\n" + good + b'{"type":"stall"}\n' + b"[" * 2_000_000 + b"\n{cut off")
    assert json.loads(report("--format", "json", path).stdout)["bad_lines"] == 4
    assert "4 lines in `mixed.jsonl` could not be read" in report(path).stdout
    foreign = report(PYTHON, check=False)
    assert foreign.returncode == 1 and "is of loopsight" in foreign.stderr
    missing = report(tmp_path / "none", check=False)
    assert missing.returncode == 1 and "No such file" in missing.stderr
    assert report(path, path, path, check=False).returncode == 2
    merged = json.loads(report("--format", "json", "--merge", path, path).stdout)
    assert merged["stalls"] == 2 * json.loads(report("--format", "json", path).stdout)["stalls"]
