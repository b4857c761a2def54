"""Counters stay counters for real Prometheus servers: across a restart of the daemon, and for two
servers that scrape at once."""
import shutil
import subprocess
import time

import pytest
from conftest import PYTHON, TARGETS, http_get, running, wait_until
from monitoring import daemon, fixed_port, prometheus


class Shop:
    """A service that stalls when it is told to, and nothing else."""

    def __init__(self, process, name):
        self.process = process
        self.name = name

    def stall(self, times):
        self.process.stdin.write("%d\n" % times)
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"


@pytest.fixture
def shop(tmp_path):
    script = tmp_path / "on-demand-shop.py"
    shutil.copy(TARGETS / "on_demand.py", script)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with running([PYTHON, script], **pipes) as process:
        yield Shop(process, script.name)


def gained(server, series, since):
    """What the counters of an expression gained, as rate() sees it: a smaller value is a restart,
    and counts from zero."""
    total = 0
    for one in server.query("%s[%ds]" % (series, time.time() - since + 60)):
        values = [float(value) for _, value in one["values"]]
        total += sum(new - old if new >= old else new for old, new in zip(values, values[1:]))
    return total


def test_a_restart_is_no_gap_and_no_spike(tmp_path, shop):
    port = fixed_port()
    began = time.time()
    all_stalls = 'loopsight_stalls_total{workload="%s"}' % shop.name
    sleeps = 'loopsight_stalls_total{workload="%s",cause="sleep"}' % shop.name
    watched = '{__name__=~"loopsight_loop_(busy|idle)_seconds_total",workload="%s"}' % shop.name
    with prometheus(tmp_path / "prometheus", port) as server:
        for stalls in (12, 6):
            with daemon(port):
                # A busy machine stalls it on its own account as well, so there may be more.
                assert wait_until(lambda: server.value("sum(%s)" % all_stalls) is not None, 60)
                enough = server.value("sum(%s)" % all_stalls) + stalls
                shop.stall(stalls)
                assert wait_until(lambda: server.value("sum(%s)" % all_stalls) >= enough, 60)
            assert wait_until(lambda: server.value("up") == 0, 60)
        assert gained(server, all_stalls, began) >= 12 + 6
        assert gained(server, sleeps, began) <= 12 + 6
        # increase() extrapolates by half an interval at either end.
        assert 12 <= server.value("sum(increase(%s[10m]))" % all_stalls)
        assert server.value("sum(increase(%s[10m]))" % sleeps) <= 1.5 * (12 + 6)
        # One loop cannot have been watched for longer than time went by.
        assert 18 * 0.08 <= gained(server, watched, began) <= time.time() - began + 1


def test_two_servers_see_the_same(tmp_path, shop):
    port = fixed_port()
    all_stalls = 'sum(loopsight_stalls_total{workload="%s"})' % shop.name
    counters = '{__name__=~"loopsight_.+_(total|count|sum|bucket)",workload="%s"}' % shop.name
    alive = 'sum(loopsight_loops{workload="%s"})' % shop.name

    def totals(server):
        return {
            frozenset(one["metric"].items()): one["value"][1] for one in server.query(counters)
        }

    with daemon(port):
        with prometheus(tmp_path / "one", port) as one, prometheus(tmp_path / "two", port) as two:
            for server in (one, two):
                assert wait_until(lambda: server.value(all_stalls) is not None, 60)
            shop.stall(12)
            shop.process.terminate()
            shop.process.wait(20)
            for server in (one, two):
                assert wait_until(lambda: server.value(alive) == 0, 60)
            # What has gone changes no more, so both come to the same and stay there.
            assert wait_until(lambda: totals(one) == totals(two) != {}, 60)
            assert one.value(all_stalls) == two.value(all_stalls) >= 12
            cause = 'loopsight_stalls_total{workload="%s",cause="sleep"}' % shop.name
            assert "%s %d\n" % (cause, one.value(cause)) in http_get(port, "/metrics")[1]
