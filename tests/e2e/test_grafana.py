"""Every panel of the dashboards has something to show: its queries are run by a real Prometheus
that scraped the real daemon while it watched real faults."""
import shutil
import subprocess
import sys
import time

import pytest
from conftest import PYTHON, ROOT, TARGETS, ZOO, free_port, running, wait_until
from monitoring import QUIET, daemon, prometheus

sys.path.insert(0, str(ROOT / "tests" / "deploy"))

from dashboards import DASHBOARDS, load, panels, substituted  # noqa: E402

# Metrics that the daemon does not have yet, by how their names begin.
NOT_YET = (
    "loopsight_delayed_event",
    "loopsight_executor",
    "loopsight_gc_pause_seconds",
    "loopsight_gil_wait_seconds",
    "loopsight_loop_polls",
    "loopsight_timer_lateness_seconds",
)

FAULTS = [
    "time_sleep",
    "python_loop",
    "garbage_collection",
    "held_interpreter_lock",
    "lock_acquire",
    "subprocess_run",
    "tcp_receive",
]

VALUES = {
    "job": "loopsight",
    "instance": ".+",
    "workload": ".+",
    "__rate_interval": "15s",
    "__range": "30s",
}


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("grafana")
    stuck = scratch / "stuck-shop.py"
    shutil.copy(TARGETS / "stuck.py", stuck)
    rules = sorted((ROOT / "deploy" / "prometheus").glob("loopsight.*.yml"))
    port = free_port()
    with daemon(port), prometheus(scratch / "prometheus", port, rules) as server:
        zoo = [PYTHON, ZOO / "stall_zoo.py", *FAULTS * 200]
        late = [PYTHON, TARGETS / "on_demand.py"]  # its timers wait for its stalls
        with running(zoo, **QUIET), running([PYTHON, stuck], **QUIET):
            with running(late, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
                process.stdin.write(b"100000\n")
                process.stdin.flush()
                yield server


def queries():
    for path in DASHBOARDS:
        for panel in panels(load(path)):
            for target in panel["targets"]:
                if not any(metric in target["expr"] for metric in NOT_YET):
                    title = "%s: %s: %s" % (path.stem, panel["title"], target["expr"])
                    yield title, substituted(target["expr"], **VALUES), target["instant"]


def test_every_query_returns_data(watched):
    waiting = list(queries())
    assert len(waiting) > 40
    start = time.time()

    def nothing_is_empty():
        nonlocal waiting
        waiting = [
            one
            for one in waiting
            if not (
                watched.has_numbers(one[1])
                if one[2]
                else watched.has_numbers(one[1], start, time.time())
            )
        ]
        return not waiting

    wait_until(nothing_is_empty, 60)
    assert not waiting, "\n".join(title for title, _, _ in waiting)


def test_the_heat_map_has_every_bucket(watched):
    buckets = watched.query("count by (le) (loopsight_loop_iteration_seconds_bucket)")
    assert len(buckets) == 15


def test_the_alert_of_a_stuck_loop_fires(watched):
    firing = 'ALERTS{alertname="LoopsightLoopStalled",alertstate="firing",workload="stuck-shop.py"}'
    assert wait_until(lambda: watched.value(firing) == 1, 60)
    age = watched.value('max(loopsight_loop_stalled_seconds{workload="stuck-shop.py"})')
    assert age > 10
    assert watched.value('count(ALERTS{alertname="LoopsightDown"})') is None
