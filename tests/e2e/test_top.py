"""`loopsight top` in a real terminal, which tmux holds."""
import contextlib
import http.server
import json
import os
import re
import shlex
import shutil
import subprocess
import threading

import pytest
from conftest import LOOPSIGHT, PYTHON, running, wait_until

PROGRAM = """
import asyncio, time

def blocking():
    time.sleep(0.2)

async def main():
    while True:
        blocking()
        await asyncio.sleep(0.1)

asyncio.run(main())
"""
WAIT = 60


class Pane:
    def __init__(self, tmux, status):
        self.tmux = tmux
        self.status = status

    def text(self):
        return self.tmux("capture-pane", "-p", "-t", "top")

    def shows(self, pattern):
        return wait_until(lambda: re.search(pattern, self.text()), WAIT)

    def press(self, *keys):
        self.tmux("send-keys", "-t", "top", *keys)

    def ended(self):
        """The exit status, once top has ended."""
        assert wait_until(lambda: self.status.exists() and self.status.read_text().strip(), WAIT), (
            self.text()
        )
        return int(self.status.read_text())


@contextlib.contextmanager
def top(tmp_path, *options, term="xterm", width=80, height=24, environment=""):
    if not shutil.which("tmux"):
        pytest.skip("tmux is not installed")
    # A server of our own: nobody's sessions or settings.
    command = ["tmux", "-u", "-S", str(tmp_path / "tmux"), "-f", "/dev/null"]
    env = {key: value for key, value in os.environ.items() if key != "TMUX"}
    env["LC_ALL"] = "C.UTF-8"

    def tmux(*arguments):
        got = subprocess.run(
            [*command, *arguments], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            timeout=30, text=True,
        )
        assert got.returncode == 0, got.stderr
        return got.stdout

    status = tmp_path / "status"
    line = "TERM=%s %s %s top %s; echo $? > %s; cat" % (
        term, environment, shlex.quote(LOOPSIGHT), shlex.join(options), shlex.quote(str(status)),
    )
    tmux("new-session", "-d", "-s", "top", "-x", str(width), "-y", str(height), "sh", "-c", line)
    try:
        yield Pane(tmux, status)
    finally:
        # Ends the session's processes by the hangup of their terminal.
        subprocess.run([*command, "kill-server"], env=env, stderr=subprocess.DEVNULL, timeout=30)


def stall(workload, tid, culprit):
    return {
        "type": "stall", "time": "2026-11-22T18:04:05.123456Z", "workload": workload, "worker": 0,
        "tid": tid, "monotonic_ns": tid, "duration_seconds": 0.5, "cause": "network",
        "in_progress": False, "advice": "Use an asynchronous client.",
        "culprit": {"module": "app", "function": culprit, "file": "/srv/app.py", "line": 7},
        "delayed": {"events": 48, "seconds": 7.4, "timer_lateness_seconds": 0.1, "exact": True},
    }


def loop(workload, tid, busy):
    return {
        "workload": workload, "worker": 0, "pid": tid, "tid": tid, "loop": "uvloop",
        "python": "3.11.2", "iterations": 100, "busy_seconds": busy, "idle_seconds": 10 - busy,
        "stalled_seconds": 0, "causes": {"network": busy},
    }


@contextlib.contextmanager
def api(loops, stalls):
    """A daemon that says what it is told to."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(loops if self.path.startswith("/api/v1/loops") else stalls).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield "http://127.0.0.1:%d" % server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_keys_filters_and_hostile_names_of_a_daemon(tmp_path):
    evil = "\x1b[2J\x1b]0;owned\x07evil\n"
    loops = [loop("calm", 1, 1.0), loop("busy", 2, 9.0), loop(evil, 3, 5.0)]
    stalls = [stall("busy", 2, "fetch"), stall(evil, 3, "\x9b31mhandler\x07")]
    with api(loops, stalls) as url, top(
        tmp_path, "--url", url, term="vt100", environment="NO_COLOR=1"
    ) as pane:
        assert pane.shows(r"(?s)90\.0%.*busy\[0\].*app:fetch 500 ms.*50\.0%.*10\.0%.*calm")
        # Cleaned, and not carried out: the title and what stood there before are still there.
        assert re.search(r"\?\[2J\?\]0;owned\?evil", pane.text())
        assert "loopsight top" in pane.text()
        assert pane.tmux("display-message", "-p", "-t", "top", "#{pane_title}").strip() != "owned"
        colored = re.search(r"\x1b\[(\d+;)*3[0-8]", pane.tmux("capture-pane", "-e", "-p", "-t", "top"))
        assert not colored
        pane.press("/", "c", "a", "l", "Enter")
        assert wait_until(lambda: "busy[0]" not in pane.text(), WAIT)
        assert "calm[0]" in pane.text()
        pane.press("Escape")
        assert pane.shows(r"busy\[0\]")
        pane.press("Enter")
        assert pane.shows(r"(?s)newest stalls.*app:fetch /srv/app\.py:7.*asynchronous client")
        pane.press("?")
        assert pane.shows(r"s sort by blocked")
        pane.press("x")
        assert pane.shows(r"newest stalls")
        pane.press("p")
        assert pane.shows(r"PAUSED")
        pane.press("q")
        assert pane.ended() == 0


def test_a_daemon_that_stops_answering_is_said(tmp_path):
    daemon = contextlib.ExitStack()
    url = daemon.enter_context(api([loop("shop", 1, 1.0)], []))
    with daemon, top(tmp_path, "--url", url) as pane:
        assert pane.shows(r"shop\[0\]")
        daemon.close()
        assert pane.shows(r"(?s)shop\[0\].*no answer from")
        pane.press("q")
        assert pane.ended() == 0


def test_traces_by_itself_where_no_daemon_runs_and_follows_the_size(tmp_path):
    program = tmp_path / "sleeper.py"
    program.write_text(PROGRAM)
    with running([PYTHON, str(program)]), top(tmp_path) as pane:
        assert pane.shows(r"(?s)own trace.*sleeper\.py\[0\] +sleeper:blocking"), pane.text()
        pane.tmux("resize-window", "-t", "top", "-x", "40", "-y", "8")
        assert wait_until(lambda: "NEWEST STALL" not in pane.text(), WAIT)
        assert pane.shows(r"sleeper\.py\[0\]")
        assert all(len(line) <= 40 for line in pane.text().splitlines())
        pane.tmux("resize-window", "-t", "top", "-x", "120", "-y", "30")
        assert pane.shows(r"NEWEST STALL")
        pane.press("q")
        assert pane.ended() == 0


def test_refuses_where_there_is_no_terminal_or_no_such_daemon(tmp_path):
    got = subprocess.run(
        [LOOPSIGHT, "top"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, timeout=60,
    )
    assert got.returncode == 1 and "needs a terminal" in got.stderr and got.stdout == ""
    with top(tmp_path, "--url", "http://127.0.0.1:1") as pane:
        assert pane.ended() == 1
        assert pane.shows("no answer from")
