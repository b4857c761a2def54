"""The daemon and real Prometheus servers that scrape it."""
import contextlib
import json
import math
import random
import shutil
import socket
import subprocess
import urllib.parse

import pytest
from conftest import LOOPSIGHT, free_port, http_get, running, wait_until

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@contextlib.contextmanager
def daemon(port, *options):
    """`loopsight run` on a port, ready."""
    command = [LOOPSIGHT, "run", "--web.listen-address", "127.0.0.1:%d" % port, *options]
    with running(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: answers(port) or process.poll() is not None, 60)
        assert process.poll() is None, process.stderr.read()
        assert answers(port), "the daemon does not become ready"
        yield process


def fixed_port():
    """A port that stays free while nobody listens on it: not one that the kernel gives away."""
    for port in random.sample(range(20000, 30000), 100):
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


def answers(port):
    with contextlib.suppress(OSError):
        return http_get(port, "/-/ready")[0] == 200
    return False


class Prometheus:
    def __init__(self, port):
        self.port = port

    def ask(self, path, **parameters):
        """The result of a query; none while the server cannot answer."""
        with contextlib.suppress(OSError):
            url = "/api/v1/%s?%s" % (path, urllib.parse.urlencode(parameters))
            status, body = http_get(self.port, url)
            if status == 200:
                return json.loads(body)["data"]["result"]
        return []

    def query(self, expression, **parameters):
        return self.ask("query", query=expression, **parameters)

    def value(self, expression):
        """The one number that an expression gives, None where it gives nothing."""
        result = self.query(expression)
        return float(result[0]["value"][1]) if result else None

    def has_numbers(self, expression, start=None, end=None):
        """Whether it gives anything but NaN: now, or at any step of a range."""
        if start is None:
            found = [[one["value"]] for one in self.query(expression)]
        else:
            found = [
                one["values"]
                for one in self.ask("query_range", query=expression, start=start, end=end, step=5)
            ]
        return any(not math.isnan(float(text)) for values in found for _, text in values)


@contextlib.contextmanager
def prometheus(directory, target, rules=()):
    """A Prometheus that scrapes one target each second, ready to be asked."""
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is not installed")
    directory.mkdir()
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rule) for rule in rules],
        "scrape_configs": [
            {
                "job_name": "loopsight",
                "static_configs": [{"targets": ["127.0.0.1:%d" % target]}],
            }
        ],
    }
    (directory / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    port = free_port()
    command = [
        "prometheus",
        "--config.file=%s" % (directory / "prometheus.yml"),
        "--storage.tsdb.path=%s" % (directory / "tsdb"),
        "--web.listen-address=127.0.0.1:%d" % port,
        "--log.level=error",
    ]
    with running(command, **QUIET):
        assert wait_until(lambda: answers(port), 60), "Prometheus does not become ready"
        yield Prometheus(port)
