"""CPython's own probes: what they tell agrees with what the program measured, each event counts
once whoever maps the interpreter, and everything works without them."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import time

import pytest
from conftest import (
    LOOPSIGHT,
    PYTHON,
    TARGETS,
    ZOO,
    free_port,
    http_get,
    in_suite,
    our_programs,
    parse_lines,
    running,
    wait_for_port,
    wait_until,
)
from outcomes import compare

PROBED = (TARGETS / "probed.py").read_text()
INTERPRETERS = [
    pytest.param(None, None, id="debian"),
    pytest.param("bullseye", "3.9", id="3.9"),
    pytest.param("trixie", "3.13", id="3.13"),
    pytest.param("forky", "3.14", id="3.14"),
    pytest.param("forky", "3.15", id="3.15"),
]


def program(suite, version, tmp_path):
    """The command of the program on an interpreter, and a folder that both see alike."""
    if suite is None:
        (tmp_path / "probed.py").write_text(PROBED)
        return [PYTHON, str(tmp_path / "probed.py")], str(tmp_path)
    python = in_suite(suite, version)
    (pathlib.Path(python[1]) / "probed.py").write_text(PROBED)
    return [*python, "/probed.py"], "/tmp"


def run_traced(trace, command, *options):
    traced = trace(*command, options=["--threshold", "10ms", *options])
    assert traced.returncode == 0, traced.errors
    facts = parse_lines(traced.output)
    assert facts
    return traced.results, facts


@pytest.mark.parametrize("suite, version", INTERPRETERS)
def test_collections_agree_with_the_programs_own_clock(trace, tmp_path, suite, version):
    command, _ = program(suite, version, tmp_path)
    results, facts = run_traced(trace, [*command, "gc"])
    errors = []
    for fact in facts:
        stalls = results.around(fact["start"], fact["end"])
        if not stalls:  # a collection shorter than the threshold
            assert fact["end"] - fact["start"] < 0.011
            continue
        pause = stalls[0]["gc"]
        assert pause["generation"] == fact["generation"]
        assert pause["pauses"] == 1
        assert stalls[0]["inferred"] == []
        true = fact["end"] - fact["start"]
        errors.append(abs(pause["seconds"] - true) / true)
    # One that was preempted between the two clocks says nothing; the median does.
    assert errors and statistics.median(errors) < 0.05, errors


@pytest.mark.parametrize("suite, version", INTERPRETERS)
def test_the_outermost_import_is_named(trace, tmp_path, suite, version):
    command, folder = program(suite, version, tmp_path)
    results, (fact,) = run_traced(trace, [*command, "imports", folder])
    (stall,) = results.around(fact["start"], fact["end"])
    assert stall["cause"] in ("import", "run_queue")
    assert stall["import"]["name"] == fact["name"]
    assert 0.06 <= stall["import"]["seconds"] <= fact["end"] - fact["start"]
    assert stall["causes"]["import"] >= 0.06  # the sleep of the innermost is the import's
    assert "sleep" not in stall["causes"]
    assert stall["inferred"] == []


@pytest.mark.parametrize("suite, version", INTERPRETERS)
def test_audit_names_the_blocking_call(trace, tmp_path, suite, version):
    command, folder = program(suite, version, tmp_path)
    results, facts = run_traced(trace, [*command, "calls", folder], "--audit")
    minor = int((version or "3.11").split(".")[1])
    assert len(facts) == 5
    for fact in facts:
        (stall,) = results.around(fact["start"], fact["end"])
        if fact["event"] == "time.sleep" and minor < 13:
            assert stall["call"] is None  # an audit event from 3.13 on
            continue
        assert stall["call"] is not None, (fact, stall)
        assert stall["call"]["event"] == fact["event"]
        if fact["argument"] is not None:
            assert stall["call"]["argument"] == fact["argument"]


def test_no_call_is_named_unless_asked_for(trace, tmp_path):
    command, folder = program(None, None, tmp_path)
    results, _ = run_traced(trace, [*command, "calls", folder])
    assert results.stalls and all(stall["call"] is None for stall in results.stalls)


def test_functions_are_counted_where_the_probe_fires(trace, tmp_path):
    command, _ = program("bullseye", "3.9", tmp_path)
    results, (fact,) = run_traced(trace, [*command, "functions"], "--functions")
    (stall,) = results.around(fact["start"], fact["end"])
    first = stall["functions"]["most_called"][0]
    assert first["function"] == "counted"
    assert first["calls"] == fact["calls"]
    assert first["file"].endswith("probed.py")
    assert stall["functions"]["calls"] >= fact["calls"]


def test_functions_are_refused_where_it_does_not():
    with running([PYTHON, "-c", "import time; time.sleep(60)"]) as target:
        wait_until(lambda: "libc" in pathlib.Path(f"/proc/{target.pid}/maps").read_text())
        command = [LOOPSIGHT, "trace", "--functions", "--pid", str(target.pid)]
        refused = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60)
        assert refused.returncode == 1
        assert "does not fire for ordinary calls" in refused.stderr


def copy_of_python(path):
    shutil.copy(os.path.realpath(PYTHON), path)
    return str(path)


def test_without_probes_the_causes_are_inferred(trace, tmp_path):
    bare = copy_of_python(tmp_path / "python3.11")
    stripped = subprocess.run(["objcopy", "-R", ".note.stapsdt", bare], stderr=subprocess.PIPE)
    assert stripped.returncode == 0, stripped.stderr
    env = {**os.environ, "PYTHONHOME": "/usr"}
    traced = trace(bare, ZOO / "stall_zoo.py", env=env)
    assert traced.returncode == 0, traced.errors
    outcomes = compare(parse_lines(traced.output), traced.results.stalls)
    assert len(outcomes) >= 38
    inferred = set()
    for one in outcomes:
        assert one.cause_is_right, (one.kind, one.stalls and one.stall["causes"])
        for cause in {"gc", "import"} & set(one.causes):
            assert cause in one.stall["inferred"], one.stall
            inferred.add(cause)
    assert inferred == {"gc", "import"}


def test_files_that_others_may_write_to_are_not_attached_to(trace, tmp_path):
    other = copy_of_python(tmp_path / "python3.11")
    os.chown(other, 65534, 65534)
    (tmp_path / "probed.py").write_text(PROBED)
    env = {**os.environ, "PYTHONHOME": "/usr"}
    traced = trace(
        other, tmp_path / "probed.py", "imports", tmp_path, options=["--threshold", "10ms"], env=env
    )
    assert traced.returncode == 0, traced.errors
    assert "belongs to user 65534" in traced.errors
    (fact,) = parse_lines(traced.output)
    (stall,) = traced.results.around(fact["start"], fact["end"])
    assert stall["import"] is None and stall["cause"] in ("import", "run_queue")
    assert stall["inferred"] == ["import"]


def probe_links(pid):
    """How many links of the daemon attach to many sites at once."""
    found = 0
    for path in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            found += "link_type:\tuprobe_multi" in path.read_text()
    return found


@contextlib.contextmanager
def daemon(*options):
    port = free_port()
    command = [LOOPSIGHT, "run", "--web.listen-address", f"127.0.0.1:{port}", *options]
    with running(command, stderr=subprocess.PIPE, text=True) as process:
        wait_for_port(port)
        assert wait_until(lambda: http_get(port, "/-/ready")[0] == 200, 30)
        yield process, port


def metric(port, pattern):
    """The sum of the samples whose name and labels match."""
    values = [
        float(line.rsplit(" ", 1)[1])
        for line in http_get(port, "/metrics")[1].splitlines()
        if re.match(pattern, line)
    ]
    return sum(values) if values else None


SLEEPER = """
import asyncio, gc, sys
async def main():
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    for _ in range(10):
        gc.collect()
        await asyncio.sleep(0.05)
    print("done", flush=True)
    await asyncio.sleep(60)
gc.disable()
asyncio.run(main())
"""


def test_two_views_of_one_interpreter_count_once(tmp_path):
    """Two overlays over one folder, as two containers over one image."""
    lower = tmp_path / "lower"
    lower.mkdir()
    copy_of_python(lower / "python3.11")
    (lower / "overlaid.py").write_text(SLEEPER)
    script = 'mount -t tmpfs tmpfs "$1" && mkdir "$1/up" "$1/work" "$1/merged" && '
    script += 'mount -t overlay -o "lowerdir=$2,upperdir=$1/up,workdir=$1/work" overlay "$1/merged"'
    script += ' && exec "$1/merged/python3.11" "$1/merged/overlaid.py"'
    env = {**os.environ, "PYTHONHOME": "/usr"}
    with contextlib.ExitStack() as stack:
        targets = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            command = ["unshare", "--mount", "bash", "-c", script, "sh", tmp_path / name, lower]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            targets.append(stack.enter_context(running(command, env=env, **pipes)))
        for target in targets:
            if target.stdout.readline() != "ready\n":
                pytest.skip("no overlay can be mounted here")
        selection = ["--pid", ",".join(str(target.pid) for target in targets)]
        output = tmp_path / "stalls.json"
        command = [LOOPSIGHT, "trace", "--threshold", "1ms", "--format", "json", "--output", output]
        tracer = stack.enter_context(running([*command, *selection]))
        if not wait_until(lambda: probe_links(tracer.pid) >= 2, 20):
            pytest.skip("this kernel has no links of many sites")
        time.sleep(0.5)
        assert probe_links(tracer.pid) == 2  # gc and imports, of one inode
        for target in targets:
            target.stdin.write("\n")
            target.stdin.flush()
            assert target.stdout.readline() == "done\n"
        time.sleep(0.5)
        tracer.send_signal(signal.SIGINT)
        tracer.wait(20)
        stalls = [line for line in parse_lines(output.read_text()) if line["type"] == "stall"]
        pauses = [stall["gc"]["pauses"] for stall in stalls if stall["gc"]]
        assert pauses and set(pauses) == {1}, pauses


def test_pauses_become_a_histogram(tmp_path):
    script = tmp_path / "histogram_of_pauses.py"
    script.write_text(SLEEPER)
    with daemon() as (_, port), running(
        [PYTHON, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as target:
        assert target.stdout.readline() == "ready\n"
        assert wait_until(lambda: metric(port, r'loopsight_loops\{.*histogram_of_pauses'), 20)
        target.stdin.write("\n")
        target.stdin.flush()
        assert target.stdout.readline() == "done\n"
        name = r'loopsight_gc_pause_seconds_count\{.*histogram_of_pauses.*generation="2"'
        # asyncio.run collects nothing by itself; what is counted is the program's own ten.
        assert wait_until(lambda: metric(port, name) == 10, 20), metric(port, name)
        assert metric(port, r'loopsight_probe_attached\{probe="gc"\}') == 1
        assert metric(port, r'loopsight_probe_attached\{probe="audit"\}') == 0
        assert metric(port, r'loopsight_probe_hits_total\{probe="gc"\}') >= 20


FLOOD = """
import sys, time
end = time.monotonic() + 60
while time.monotonic() < end:
    for _ in range(1000):
        sys.audit("loopsight.test", 1)
"""


def test_a_flood_of_audit_events_takes_the_probe_off(tmp_path):
    mine = copy_of_python(tmp_path / "python3.11")  # so that nobody else's events count
    env = {**os.environ, "PYTHONHOME": "/usr"}
    with running([mine, "-c", FLOOD], env=env) as target:
        command = [LOOPSIGHT, "trace", "--audit", "--pid", str(target.pid), "--duration", "60s"]
        with running(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as one:
            lines = []
            for line in one.stderr:
                lines.append(line)
                if "taken off" in line:
                    break
            else:
                pytest.fail("".join(lines))
            assert f"pid {target.pid} raised" in lines[-1]
            assert "tried again in 5 minutes" in lines[-1]
            assert wait_until(lambda: probe_links(one.pid) <= 2, 10)


def test_nothing_stays_attached_to_fifty_interpreters(tmp_path):
    source = os.path.realpath(PYTHON)
    env = {**os.environ, "PYTHONHOME": "/usr"}
    before = our_programs()
    with contextlib.ExitStack() as stack:
        pids = []
        for number in range(50):
            copy = copy_of_python(tmp_path / f"python{number}")
            sleep = "import time; time.sleep(120)"
            pids.append(stack.enter_context(running([copy, "-S", "-c", sleep], env=env)).pid)
        assert wait_until(
            lambda: all(os.path.realpath(f"/proc/{pid}/exe") != source for pid in pids), 20
        )
        command = [LOOPSIGHT, "trace", "--pid", ",".join(map(str, pids))]
        with running(command, stdout=subprocess.DEVNULL) as tracer:
            if not wait_until(lambda: probe_links(tracer.pid) >= 100, 60):
                pytest.skip(f"{probe_links(tracer.pid)} links of many sites: another kind here")
            start = time.monotonic()
            tracer.send_signal(signal.SIGINT)
            assert tracer.wait(60) == 4  # none of them has a loop
            print("stopped in %.2f s" % (time.monotonic() - start))
        assert wait_until(lambda: not our_programs() - before, 20)


def test_check_says_which_probes_an_interpreter_has(tmp_path):
    bare = copy_of_python(tmp_path / "python3.11")
    subprocess.run(["objcopy", "-R", ".note.stapsdt", bare], check=True)
    sleep = "import time; time.sleep(60)"
    env = {**os.environ, "PYTHONHOME": "/usr"}
    with running([PYTHON, "-c", sleep]) as full, running([bare, "-c", sleep], env=env) as none:
        for pid in (full.pid, none.pid):
            assert wait_until(lambda: "libc" in pathlib.Path(f"/proc/{pid}/maps").read_text())
        command = [LOOPSIGHT, "check", "--format", "json"]
        got = json.loads(subprocess.run(command, stdout=subprocess.PIPE, timeout=60).stdout)
        by_pid = {one["pid"]: one for one in got["processes"]}
        assert by_pid[full.pid]["probes"] == ["gc", "imports", "audit"]
        assert by_pid[full.pid]["inferred_causes"] == []
        assert by_pid[none.pid]["probes"] == []
        assert by_pid[none.pid]["why_no_probes"] == "built without them"
        assert by_pid[none.pid]["inferred_causes"] == ["gc", "import"]
