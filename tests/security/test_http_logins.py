"""Passwords under attack: who guesses keeps nobody out, and finds nothing."""
import base64
import os
import time

import pytest
from http_support import USERS, ask_raw, daemon, guessing, request, shared
from test_http import counts

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to load BPF programs")
CLIENTS = 40
# A hash is some 60 ms, on a busy machine a few times that; Prometheus gives a scrape ten seconds.
PROMPT, AT_ONCE = 10, 2


@pytest.fixture
def guarded(tmp_path):
    """The port of a daemon with users, of whom nobody has come yet."""
    (tmp_path / "web.yml").write_text(USERS)
    with daemon(tmp_path, "--web.config.file", tmp_path / "web.yml") as port:
        yield port


def login(port, user, path="/metrics"):
    """The status, and how long it took."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    begin = time.monotonic()
    try:
        token = base64.b64encode(user.encode()).decode()
        connection.request("GET", path, headers={"Authorization": "Basic " + token})
        status = connection.getresponse().status
    finally:
        connection.close()
    return status, time.monotonic() - begin


def test_who_guesses_one_name_keeps_no_other_out(guarded):
    with guessing(["127.0.0.1", guarded], ["alice"], CLIENTS) as statuses:
        time.sleep(3)
        status, seconds = login(guarded, "bob:hidden")
    assert status == 200 and seconds < PROMPT / 2
    assert "503" not in statuses and "503+" not in statuses, statuses


def test_who_guesses_keeps_not_even_the_same_name_out(guarded):
    """Loopback is one address for everybody, so guesses and the right password stand in one queue."""
    with guessing(["127.0.0.1", guarded], ["alice"], CLIENTS) as statuses:
        time.sleep(3)
        status, seconds = login(guarded, "alice:secret")
        assert status == 200 and seconds < PROMPT
        for _ in range(5):  # remembered
            status, seconds = login(guarded, "alice:secret")
            assert status == 200 and seconds < AT_ONCE
    assert statuses["429+"] > 0, statuses
    assert set(statuses) <= {"401", "429+"}, statuses


def test_made_up_names_keep_nobody_out(guarded):
    names = ["name%d" % number for number in range(1000)] + ["bob"]
    with guessing(["127.0.0.1", guarded], names, CLIENTS) as statuses:
        time.sleep(3)
        status, seconds = login(guarded, "alice:secret")
    assert status == 200 and seconds < PROMPT
    assert set(statuses) <= {"401", "429+"}, statuses


def test_guesses_become_rarer(guarded):
    """One client that goes on guessing is served once a second, and told when to come again."""
    with guessing(["127.0.0.1", guarded], ["alice"], 1) as statuses:
        time.sleep(30)
    assert statuses["401"] <= 15 and 5 <= statuses["429+"] <= 45, statuses


def test_failed_logins_are_counted(guarded):
    assert login(guarded, "alice:secret")[0] == 200
    ask_raw(["127.0.0.1", guarded], request(),
            request("/metrics", "localhost", "Authorization: Basic YWxpY2U6eA=="))  # fmt: skip

    def page():
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", guarded, timeout=60)
        token = base64.b64encode(b"alice:secret").decode()
        connection.request("GET", "/metrics", headers={"Authorization": "Basic " + token})
        try:
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    for reason in ("no_credentials", "wrong_credentials"):
        assert shared.wait_until(lambda: 'reason="%s"} 1\n' % reason in page()), page()


# --- probes of orchestrators -----------------------------------------------------------------------
def test_health_asks_for_a_password_too(guarded):
    asked = [request(path) for path in ("/-/healthy", "/-/ready", "/metrics", "/", "/nothing")]
    assert [one.status for one in ask_raw(["127.0.0.1", guarded], *asked)] == [401] * len(asked)


@pytest.mark.parametrize("how", ("option", "file"))
def test_health_may_be_left_open(tmp_path, how):
    (tmp_path / "web.yml").write_text(USERS)
    (tmp_path / "loopsight.yml").write_text("web: {config_file: web.yml, open_health: true}\n")
    by_option = ("--web.open-health", "--web.config.file", tmp_path / "web.yml")
    options = by_option if how == "option" else ("--config", tmp_path / "loopsight.yml")
    with daemon(tmp_path, *options) as port:
        wrong = "Authorization: Basic YWxpY2U6eA=="
        opened = [request("/-/healthy"), request("/-/ready", "10.0.0.5:9788"),
                  request("/-/healthy", "localhost", wrong), request("/-/ready?", method="HEAD")]  # fmt: skip
        assert [one.status for one in ask_raw(["127.0.0.1", port], *opened)] == [200] * len(opened)
        closed = [request(path) for path in
                  ("/metrics", "/", "/api/v1/status", "/-/", "/-/healthy/", "/-/healthy/../metrics", "//-/healthy",
                   "/-/ready;/metrics", "http://localhost/metrics", "/metrics?/-/healthy")]  # fmt: skip
        assert [one.status for one in ask_raw(["127.0.0.1", port], *closed)] == [401] * len(closed)
        asked = [request("/-/healthy", "evil.example"), request("/-/healthy%00")]
        assert [one.status for one in ask_raw(["127.0.0.1", port], *asked)] == [421, 400]
