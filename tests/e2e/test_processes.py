"""Which processes: those that were there before us, forks, execs, bursts, odd interpreters."""
import json
import os
import shutil
import subprocess
import textwrap
import time

import pytest
from conftest import (
    LOOPSIGHT,
    PYTHON,
    parse_lines,
    read_results,
    running,
    tracing,
    wait_until,
)

LOOP = textwrap.dedent(
    """
    import asyncio, json, os, sys, time
    async def main():
        await asyncio.sleep(float(sys.argv[1]) if len(sys.argv) > 1 else 0.05)
        start = time.monotonic(); time.sleep(0.1)
        print(json.dumps([start, time.monotonic(), os.getpid()]), flush=True)
        await asyncio.sleep(0.05)
    """
)
RUN = LOOP + "asyncio.run(main())\n"


def check(results, truths):
    for start, end, pid in truths:
        stalls = [one for one in results.around(start, end) if one["pid"] == pid]
        assert len(stalls) == 1, (start, end, pid, results.all)


def truths_of(output):
    return [json.loads(line) for line in output.splitlines()]


def test_a_process_that_was_there_before(tmp_path):
    out = tmp_path / "x.json"
    with running([PYTHON, "-c", RUN, "2.5"], stdout=subprocess.PIPE, text=True) as process:
        time.sleep(0.5)  # it is inside its poll call when we come
        with tracing(out, "--pid", str(process.pid)):
            output = process.communicate(timeout=20)[0]
            wait_until(lambda: False, 0.3)
    check(read_results(out), truths_of(output))


def test_the_trace_ends_with_the_last_of_its_processes(tmp_path):
    out = tmp_path / "x.json"
    with running([PYTHON, "-c", RUN, "1.5"], stdout=subprocess.PIPE) as process:
        with tracing(out, "--pid", str(process.pid)) as tracer:
            process.wait(20)
            assert wait_until(lambda: tracer.poll() is not None, 10)
            assert tracer.returncode == 0


def test_host_wide_discovery(tmp_path):
    """Started before and after us; only our own are looked at."""
    out = tmp_path / "x.json"
    with running([PYTHON, "-c", RUN, "3"], stdout=subprocess.PIPE, text=True) as before:
        with tracing(out, "--all"):
            with running([PYTHON, "-c", RUN, "0.3"], stdout=subprocess.PIPE, text=True) as after:
                outputs = [one.communicate(timeout=20)[0] for one in (before, after)]
            wait_until(lambda: False, 0.3)
    check(read_results(out), [truth for output in outputs for truth in truths_of(output)])


def test_workers_forked_without_exec(trace):
    code = LOOP + textwrap.dedent(
        """
        pids = []
        for i in range(4):
            pid = os.fork()
            if pid == 0:
                asyncio.run(main()); os._exit(0)
            pids.append(pid)
        for pid in pids: os.waitpid(pid, 0)
        """
    )
    traced = trace(PYTHON, "-c", code)
    truths = truths_of(traced.output)
    assert len(truths) == 4 and len(traced.results.stalls) == 4
    check(traced.results, truths)
    assert {stall["worker"] for stall in traced.results.stalls} == {0, 1, 2, 3}


def test_a_worker_forked_from_inside_a_loop(trace):
    code = LOOP + textwrap.dedent(
        """
        async def parent():
            await asyncio.sleep(0.05)
            pid = os.fork()
            if pid == 0:
                asyncio._set_running_loop(None)
                asyncio.new_event_loop().run_until_complete(main()); os._exit(0)
            await asyncio.sleep(0.5)
            os.waitpid(pid, 0)
        asyncio.run(parent())
        """
    )
    traced = trace(PYTHON, "-c", code)
    truths = truths_of(traced.output)
    assert len(truths) == 1
    check(traced.results, truths)
    assert len(traced.results.stalls) == 1


def test_through_a_shell_and_an_exec(trace, tmp_path):
    script = tmp_path / "service.py"
    script.write_text(RUN)
    traced = trace("sh", "-c", "true; %s %s; exec %s %s" % (PYTHON, script, PYTHON, script))
    truths = truths_of(traced.output)
    assert len(truths) == 2
    check(traced.results, truths)
    assert {stall["workload"] for stall in traced.results.stalls} == {"service.py"}


def test_an_exec_into_another_interpreter(trace):
    code = RUN + "os.execv(sys.executable, [sys.executable, '-c', %r])\n" % RUN
    traced = trace(PYTHON, "-c", code)
    truths = truths_of(traced.output)
    assert len(truths) == 2 and truths[0][2] == truths[1][2]
    check(traced.results, truths)


@pytest.mark.parametrize("how", ["renamed", "deleted", "link", "script"])
def test_an_interpreter_is_known_by_what_it_is(trace, tmp_path, how):
    interpreter = tmp_path / "gunicorn"
    if how == "link":
        interpreter.symlink_to(os.path.realpath(PYTHON))
    else:
        shutil.copy(os.path.realpath(PYTHON), interpreter)
    command = [str(interpreter), "-c", RUN]
    if how == "script":
        script = tmp_path / "serve"
        script.write_text("#!%s\n%s" % (interpreter, RUN))
        script.chmod(0o755)
        command = [str(script)]
    if how == "deleted":  # as after an upgrade of the package, while the service runs on
        command[2] = "import os; os.unlink(%r)\n%s" % (str(interpreter), RUN)
    env = dict(os.environ, PYTHONHOME="/usr")
    traced = trace(*command, env=env)
    truths = truths_of(traced.output)
    assert len(truths) == 1, traced.errors
    check(traced.results, truths)
    assert traced.results.stalls[0]["loop"] == "asyncio"


def test_an_embedding_program(trace, tmp_path):
    """A program of another name that has the interpreter in a shared library."""
    library = subprocess.run(
        ["sh", "-c", "ls /usr/lib/*/libpython3.11.so.1.0"], stdout=subprocess.PIPE, text=True
    ).stdout.strip()
    compiler = shutil.which("cc") or shutil.which("g++")
    if not library or not compiler:
        pytest.skip("no libpython3.11.so or no compiler on this machine")
    source = tmp_path / "tool.c"
    source.write_text(
        "extern int Py_BytesMain(int, char **);\n"
        "int main(int c, char **v) { return Py_BytesMain(c, v); }\n"
    )
    tool = tmp_path / "tool"
    subprocess.run([compiler, "-x", "c", source, "-x", "none", library, "-o", tool], check=True)
    traced = trace(str(tool), "-c", RUN)
    check(traced.results, truths_of(traced.output))
    assert len(traced.results.stalls) == 1


def test_a_process_in_a_chroot_and_in_its_own_namespaces(trace, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    script = textwrap.dedent(
        """
        mount --rbind / {root}
        mount -t tmpfs none {root}/mnt
        exec unshare --fork --pid chroot {root} {python} -c "$CODE"
        """
    ).format(root=root, python=PYTHON)
    env = dict(os.environ, CODE=RUN)
    traced = trace("unshare", "--mount", "sh", "-ec", script, env=env)
    assert traced.returncode == 0, traced.errors
    ((start, end, pid),) = truths_of(traced.output)
    assert pid < 10  # what it believes its pid to be
    stalls = traced.results.around(start, end)
    assert len(stalls) == 1 and stalls[0]["pid"] != pid


def test_a_burst_of_short_lived_processes(trace):
    """500 processes within seconds, each with a loop: counted right, nothing lost, no crash."""
    code = LOOP + textwrap.dedent(
        """
        import gc; gc.freeze()
        async def short():
            await asyncio.sleep(0.01)
        for batch in range(25):
            pids = []
            for i in range(20):
                pid = os.fork()
                if pid == 0:
                    asyncio.run(short()); os._exit(0)
                pids.append(pid)
            for pid in pids: os.waitpid(pid, 0)
        asyncio.run(main())
        """
    )
    traced = trace(PYTHON, "-c", code, timeout=180)
    assert traced.returncode == 0, traced.errors
    summary = traced.results.summary
    assert summary["lost"] == 0
    truths = truths_of(traced.output)
    check(traced.results, truths)
    guilty = [one for one in traced.results.stalls if one["blame"] == "code"]
    assert len(guilty) == 1, guilty
    # What a forked child is follows from its parent, whether it is still there or not.
    assert len(summary["loops"]) > 450


def test_a_pid_that_is_given_again(tmp_path):
    """Two programs one after the other under one pid are two workloads."""
    out = tmp_path / "x.json"
    names = ["first.py", "second.py"]
    for name in names:
        (tmp_path / name).write_text(RUN)
    last_pid = "/proc/sys/kernel/ns_last_pid"
    if not os.access(last_pid, os.W_OK):
        pytest.skip("this kernel cannot be told the next pid (CONFIG_CHECKPOINT_RESTORE)")
    truths = []
    with tracing(out, "--all"):
        for attempt in range(20):
            with running([PYTHON, tmp_path / "first.py"], stdout=subprocess.PIPE, text=True) as one:
                first = truths_of(one.communicate(timeout=20)[0])
            with open(last_pid, "w") as file:
                file.write(str(one.pid - 1))
            with running([PYTHON, tmp_path / "second.py"], stdout=subprocess.PIPE, text=True) as two:
                second = truths_of(two.communicate(timeout=20)[0])
            if one.pid == two.pid:
                truths = first + second
                break
    assert truths, "no pid came twice in 20 attempts"
    results = read_results(out)
    check(results, truths)
    workloads = [
        stall["workload"] for truth in truths for stall in results.around(truth[0], truth[1])
        if stall["pid"] == truth[2]
    ]
    assert workloads == names


def test_recordings_replay_to_the_same(tmp_path):
    recording = tmp_path / "a.lsrec"
    got = subprocess.run(
        [LOOPSIGHT, "record", "-o", recording, "--", PYTHON, "-c", RUN],
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    truths = truths_of("\n".join(x for x in got.stdout.splitlines() if x.startswith("[")))
    assert oct(recording.stat().st_mode & 0o777) == "0o600"
    replayed = subprocess.run(
        [LOOPSIGHT, "replay", "--format", "json", recording], stdout=subprocess.PIPE, text=True
    )
    lines = parse_lines(replayed.stdout)
    stalls = [line for line in lines if line["type"] == "stall"]
    assert len(stalls) == 1 and stalls[0]["pid"] == truths[0][2]
    assert stalls[0]["duration_seconds"] == pytest.approx(truths[0][1] - truths[0][0], abs=0.005)
    again = subprocess.run(
        [LOOPSIGHT, "replay", "--format", "json", recording], stdout=subprocess.PIPE, text=True
    )
    assert again.stdout == replayed.stdout
