"""Bad input: one clear line, the right exit status, nothing left attached."""
import os
import signal
import subprocess
import time

import pytest
from conftest import (
    LOOPSIGHT,
    PYTHON,
    ZOO,
    free_port,
    our_programs,
    running,
    tracing,
    wait_for_port,
    wait_until,
)


def call(*arguments, **options):
    return subprocess.run(
        [LOOPSIGHT, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=60,
        **options,
    )


@pytest.fixture(autouse=True)
def nothing_stays_attached():
    before = our_programs()
    yield
    assert wait_until(lambda: our_programs() <= before, 15)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["bogus"],
        ["trace"],
        ["trace", "--bogus"],
        ["trace", "--all", "--threshold", "5"],
        ["trace", "--all", "--duration", "-1s"],
        ["trace", "--pid", "x"],
        ["trace", "python3", "app.py"],
        ["trace", "--all", "--", "true"],
        ["record", "--all"],
        ["run", "--threshold", "0s"],
    ],
)
def test_wrong_usage_is_status_2(arguments):
    got = call(*arguments)
    assert got.returncode == 2
    assert got.stdout == ""
    assert got.stderr.count("\n") == 1 and "--help" in got.stderr


def one_line(got):
    assert got.returncode == 1
    assert got.stderr.count("\n") == 1, got.stderr
    assert got.stderr.startswith("loopsight: ")
    return got.stderr


def test_a_pid_that_does_not_exist():
    assert "no such process" in one_line(call("trace", "--pid", "4194303"))


def test_a_pid_that_is_no_python():
    with running(["sleep", "30"]) as sleeper:
        line = one_line(call("trace", "--pid", str(sleeper.pid)))
        assert "no CPython interpreter" in line and "(sleep)" in line


def test_a_command_that_does_not_exist():
    assert "cannot run nosuchcommand" in one_line(call("trace", "--", "nosuchcommand"))
    assert "No such file" in one_line(call("trace", "--", "./no/such/file"))


def test_a_command_that_is_not_executable(tmp_path):
    script = tmp_path / "app.py"
    script.write_text("pass\n")
    assert "Permission denied" in one_line(call("trace", "--", str(script)))
    assert "Permission denied" in one_line(call("trace", "--", str(tmp_path)))


def test_a_command_that_cannot_be_executed(tmp_path):
    script = tmp_path / "app"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    assert "cannot run" in one_line(call("trace", "--", str(script)))


def test_not_root():
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    copy = "/tmp/loopsight-nobody-%d" % os.getpid()
    subprocess.run(["install", "-m", "755", LOOPSIGHT, copy], check=True)
    try:
        for selection in (["--all"], ["--pid", str(os.getpid())]):
            command = [copy, "trace", *selection]
            got = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=30, **nobody)
            assert "not root" in one_line(got) and "sudo" in got.stderr
            assert "CAP_BPF" in got.stderr and "CAP_SYS_PTRACE" in got.stderr
    finally:
        os.unlink(copy)


def test_a_port_that_is_taken():
    port = free_port()
    with running([PYTHON, "-m", "http.server", "--bind", "127.0.0.1", str(port)],
                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        wait_for_port(port)
        line = one_line(call("run", "--web.listen-address", "127.0.0.1:%d" % port))
        assert "127.0.0.1:%d" % port in line and "--web.listen-address" in line


def test_an_output_that_cannot_be_written(tmp_path):
    line = one_line(call("trace", "--all", "--output", str(tmp_path / "no" / "dir")))
    assert "--output" in line


def test_a_disk_that_is_full():
    got = call(
        "trace", "--output", "/dev/full", "--", PYTHON, str(ZOO / "stall_zoo.py"), "time_sleep"
    )
    assert "No space left" in one_line(got)


def test_a_recording_that_is_none(tmp_path):
    assert "No such file" in one_line(call("replay", str(tmp_path / "nothing")))
    bad = tmp_path / "bad"
    bad.write_text("x" * 1000)
    assert "not a recording" in one_line(call("replay", str(bad)))


# --- nothing stays attached, however it ends -------------------------------------------------------
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_detaches_when_a_signal_ends_it(tmp_path, number):
    before = our_programs()
    with tracing(tmp_path / "x.json", "--all") as process:
        assert our_programs() > before
        process.send_signal(number)
        process.wait(20)
        assert process.returncode == (-9 if number == signal.SIGKILL else 0)
    assert wait_until(lambda: our_programs() <= before, 15)


def test_it_ends_at_its_duration(tmp_path):
    start = time.monotonic()
    assert call("trace", "--all", "--duration", "1s").returncode == 0
    assert time.monotonic() - start >= 1


# --- the command's own streams, status and signals -------------------------------------------------
def test_streams_and_status_pass_through():
    code = "import sys; data = sys.stdin.read(); print('out', data); print('err', file=sys.stderr); sys.exit(7)"
    got = subprocess.run(
        [LOOPSIGHT, "trace", "-q", "--", PYTHON, "-c", code],
        input="in",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert got.returncode == 7
    assert got.stdout == "out in\n"
    assert got.stderr == "err\n"


def test_a_signal_that_ends_the_command_is_its_status():
    assert call("trace", "-q", "--", "sh", "-c", "kill -9 $$").returncode == 128 + 9


def test_signals_reach_the_command(tmp_path):
    marker = tmp_path / "ready"
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *a: sys.exit(42))\n"
        "assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()\n"
        "assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN  # Python's own doing\n"
        "open(%r, 'w').close()\n"
        "time.sleep(30)\n" % str(marker)
    )
    with running([LOOPSIGHT, "trace", "-q", "--", PYTHON, "-c", code]) as process:
        assert wait_until(marker.exists, 15)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 42


def test_the_command_ends_with_the_duration():
    got = call("trace", "--duration", "500ms", "--", "sleep", "30")
    assert got.returncode == 128 + signal.SIGTERM
    assert "no event loop was seen" in got.stdout


def test_a_command_that_does_not_end_by_sigterm():
    """As uwsgi's master, which reloads then, and robyn's, which goes on."""
    got = call("trace", "--duration", "500ms", "--", "sh", "-c", "trap '' TERM; trap 'exit 3' INT; while :; do sleep 0.1; done")
    assert got.returncode == 3 and "did not end at SIGTERM: it gets SIGINT now" in got.stderr
    deaf = "trap '' TERM INT; while :; do sleep 0.1; done"
    got = call("trace", "--duration", "500ms", "--", "sh", "-c", deaf)
    assert got.returncode == 128 + signal.SIGKILL and "it gets SIGKILL now" in got.stderr


def test_check_says_what_works():
    got = call("check")
    assert got.returncode == 0, got.stdout
    assert "loopsight can trace on this host" in got.stdout
    assert "sched_switch" in got.stdout
