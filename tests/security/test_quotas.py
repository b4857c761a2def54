"""One user's flood takes nothing from anybody else: beside each an honest service is seen whole."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

import pytest
from attacks import AS_ATTACKER, PYTHON, RIGHTS, TARGETS, daemon, http_get, needs_root, running, wait_until

from outcomes import around

pytestmark = needs_root
AS_SERVICE = ("setpriv", "--reuid", "1234", "--regid", "1234", "--clear-groups")
SMALL_TABLES = "tables: {loops: 2048, processes: 1024}\n"


@pytest.fixture(scope="module")
def folder():
    path = pathlib.Path(tempfile.mkdtemp(prefix="loopsight-quotas-"))
    path.chmod(0o755)
    for name in ("honest.py", "flood.py"):
        shutil.copy(TARGETS / name, path / name)
        (path / name).chmod(0o644)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(params=RIGHTS)
def rights(request):
    return request.param


@contextlib.contextmanager
def watching(folder, rights, config="", **options):
    place = pathlib.Path(tempfile.mkdtemp(dir=folder))
    place.chmod(0o755)
    (place / "loopsight.yml").write_text(config or "{}\n")
    (place / "loopsight.yml").chmod(0o644)
    with daemon(place, rights, "--config", str(place / "loopsight.yml"), **options) as one:
        one.log = place / ("log-" + rights)
        yield one


@contextlib.contextmanager
def flooded(folder, *words, start=AS_ATTACKER, python=PYTHON):
    with running([*start, str(python), str(folder / "flood.py"), *map(str, words)], stdin=subprocess.PIPE,
                 stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        yield process


@contextlib.contextmanager
def service(folder):
    with running([*AS_SERVICE, PYTHON, str(folder / "honest.py")], stdin=subprocess.PIPE,
                 stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        yield process


def block(process):
    """Lets the service block twenty times; when it did."""
    process.stdin.write("go\n")
    process.stdin.flush()
    times = []
    while (line := process.stdout.readline()) != "done\n":
        times.append(json.loads(line))
    return times


def seen(watcher, process, times):
    """How many of them were told with what did it."""
    stalls = watcher.stalls_of(process.pid)
    return sum(any(one["culprit"] and one["culprit"]["function"] == "blocks" and one["cause"] != "unknown"
                   for one in around(stalls, *time_of)) for time_of in times)


def check_all_seen(watcher, process):
    times = block(process)
    assert len(times) == 20
    wait_until(lambda: seen(watcher, process, times) == 20, 15)
    assert seen(watcher, process, times) == 20
    return times


def metric(watcher, name, reason):
    text = http_get(watcher.port, "/metrics")[1]
    found = re.search(r'^%s\{reason="%s"\} (\S+)' % (name, reason), text, re.M)
    return float(found[1]) if found else 0.0


def shed(watcher, reason):
    return metric(watcher, "loopsight_discarded_total", reason)


def resident_mb(watcher):
    return int(watcher.status()["VmRSS"].split()[0]) / 1024


def cpu_seconds(watcher):
    fields = pathlib.Path("/proc/%d/stat" % watcher.process.pid).read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def said(watcher, words):
    return watcher.log.read_text().count(words)


def test_code_objects_without_end(folder, rights):
    with watching(folder, rights) as watcher, flooded(folder, "codes", 24):
        time.sleep(20)
        before = resident_mb(watcher)
        with service(folder) as one:
            check_all_seen(watcher, one)
        assert resident_mb(watcher) < max(before * 1.3, 250)


def test_a_loop_in_each_of_thousands_of_threads(folder, rights):
    with watching(folder, rights, SMALL_TABLES) as watcher, contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(flooded(folder, "rows", 800))
        assert wait_until(lambda: shed(watcher, "row_over_share") > 0, 30)
        with service(folder) as one:
            check_all_seen(watcher, one)
        assert said(watcher, "his share of rows of the loop table") == 1


def test_stalls_without_end(folder, rights):
    with watching(folder, rights) as watcher, service(folder) as one, flooded(folder, "records", 400):
        time.sleep(4)
        spent, start = cpu_seconds(watcher), time.monotonic()
        times = check_all_seen(watcher, one)
        assert shed(watcher, "record_over_share") > 0
        assert cpu_seconds(watcher) - spent < 0.9 * (time.monotonic() - start)
        assert resident_mb(watcher) < 200
        # What is kept for the page is by owner, too.
        kept = json.loads(http_get(watcher.port, "/api/v1/stalls?limit=1000")[1])
        mine = [stall for stall in kept if stall["pid"] == one.pid and not stall["in_progress"]]
        assert sum(bool(around(mine, *time_of)) for time_of in times) == 20


def test_names_made_up_by_forks(folder, rights):
    with watching(folder, rights) as watcher, flooded(folder, "labels", 520):
        assert wait_until(lambda: shed(watcher, "folded_label") > 0, 40)
        with service(folder) as one:
            check_all_seen(watcher, one)
            time.sleep(1.5)
            assert 'loopsight_stalls_total{workload="honest.py",cause="sleep"} 20' in \
                http_get(watcher.port, "/metrics")[1].replace(".0\n", "\n")


def test_more_processes_than_there_is_room_for(folder, rights):
    with watching(folder, rights, SMALL_TABLES) as watcher, flooded(folder, "processes", 1200):
        assert wait_until(lambda: shed(watcher, "process_over_share") > 0, 40)
        with service(folder) as one:
            check_all_seen(watcher, one)


def test_memory_that_hangs(folder, rights):
    with watching(folder, rights) as watcher, flooded(folder, "hang", 70, start=()):
        assert wait_until(lambda: shed(watcher, "read_over_share") > 0, 60)
        with service(folder) as one:
            check_all_seen(watcher, one)
        assert said(watcher, "user 65534: too many reads") <= 1
        assert shed(watcher, "read_given_up") < 64


def test_collections_without_end(folder, rights):
    with watching(folder, rights) as watcher, service(folder) as one, flooded(folder, "gc", 1):
        assert wait_until(lambda: said(watcher, "probe gc is taken off"), 30)
        check_all_seen(watcher, one)
        assert 'loopsight_probe_attached{probe="gc"} 1' in http_get(watcher.port, "/metrics")[1]
