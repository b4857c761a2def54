"""The daemon: what Prometheus and its users see."""
import contextlib
import json
import os
import re
import signal
import subprocess
import time

import pytest
from conftest import (
    LOOPSIGHT,
    PYTHON,
    TARGETS,
    free_port,
    http_get,
    our_programs,
    running,
    skip_without,
    wait_for_port,
    wait_until,
)

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@contextlib.contextmanager
def daemon():
    port = free_port()
    command = [LOOPSIGHT, "run", "--web.listen-address", "127.0.0.1:%d" % port]
    with running(command, stderr=subprocess.PIPE, text=True) as process:
        wait_for_port(port)
        assert wait_until(lambda: http_get(port, "/-/ready")[0] == 200, 20)
        yield port, process


def samples(port):
    """{(name, labels): value} of /metrics; labels is a frozenset of pairs."""
    found = {}
    for line in http_get(port, "/metrics")[1].splitlines():
        match = re.match(r'([a-z_]+)(?:\{(.*)\})? (\S+)$', line)
        if match:
            labels = frozenset(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', match[2] or ""))
            found[match[1], labels] = float(match[3])
    return found


def value(port, name, **labels):
    wanted = set(labels.items())
    return sum(v for (n, have), v in samples(port).items() if n == name and wanted <= set(have))


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A daemon, a service of a name of its own, and the truth of three stalls."""
    skip_without("aiohttp")
    service = tmp_path_factory.mktemp("service") / ("shop-%d.py" % os.getpid())
    service.write_text((TARGETS / "web_aiohttp.py").read_text())
    port = free_port()
    with daemon() as (http, process):
        with running([PYTHON, service, str(port)], **QUIET) as server:
            wait_for_port(port)
            truths = [json.loads(http_get(port, "/stall?ms=150")[1]) for _ in range(3)]
            assert wait_until(
                lambda: value(http, "loopsight_stalls_total", workload=service.name) == 3
            )
            yield http, process, service.name, port, server, truths


def test_promtool_finds_nothing_to_complain_about(watched):
    page = http_get(watched[0], "/metrics")[1]
    got = subprocess.run(
        ["promtool", "check", "metrics"],
        input=page,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert got.returncode == 0 and got.stdout == "", got.stdout


def test_stalls_are_counted_by_cause(watched):
    http, _, name, _, _, truths = watched
    assert value(http, "loopsight_stalls_total", workload=name, cause="sleep") == 3
    true_seconds = sum(one["end"] - one["start"] for one in truths)
    seconds = value(http, "loopsight_stall_seconds_total", workload=name)
    assert seconds == pytest.approx(true_seconds, rel=0.05)
    assert value(http, "loopsight_loops", workload=name, loop="asyncio") == 1
    known = {
        dict(labels)["cause"]
        for (metric, labels) in samples(http)
        if metric == "loopsight_stalls_total" and ("workload", name) in labels
    }
    assert len(known) == 17  # each cause starts at 0


def test_the_histogram_and_the_sums_agree(watched):
    http, _, name, port, _, _ = watched
    for _ in range(10):
        http_get(port)
    wait_until(lambda: False, 7)  # an idle loop is looked at every five seconds
    page = samples(http)

    def total(metric, **labels):
        wanted = set(labels.items()) | {("workload", name)}
        return sum(v for (n, have), v in page.items() if n == metric and wanted <= set(have))

    count = total("loopsight_loop_iteration_seconds_count")
    assert count == total("loopsight_loop_iteration_seconds_bucket", le="+Inf") > 10
    assert count - total("loopsight_loop_iteration_seconds_bucket", le="0.1") >= 3
    busy = total("loopsight_loop_busy_seconds_total")
    assert busy == pytest.approx(total("loopsight_loop_iteration_seconds_sum"), rel=1e-6)
    assert busy > 0.45
    assert total("loopsight_loop_idle_seconds_total") > 1


def test_a_running_stall_is_a_gauge(watched):
    http, _, name, port, _, _ = watched
    client = subprocess.Popen(
        [PYTHON, "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:%d/stall?ms=2500').read()" % port],
        **QUIET,
    )
    assert wait_until(lambda: value(http, "loopsight_loop_stalled_seconds", workload=name) > 0.5, 5)
    stalls = json.loads(http_get(http, "/api/v1/stalls?workload=" + name)[1])
    client.wait(20)
    assert wait_until(lambda: value(http, "loopsight_loop_stalled_seconds", workload=name) == 0, 5)
    assert stalls[0]["in_progress"]


def test_the_interfaces_of_the_contract(watched):
    http, _, name, _, _, truths = watched
    assert http_get(http, "/")[0] == 200
    assert http_get(http, "/-/healthy")[0] == 200
    assert http_get(http, "/nothing")[0] == 404
    stalls = json.loads(http_get(http, "/api/v1/stalls?limit=500&workload=%s&cause=sleep" % name)[1])
    assert len(stalls) >= 3 and all(one["cause"] == "sleep" for one in stalls)
    loops = json.loads(http_get(http, "/api/v1/loops")[1])
    (mine,) = [one for one in loops if one["workload"] == name]
    assert mine["iterations"] > 0 and mine["stalls"] >= 3 and mine["loop"] == "asyncio"
    assert mine["busy_seconds"] > 0.4 and 0 <= mine["utilisation"] <= 1


def test_its_own_cost_is_visible(watched):
    http = watched[0]
    assert value(http, "loopsight_probe_attached", probe="sched_switch") == 1
    assert value(http, "loopsight_bpf_runs_total", program="sched_switch") > 0
    assert value(http, "loopsight_bpf_run_seconds_total", program="sched_switch") > 0
    assert value(http, "process_resident_memory_bytes") > 1e6
    assert value(http, "loopsight_events_lost_total", reason="ring_full") == 0


def test_prometheus_scrapes_it(watched, tmp_path):
    http, _, name, _, _, _ = watched
    port = free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: loopsight\n"
        "  static_configs:\n  - targets: ['127.0.0.1:%d']\n" % http
    )
    command = ["prometheus", "--config.file=%s" % config, "--log.level=error"]
    command += ["--storage.tsdb.path=%s" % (tmp_path / "tsdb")]
    command += ["--web.listen-address=127.0.0.1:%d" % port]

    def query(text):
        import urllib.parse

        answer = http_get(port, "/api/v1/query?query=" + urllib.parse.quote(text))
        return json.loads(answer[1])["data"]["result"] if answer[0] == 200 else []

    with running(command, **QUIET):
        wait_for_port(port, 30)
        text = 'sum(loopsight_stalls_total{workload="%s",cause="sleep"})' % name
        assert wait_until(lambda: query(text), 30)
        assert float(query(text)[0]["value"][1]) >= 3
        assert query("up")[0]["value"][1] == "1"


def test_a_service_that_has_gone_is_no_loop_any_more(watched):
    http, _, name, _, server, _ = watched
    stalls = value(http, "loopsight_stalls_total", workload=name)
    server.terminate()
    server.wait(10)
    assert wait_until(lambda: value(http, "loopsight_loops", workload=name) == 0, 10)
    # Its counters stay for five minutes, so that a scrape does not miss its end.
    assert value(http, "loopsight_stalls_total", workload=name) >= stalls


def test_it_stops_quickly_and_leaves_nothing(watched):
    _, process, _, _, _, _ = watched
    start = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert time.monotonic() - start < 10
    assert wait_until(lambda: not our_programs(), 15)
    log = process.stderr.read()
    assert "watching" in log and "stopping" in log and "error" not in log
