"""Processes that show a frame walker memory as no CPython has it: their stalls are timed all the
same, what cannot be read has no name, and nothing of it costs more than its bound."""
import subprocess

import pytest
from conftest import LOOPSIGHT, TARGETS, parse_lines

MODES = [
    "good",
    "cyclic_frames",
    "cyclic_threads",
    "wild_threads",
    "wild_frame",
    "kernel_frame",
    "wild_code",
    "wild_names",
    "huge_lengths",
    "bad_kinds",
    "invalid_text",
    "garbage_lines",
    "deep",
    "secret_file",
]
MAX_FRAMES = 80


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    program = tmp_path_factory.mktemp("hostile") / "hostile_python"
    source = TARGETS / "hostile_python.c"
    subprocess.run(["cc", "-O1", "-rdynamic", "-o", program, source], check=True)
    return program


def trace_measured(target, mode, tmp_path):
    """The stalls, and the tracer's peak of memory in kilobytes."""
    results = tmp_path / "stalls.json"
    command = [LOOPSIGHT, "trace", "--format", "json", "--output", str(results), "--"]
    script = (
        "import resource, subprocess, sys\n"
        "code = subprocess.call(sys.argv[1:])\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        ["/usr/bin/python3", "-c", script, *command, str(target), mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=60,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    text = results.read_bytes().decode("utf-8")  # valid whatever the names are
    stalls = [one for one in parse_lines(text) if one["type"] == "stall"]
    return stalls, int(done.stdout.split()[-1]), text


@pytest.mark.parametrize("mode", MODES)
def test_hostile_memory(target, tmp_path, mode):
    stalls, peak_kb, text = trace_measured(target, mode, tmp_path)
    assert len(stalls) == 8
    for stall in stalls:
        assert stall["cause"] == "sleep"
        assert 0.119 < stall["duration_seconds"] < 0.5
        assert len(stall["frames"]) <= MAX_FRAMES + 1
        for frame in stall["frames"]:
            assert len(frame["function"]) <= 256 and len(frame["file"]) <= 256
    assert peak_kb < 100_000
    assert "\x1b" not in text and "\\u001b" not in text

    functions = [frame["function"] for frame in stalls[0]["frames"]]
    culprit = stalls[0]["culprit"]
    if mode in ("good", "wild_threads"):  # its thread state is known by then
        assert functions == ["victim", "BaseEventLoop._run_once"]
        assert culprit["function"] == "victim"
    elif mode == "cyclic_frames":
        assert functions == ["victim", "other"] * (MAX_FRAMES // 2)
        assert stalls[0]["frames_cut"]
    elif mode == "deep":
        assert functions == ["deep"] * MAX_FRAMES
        assert stalls[0]["frames_cut"]
    elif mode in ("wild_frame", "kernel_frame"):
        assert functions == ["victim", "<unreadable>"]
    elif mode in ("cyclic_threads", "wild_code"):
        assert functions == [] and culprit is None
    elif mode in ("wild_names", "bad_kinds"):
        assert functions == ["<unreadable>", "BaseEventLoop._run_once"]
    elif mode == "huge_lengths":
        assert functions[0].endswith("\u2026") or functions[0] == "<unreadable>"
    elif mode == "invalid_text":
        assert functions[1].startswith("<script>") and "\n" not in functions[1]
    elif mode == "garbage_lines":
        assert culprit["function"] == "victim"
    elif mode == "secret_file":
        # Root's process may read it; the test of one that may not is in unit/source_file_test.cpp.
        assert culprit["file"] == "/etc/shadow"
        assert culprit["expression"] is None
