"""Processes that show a frame walker memory as no CPython has it: their stalls are timed all the
same, what cannot be read has no name, and nothing of it costs more than its bound."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

import pytest
from conftest import (
    LOOPSIGHT,
    PYTHON,
    TARGETS,
    free_port,
    http_get,
    parse_lines,
    read_results,
    running,
    tracing,
    wait_for_port,
    wait_until,
)

MODES = [
    "good",
    "cyclic_frames",
    "cyclic_threads",
    "wild_threads",
    "wild_frame",
    "kernel_frame",
    "wild_code",
    "wild_object",
    "wild_names",
    "huge_lengths",
    "bad_kinds",
    "invalid_text",
    "garbage_lines",
    "deep",
]
MAX_FRAMES = 80


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    program = tmp_path_factory.mktemp("hostile") / "hostile_python"
    source = TARGETS / "hostile_python.c"
    subprocess.run(["cc", "-O1", "-rdynamic", "-o", program, source], check=True)
    return program


def trace_measured(target, tmp_path, *arguments):
    """The stalls, and the tracer's peak of memory in kilobytes."""
    results = tmp_path / "stalls.json"
    command = [LOOPSIGHT, "trace", "--format", "json", "--output", str(results), "--"]
    script = (
        "import resource, subprocess, sys\n"
        "code = subprocess.call(sys.argv[1:], timeout=60)\n"  # a tracer that hangs is ended, too
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        ["/usr/bin/python3", "-c", script, *command, str(target), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=90,
        text=True,
    )
    assert done.returncode in (0, 4), done.stderr  # 4: no loop is seen there
    text = results.read_bytes().decode("utf-8")  # valid whatever the names are
    stalls = [one for one in parse_lines(text) if one["type"] == "stall"]
    return stalls, int(done.stdout.split()[-1]), text


@pytest.mark.parametrize("mode", MODES)
def test_hostile_memory(target, tmp_path, mode):
    stalls, peak_kb, text = trace_measured(target, tmp_path, mode)
    assert len(stalls) == 8
    for stall in stalls:
        assert stall["cause"] in ("sleep", "run_queue")  # the latter where the host has no time
        assert 0.119 < stall["duration_seconds"]
        assert len(stall["frames"]) <= MAX_FRAMES + 1
        for frame in stall["frames"]:
            assert len(frame["function"]) <= 256 and len(frame["file"]) <= 256
            assert 0 <= frame["line"] < 2**31
    assert peak_kb < 100_000
    assert "\x1b" not in text and "\\u001b" not in text

    calm = next(stall for stall in stalls if stall["cause"] == "sleep")
    functions = [frame["function"] for frame in calm["frames"]]
    culprit = calm["culprit"]
    if mode in ("good", "wild_threads"):  # its thread state is known by then
        assert functions == ["victim", "BaseEventLoop._run_once"]
        assert culprit["function"] == "victim"
    elif mode == "cyclic_frames":
        assert functions == ["victim", "other"] * (MAX_FRAMES // 2)
        assert calm["frames_cut"]
    elif mode == "deep":
        assert functions == ["deep"] * MAX_FRAMES
        assert calm["frames_cut"]
    elif mode in ("wild_frame", "kernel_frame"):
        assert functions == ["victim", "<unreadable>"]
    elif mode in ("cyclic_threads", "wild_code", "wild_object"):
        assert functions == [] and culprit is None
    elif mode in ("wild_names", "bad_kinds"):
        assert functions == ["<unreadable>", "BaseEventLoop._run_once"]
    elif mode == "huge_lengths":
        assert functions[0].endswith("\u2026") or functions[0] == "<unreadable>"
    elif mode == "invalid_text":
        assert functions[1].startswith("<script>") and "\n" not in functions[1]
    elif mode == "garbage_lines":
        assert culprit["function"] == "victim"


@pytest.mark.parametrize("readable", [True, False])
def test_a_source_file_is_shown_to_its_program_alone(target, tmp_path, readable):
    """What a program of nobody's says to be its code, is that only where nobody may read it."""
    with tempfile.TemporaryDirectory(prefix="loopsight-hostile-") as folder:
        os.chmod(folder, 0o755)
        file = pathlib.Path(folder) / "code.py"
        file.write_text("".join("line_%d_of_it_()\n" % number for number in range(1, 10)))
        file.chmod(0o644 if readable else 0o600)
        stalls, _, text = trace_measured(target, tmp_path, "source_file", str(file))
    calm = next(stall for stall in stalls if stall["cause"] == "sleep")
    assert calm["culprit"]["file"] == str(file) and calm["culprit"]["line"] == 7
    assert calm["culprit"]["expression"] == ("line_7_of_it_()" if readable else None)
    assert readable or "_of_it_" not in text


@pytest.mark.parametrize("offset", ["8", "104", "0xfffe"])
def test_a_library_that_is_no_interpreter(tmp_path, offset):
    source = TARGETS / "fake_libpython.c"
    library, program = tmp_path / "libpython3.13.so.1.0", tmp_path / "fake"
    compile_it = ["cc", "-O1", "-DOFFSET=" + offset]
    subprocess.run([*compile_it, "-shared", "-fPIC", "-o", library, source], check=True)
    subprocess.run([*compile_it, "-DPROGRAM", "-o", program, source], check=True)
    stalls, peak_kb, text = trace_measured(program, tmp_path, str(library))
    # It polls as a loop does, so it is timed as one; nothing that its offsets lead to is a frame.
    # With 8 its list of threads can be read, and the thread that polls is not in it.
    assert len(stalls) == (0 if offset == "8" else 6)
    for stall in stalls:
        assert 0.119 < stall["duration_seconds"]
        assert stall["frames"] == [] and stall["culprit"] is None
    assert peak_kb < 100_000
    assert "\x1b" not in text


def build(tmp_path, name, *options):
    subprocess.run(["cc", "-O1", *options, "-o", tmp_path / name, TARGETS / (name + ".c")], check=True)
    return str(tmp_path / name)


@contextlib.contextmanager
def daemon(*options):
    port = free_port()
    command = [LOOPSIGHT, "run", "--web.listen-address", "127.0.0.1:%d" % port, *options]
    with running(command, stderr=subprocess.DEVNULL) as process:
        wait_for_port(port, 60)
        assert wait_until(lambda: http_get(port, "/-/ready")[0] == 200, 60)
        yield port, process


def memory_kb(process):
    """The peak so far."""
    status = pathlib.Path("/proc/%d/status" % process.pid).read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1))


def stalls_of(port, workload):
    status, body = http_get(port, "/api/v1/stalls?limit=10000&workload=" + workload)
    assert status == 200
    return json.loads(body)


def test_ten_thousand_function_names(tmp_path):
    count = 10_000
    program = tmp_path / "many_names.py"
    program.write_text((TARGETS / "many_names.py").read_text())
    with daemon("--threshold", "1ms") as (port, process):
        with running([PYTHON, str(program), str(count)], stdout=subprocess.PIPE, text=True) as target:
            assert target.stdout.readline() == "done\n"

            def metrics():
                return http_get(port, "/metrics")[1]

            def series(name):
                return [
                    line
                    for line in metrics().splitlines()
                    if line.startswith(name + "{") and 'workload="many_names.py"' in line
                ]

            # Most of them are told, and counted under few labels.
            def counted():
                return sum(float(line.rsplit(" ", 1)[1]) for line in series("loopsight_stalls_total"))

            assert wait_until(lambda: counted() >= count * 0.9, 60), counted()
            labels = series("loopsight_stall_seconds_total")
            assert 32 <= len(labels) <= 32 + 16  # and one "other" of each cause
            assert any('culprit="other"' in line for line in labels)
            text = metrics()
            assert len(text) < 1_000_000
            for hidden in "\x1b\x07\r\u202e\u2066":
                assert hidden not in text
            stalls = stalls_of(port, "many_names.py")
            assert stalls
            names = {stall["culprit"]["function"] for stall in stalls if stall["culprit"]}
            assert any("<img" in name for name in names)
            for name in names:
                assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", name), repr(name)
            assert process.poll() is None
            print("peak: %d kB, /metrics: %d bytes" % (memory_kb(process), len(text)))
            assert memory_kb(process) < 200_000


def test_a_file_that_is_cut_while_it_is_read(tmp_path, target):
    flicker = build(tmp_path, "flickering_file")
    with daemon() as (port, process):
        subprocess.run([flicker, str(target), "4"], cwd=tmp_path, check=True, timeout=120)
        assert process.poll() is None
        assert http_get(port, "/-/healthy")[0] == 200
        assert memory_kb(process) < 200_000
        # It still does its work.
        subprocess.run([str(target), "good"], check=True, timeout=60)
        assert wait_until(lambda: len(stalls_of(port, "hostile_python")) >= 8, 60)


HELD = [str(TARGETS / "held_memory.py"), "held"]
FREE = HELD[:1]
PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}


def go(*programs):
    """What they print of their stalls; then they wait for the end of their input."""
    for one in programs:
        one.stdin.write("go\n")
        one.stdin.flush()
    return [json.loads(one.stdout.readline()) for one in programs for _ in range(10)]


def end(*programs):
    for one in programs:
        one.communicate(timeout=60)


def check_all_told(path, truths):
    results = read_results(path)
    for start, end, pid in truths:
        stalls = [stall for stall in results.around(start, end) if stall["pid"] == pid]
        assert len(stalls) == 1, (start, end, pid)
        assert stalls[0]["culprit"]["function"] == "block"
    return results


def test_memory_that_is_held_back(tmp_path):
    """It holds up one read, not the tracer: all stalls are told, those of its process too."""
    out = tmp_path / "x.json"
    with running([PYTHON, *HELD], **PIPES) as held, running([PYTHON, *FREE], **PIPES) as other:
        for one in (held, other):
            said = one.stdout.readline()
            if said.startswith("no "):
                pytest.skip(said)
            assert said == "ready\n"
        with tracing(out, "--pid", str(held.pid), "--pid", str(other.pid)) as tracer:
            truths = go(held, other)
            end(held, other)
            errors = tracer.communicate(timeout=20)[1]  # it ends with the last of its processes
    assert tracer.returncode == 0
    check_all_told(out, truths)
    assert errors.count(f"pid {held.pid}: reading its files or memory has not come back") == 1


def has_epoll(pid):
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):  # it may be closed meanwhile
            if "eventpoll" in os.readlink(f"/proc/{pid}/fd/{descriptor}"):
                return True
    return False


@pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="this kernel has no FUSE")
def test_an_interpreter_on_a_mount_whose_server_hangs(tmp_path):
    """Nobody can say what such a process is until it is back; its parent is watched meanwhile."""
    out = tmp_path / "x.json"
    folder, mount = tmp_path / "folder", tmp_path / "mount"
    folder.mkdir()
    mount.mkdir()
    shutil.copy(os.path.realpath(PYTHON), folder / "python3")
    stalls = "import asyncio, time\n" + (
        "async def main():\n"
        "    for _ in range(60):\n"
        "        await asyncio.sleep(1); time.sleep(0.1)\n"
        "asyncio.run(main())\n"
    )
    env = {**os.environ, "PYTHONHOME": "/usr"}

    def stalls_of_child():
        whole = out.read_text().rpartition("\n")[0]  # a line may be in the making
        return [one for one in parse_lines(whole) if one.get("pid") == int(child)]

    with running(["bindfs", "-f", folder, mount]) as server:
        try:
            assert wait_until(lambda: os.path.ismount(mount))
            command = [PYTHON, *FREE, str(mount / "python3"), "-c", stalls]
            with running(command, env=env, **PIPES) as parent:
                assert parent.stdout.readline() == "ready\n"
                children = pathlib.Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
                child = children.read_text().strip()
                # What it needs of its interpreter's file it has once its loop has gone round.
                assert wait_until(lambda: has_epoll(child))
                time.sleep(2.5)
                server.send_signal(signal.SIGSTOP)
                alone = subprocess.run([LOOPSIGHT, "trace", "--pid", child], text=True,
                                       capture_output=True, timeout=60)
                with tracing(out, "--pid", str(parent.pid)) as tracer:
                    truths = go(parent)
                    assert not stalls_of_child()
                    server.send_signal(signal.SIGCONT)
                    assert wait_until(stalls_of_child, 30)
                    end(parent)
                    errors = tracer.communicate(timeout=20)[1]
        finally:
            server.send_signal(signal.SIGCONT)
            subprocess.run(["umount", "-l", mount], check=False)
    assert alone.returncode == 1
    assert "reading it does not come back" in alone.stderr
    assert tracer.returncode == 0
    check_all_told(out, truths)
    assert errors.count(f"pid {child}: reading its files or memory has not come back") == 1
