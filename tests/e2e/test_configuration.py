"""loopsight.yml: thresholds and rules that reach the kernel, a reload that loses nothing."""
import contextlib
import json
import pathlib
import re
import signal
import subprocess
import textwrap

from conftest import LOOPSIGHT, PYTHON, free_port, http_get, running, wait_until
from test_metrics import value

# Blocks for each number of milliseconds that it is given; says so once it has.
PROGRAM = """
import asyncio, sys, time
async def main():
    loop = asyncio.get_running_loop()
    print("runs", flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        time.sleep(int(line) / 1000)
        print("blocked", flush=True)
asyncio.run(main())
"""


class Program:
    def __init__(self, process):
        self.process = process
        assert process.stdout.readline() == "runs\n"

    def block(self, milliseconds):
        self.process.stdin.write("%d\n" % milliseconds)
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "blocked\n"


@contextlib.contextmanager
def program(path):
    path.write_text(PROGRAM)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with running([PYTHON, str(path)], **pipes) as process:
        yield Program(process)


@contextlib.contextmanager
def daemon(config, *options, log):
    port = free_port()
    command = [LOOPSIGHT, "run", "--config", str(config), *options]
    command += ["--web.listen-address", "127.0.0.1:%d" % port]
    with open(log, "w") as errors, running(command, stderr=errors) as process:

        def ready():
            with contextlib.suppress(OSError):
                return http_get(port, "/-/ready")[0] == 200
            return process.poll() is not None

        assert wait_until(ready, 60) and process.poll() is None, log.read_text()
        yield port, process


def write(path, text):
    path.write_text(textwrap.dedent(text))
    return path


def stalls(port, name):
    # Of our own sleeps alone: a busy machine makes stalls of other causes.
    return value(port, "loopsight_stalls_total", workload=name, cause="sleep")


def loops(port, name):
    return value(port, "loopsight_loops", workload=name)


def reload(process, port, log):
    """Sends SIGHUP and waits until it was acted on."""
    before = log.read_text().count("configuration")
    process.send_signal(signal.SIGHUP)
    assert wait_until(lambda: log.read_text().count("configuration") > before, 30), log.read_text()


def test_two_thresholds_and_a_reload(tmp_path):
    config = write(
        tmp_path / "loopsight.yml",
        """
        threshold: 20s
        workloads:
          - {match: '^quick[.]py$', threshold: 100ms}
          - {match: quick, threshold: 1m}
        processes: {exclude: ['^left-out']}
        """,
    )
    log = tmp_path / "log"
    quick, slow, left_out = (tmp_path / name for name in ("quick.py", "slow.py", "left-out.py"))
    with daemon(config, log=log) as (port, process), program(quick) as one, program(
        slow
    ) as two, program(left_out) as three:
        for each in (one, two, three):
            each.block(10)
        assert wait_until(lambda: loops(port, "quick.py") == 1 and loops(port, "slow.py") == 1, 30)
        for each in (one, two, three):
            each.block(300)
        assert wait_until(lambda: stalls(port, "quick.py") == 1, 30)
        assert stalls(port, "slow.py") == 0 and loops(port, "left-out.py") == 0

        # Wrong: all stays as it was, and that is said.
        assert value(port, "loopsight_config_last_reload_successful") == 1
        write(config, "threshold: 50ms\nworkload: []\n")
        reload(process, port, log)
        assert wait_until(lambda: value(port, "loopsight_config_last_reload_successful") == 0, 30)
        assert "%s:2:1: unknown key 'workload'" % config in log.read_text()
        assert "did you mean 'workloads'?" in log.read_text()
        for each in (two, three):
            each.block(300)
            each.block(1)  # the iteration of the long one has ended

        # Right: thresholds and rules change places; what was counted stays.
        write(
            config,
            """
            workloads:
              - {match: quick, watch: false}
              - {match: slow, threshold: 100ms}
              - {match: left-out, threshold: 100ms}
            """,
        )
        reload(process, port, log)
        assert wait_until(lambda: value(port, "loopsight_config_last_reload_successful") == 1, 30)
        assert value(port, "loopsight_config_last_reload_success_timestamp_seconds") > 1.6e9
        for each in (one, two, three):
            each.block(10)
        assert wait_until(lambda: loops(port, "left-out.py") == 1, 30)
        assert wait_until(lambda: loops(port, "quick.py") == 0, 30)
        for each in (one, two, three):
            each.block(300)
        assert wait_until(lambda: stalls(port, "slow.py") == 1, 30)
        assert wait_until(lambda: stalls(port, "left-out.py") == 1, 30)
        assert stalls(port, "quick.py") == 1

        # A loop that was let go is taken up again.
        write(config, "threshold: 100ms\n")
        reload(process, port, log)
        assert wait_until(lambda: one.block(10) or loops(port, "quick.py") == 1, 30)
        one.block(300)
        assert wait_until(lambda: stalls(port, "quick.py") == 2, 30)
        assert process.poll() is None


def test_root_gives_up_what_is_not_needed(tmp_path):
    config = write(tmp_path / "c.yml", "threshold: 1s\n")
    kept = {2: "dac_read_search", 19: "sys_ptrace", 21: "sys_admin"}
    kept |= {38: "perfmon", 39: "bpf", 40: "checkpoint_restore"}
    with daemon(config, log=tmp_path / "log") as (_, process):
        for status in pathlib.Path("/proc/%d/task" % process.pid).glob("*/status"):
            text = status.read_text()
            for name in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
                bits = int(re.search(name + r":\t(\w+)", text)[1], 16)
                assert {bit for bit in range(64) if bits >> bit & 1} <= set(kept), (name, text)
            assert "NoNewPrivs:\t1" in text


def check(*arguments):
    got = subprocess.run(
        [LOOPSIGHT, "run", "--config.check", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    return got.returncode, got.stdout, got.stderr


def test_checking_says_where_and_what(tmp_path):
    good = write(tmp_path / "good.yml", "threshold: 75ms\n")
    assert check("--config", good) == (0, "%s is right\n" % good, "")
    bad = write(tmp_path / "bad.yml", "log:\n  level: loud\n")
    status, output, error = check("--config", bad)
    assert status == 1 and output == ""
    assert error == (
        "loopsight: %s:2:10: found 'loud', expected one of trace, debug, info, warn, error\n" % bad
    )
    status, _, error = check("--config", tmp_path / "none.yml")
    assert status == 1 and "No such file" in error and error.count("\n") == 1


def test_the_command_line_wins_and_the_log_can_be_json(tmp_path):
    config = write(tmp_path / "c.yml", "threshold: 20s\nlog: {level: debug, format: json}\n")
    log = tmp_path / "log"
    name = tmp_path / "mine.py"
    with daemon(config, "--threshold", "100ms", log=log) as (port, _), program(name) as one:
        one.block(10)
        assert wait_until(lambda: loops(port, "mine.py") == 1, 30)
        one.block(300)
        assert wait_until(lambda: stalls(port, "mine.py") == 1, 30)
        lines = [json.loads(line) for line in log.read_text().splitlines(True) if line[-1] == "\n"]
        assert all({"time", "level", "message"} == set(line) for line in lines)
        assert any(line["level"] == "debug" for line in lines)
