"""What strangers who reach the HTTP side can do, and must not."""
import os
import re
import shutil
import socket
import subprocess
import tempfile

import pytest
from http_support import AS_NOBODY, NOBODY, ask_raw, daemon, request, shared

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to load BPF programs")


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """A daemon that asks nobody."""
    with daemon(tmp_path_factory.mktemp("open")) as port:
        yield port


def statuses(port, *requests):
    return [one.status for one in ask_raw(["127.0.0.1", port], *requests)]


# --- names: DNS rebinding --------------------------------------------------------------------------
FOREIGN = [
    "evil.example", "evil.example:9788", "localhost.evil.example", "127.0.0.1.evil.example",
    "xlocalhost", "a.localhost", "127.1", "2130706433", "0x7f.0.0.1", "127.0.0.1:9788:9788", "::1",
    "[::1", "[::1]x", "[evil.example]", "[fe80::1%25eth0]", "localhost..", "localhost:x", "localhost ,x",
    "user@localhost", "localhost/", "", ":9788", "local host", "*", "localhost%00", "127.0.0.1:-1",
]  # fmt: skip


def test_a_foreign_name_is_turned_away(port):
    """The page of a site whose name has come to mean this host must read nothing."""
    asked = [request(path, name) for name in FOREIGN for path in ("/metrics", "/api/v1/stalls", "/")]
    for answer, one in zip(ask_raw(["127.0.0.1", port], *asked), asked):
        assert answer.status == 421, (one, answer)
        assert b"allowed_hosts" in answer.body and b"loopsight_build" not in answer.body


def test_a_page_whose_name_was_rebound_reads_nothing(port):
    """The attack itself: a browser for which the site's name means this host."""
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("chromium is not installed")
    with tempfile.TemporaryDirectory() as home:
        os.chown(home, NOBODY, NOBODY)

        def visit(host):
            command = [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom",
                       "--disable-dev-shm-usage", "--user-data-dir=" + home, "--no-first-run",
                       "--host-resolver-rules=MAP evil.example 127.0.0.1",
                       "http://%s:%d/api/v1/status" % (host, port)]  # fmt: skip
            return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                  cwd=home, env={**os.environ, "HOME": home}, timeout=120,
                                  **AS_NOBODY).stdout  # fmt: skip

        assert "threshold_seconds" in visit("127.0.0.1")
        seen = visit("evil.example")
        assert "threshold_seconds" not in seen and "allowed_hosts" in seen


def test_its_own_names_are_answered(port):
    own = socket.gethostname()
    names = ["localhost", "LocalHost:%d" % port, "localhost.", "127.0.0.1:%d" % port, "10.1.2.3:9788",
             "[::1]:9788", "[2001:db8::1]", own, own.upper() + ":9788", own + ".", "localhost:"]  # fmt: skip
    assert statuses(port, *[request(host=name) for name in names]) == [200] * len(names)


def test_missing_and_doubled_names_are_turned_away(port):
    asked = [
        request(host=None),
        request(host=None, version="HTTP/1.0"),
        request("/metrics", "localhost", "Host: evil.example"),
        request("/metrics", "evil.example", "Host: localhost"),
        request("/metrics", "localhost", "host: localhost"),
        request("http://evil.example/metrics"),
        request("http://localhost/metrics", "evil.example"),
        request("http://localhost@evil.example/metrics"),
        request("http://evil.example"),
        request("https://evil.example:9788/api/v1/stalls"),
    ]
    assert statuses(port, *asked) == [421] * len(asked)
    assert statuses(port, request("http://localhost:1/metrics"), request("HTTP://127.0.0.1")) == [200, 200]


def test_configured_names_are_answered(tmp_path):
    config = tmp_path / "loopsight.yml"
    config.write_text("web: {allowed_hosts: [Metrics.example, '*.nodes.example']}\n")
    with daemon(tmp_path, "--config", config, "--web.allowed-host", "other.example") as port:
        good = ["metrics.example:443", "METRICS.EXAMPLE.", "a.nodes.example", "b.a.nodes.example:9788",
                "other.example"]  # fmt: skip
        bad = ["x.metrics.example", "nodes.example", ".nodes.example", "xnodes.example", "*.nodes.example",
               "evil.example", "a.nodes.example.evil.example"]  # fmt: skip
        assert statuses(port, *[request(host=name) for name in good]) == [200] * len(good)
        assert statuses(port, *[request(host=name) for name in bad]) == [421] * len(bad)


# --- other sites -----------------------------------------------------------------------------------
def test_other_sites_can_ask_for_nothing_but_the_page(port):
    def site(*headers, target="/api/v1/stalls"):
        return request(target, "localhost:%d" % port, *headers)

    waiting = "/debug/pprof/loopstall?seconds=30"  # sixteen of them, and nobody else may wait
    refused = [
        site("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"),
        site("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", target=waiting),
        site("Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: cors", "Origin: http://localhost:1"),
        site("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"),
        site("Sec-Fetch-Site: cross-site"),
        site("Origin: http://evil.example"),
        site("Origin: null"),
        site("Origin: http://localhost:%d.evil.example" % port),
    ]
    assert statuses(port, *refused) == [403] * len(refused)
    taken = [
        site(),
        site("Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"),
        site("Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"),
        site("Origin: http://localhost:%d" % port),
        # A link to the page, in a chat or on a dashboard.
        site("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document",
             target="/"),
    ]  # fmt: skip
    assert statuses(port, *taken) == [200] * len(taken)


def test_no_answer_may_be_framed_or_read_by_other_sites(port):
    asked = [request(path, "localhost", "Origin: http://localhost") for path in
             ("/", "/metrics", "/api/v1/stalls", "/nothing", "/api/v1/stalls?limit=x")]  # fmt: skip
    asked += [request(host="evil.example"), request("/%00"), request(method="POST")]
    for answer in ask_raw(["127.0.0.1", port], *asked):
        assert answer.headers["x-frame-options"] == "deny", answer
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not [name for name in answer.headers if name.startswith("access-control-")]


# --- requests that mean two things -----------------------------------------------------------------
def test_control_bytes_in_a_target_are_refused(port):
    targets = ["/%00", "/%00metrics", "/metrics%00", "/metrics%00x", "/%0a", "/metrics%0d%0aX:%20y", "/%7f",
               "/\x01", "/\x7f", "/metrics\x00x", "/\x00", "/metrics\x00?a=b", "/api/v1/stalls?limit=1%00x",
               "/api/v1/stalls?lim%00it=1", "/api/v1/stalls?limit%00=1", "/metrics?a=%00", "/metrics?%00",
               "/metrics?a=\x00", "/metrics?x=%1f", "/ /metrics", "/ x"]  # fmt: skip
    for target, answer in zip(targets, ask_raw(["127.0.0.1", port], *[request(one) for one in targets])):
        assert answer.status == 400, (target, answer)
        assert b"<html" not in answer.body and b"loopsight_build" not in answer.body


def test_targets_that_a_proxy_may_read_otherwise_are_refused(port):
    targets = ["/api%2fv1%2fstalls", "/%2fmetrics", "/api/v1%5cstalls", "/%", "/%2", "/%zz", "/metrics%", "*",
               "metrics", "", "?", "http:/metrics", "/metrics?a=%", "/metrics?a=%u0041"]  # fmt: skip
    assert statuses(port, *[request(one) for one in targets]) == [400] * len(targets)


def test_targets_are_decoded_once_and_never_walked(port):
    targets = ["/%25%30%30", "/%2561pi/v1/loops", "/%c0%80", "/api%c0%afv1/loops", "/./metrics", "/x/../metrics",
               "/%2e%2e/metrics", "//metrics", "/metrics/", "/metrics;x", "/Metrics", "/api/v1/loops/",
               "/" + "a" * 8000]  # fmt: skip
    assert statuses(port, *[request(one) for one in targets]) == [404] * len(targets)
    assert statuses(port, request("/%6detrics")) == [200]


def test_what_is_too_long_ends_the_connection_alone(port):
    asked = [request("/" + "a" * 100_000), request("/metrics?" + "a=b&" * 50_000),
             request("/metrics", "localhost", *["X: " + "y" * 1000] * 100),
             request("/metrics", "localhost", *["X%d: y" % number for number in range(20_000)])]  # fmt: skip
    for answer in ask_raw(["127.0.0.1", port], *asked):
        assert answer.status in (0, 400, 413, 414, 431), answer
    assert statuses(port, request()) == [200]


def test_parameters_that_come_twice_are_refused(port):
    targets = ["limit=1&limit=2", "limit=1&limit=1", "limit=1&%6cimit=2", "limit=1&x=2", "limit=1&&", "=1"]
    answers = statuses(port, *[request("/api/v1/stalls?" + one) for one in targets])
    assert answers == [400] * len(targets)


def test_methods_that_are_none_are_refused(port):
    methods = ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT", "PROPFIND", "get", "X" * 1000]
    assert statuses(port, *[request(method=one) for one in methods]) == [405] * len(methods)


def test_nothing_is_smuggled_behind_a_request(port):
    """What a front server would take for a body is never answered as a request."""
    hidden = request("/api/v1/status")
    size = len(hidden)

    def ahead(*headers, method="GET"):
        lines = ["%s /-/healthy HTTP/1.1" % method, "Host: localhost", *headers, "", ""]
        return "\r\n".join(lines).encode("latin-1") + hidden

    asked = [
        ahead("Content-Length: %d" % size),
        ahead("Content-Length: %d" % size, method="POST"),
        ahead("Content-Length: 0", "Content-Length: %d" % size),
        ahead("Content-Length: %d" % size, "Content-Length: 0"),
        ahead("Content-Length: 0, %d" % size),
        ahead("Content-Length: +0"),
        ahead("Content-Length: 0x0"),
        ahead("Content-Length : %d" % size),
        ahead("Content-Length\x00: %d" % size),
        ahead("Content-Length: 0\x00%d" % size),
        ahead("Content-Length: 0\x00", "X: y"),
        ahead("X: y\x00", "Y: z"),
        ahead("X: y", " Content-Length: %d" % size),
        ahead(" Content-Length: %d" % size),
        ahead("Transfer-Encoding: chunked"),
        ahead("Transfer-Encoding: xchunked"),
        ahead("Transfer-Encoding : chunked"),
        ahead("Transfer-Encoding\t: chunked"),
        ahead("Transfer-Encoding:"),
        ahead("Content-Length: 0", "Transfer-Encoding: identity"),
        ahead("No colon"),
        ahead("X: a\rTransfer-Encoding: chunked"),
    ]
    for sent, answer in zip(asked, ask_raw(["127.0.0.1", port], *asked)):
        assert b"200 OK" not in answer.raw and b'"version"' not in answer.raw, (sent, answer)
        assert answer.status in (0, 400, 405, 421), (sent, answer)
    # Without a doubt both are answered.
    clear = [ahead("Content-Length: 0"), ahead("X:  y \t", "Y:", "Z:z"), ahead().replace(b"\r\n", b"\n")]
    for answer in ask_raw(["127.0.0.1", port], *clear):
        assert answer.raw.count(b"HTTP/1.1 200") == 2, answer


def counts(port):
    page = shared.http_get(port, "/metrics")[1]
    return dict(re.findall(r'loopsight_http_refused_total{reason="(\w+)"} (\d+)', page))


def test_refusals_are_counted(port):
    ask_raw(["127.0.0.1", port], request(host="evil.example"), request("/%00"),
            request("/", "localhost", "Origin: null"))  # fmt: skip
    for reason in ("foreign_host", "foreign_site", "malformed_request"):
        assert shared.wait_until(lambda: int(counts(port).get(reason, 0)) > 0), (reason, counts(port))
