"""What each command may still do while it looks at strangers, and who reads private expressions."""
import base64
import contextlib
import http.client
import json
import os
import pathlib
import pty
import shutil
import signal
import subprocess
import tempfile

import pytest
from attacks import (
    ATTACKER,
    LOOPSIGHT,
    MINE,
    PYTHON,
    RIGHTS,
    capabilities,
    daemon,
    needs_root,
    program,
    running,
    wait_until,
)

pytestmark = needs_root
KILL = 5
# Of "secret", of cost 4.
HASH = "$2y$04$X0h1gDsPszWURQaxFh.zouZdfSt7HzEy4CLiI.zRYe8se5CVhYyZ."
LISTED = {2, 19, 21, 38, 39, 40}  # see daemon/probe/privileges.h


@pytest.fixture
def folder():
    path = pathlib.Path(tempfile.mkdtemp(prefix="loopsight-security-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def status_of(pid):
    text = pathlib.Path("/proc/%d/status" % pid).read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def gives_up(pid, more=frozenset()):
    """Whether the process has given up its rights, and for good."""
    status = status_of(pid)
    return capabilities(status) <= LISTED | more and status["NoNewPrivs"] == "1"


@pytest.mark.parametrize("command", ("trace", "record"))
def test_a_trace_gives_up_its_rights(folder, command):
    arguments = ["--all"] + (["-o", str(folder / "raw")] if command == "record" else [])
    with running([LOOPSIGHT, command, *arguments], stdout=subprocess.DEVNULL) as process:
        assert wait_until(lambda: gives_up(process.pid), 30), status_of(process.pid)


def test_a_trace_of_a_command_may_end_it_too(folder):
    with running([LOOPSIGHT, "trace", "--", "sleep", "30"], stdout=subprocess.DEVNULL) as process:
        assert wait_until(lambda: gives_up(process.pid, {KILL}), 30), status_of(process.pid)
    got = subprocess.run(
        [LOOPSIGHT, "trace", "--duration", "1s", "--", "setpriv", "--reuid", str(ATTACKER), "sleep", "30"],
        timeout=20, stdout=subprocess.DEVNULL,
    )
    assert got.returncode == 128 + signal.SIGTERM


def test_a_top_of_its_own_gives_up_its_rights():
    master, slave = pty.openpty()
    env = dict(os.environ, TERM="xterm")
    try:
        with running([LOOPSIGHT, "top"], stdin=slave, stdout=slave, stderr=slave, env=env) as process:
            assert wait_until(lambda: gives_up(process.pid), 30), status_of(process.pid)
            os.write(master, b"q")
            process.wait(20)
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize("as_root", (False, True))
def test_by_sudo_a_command_is_its_callers(folder, as_root):
    env = dict(os.environ, SUDO_UID=str(ATTACKER), SUDO_GID=str(ATTACKER), HOME="/root")
    script = "import os; print(os.getresuid(), os.getresgid(), os.getgroups(), os.environ['HOME'])"
    options = ["--as-root"] if as_root else []
    got = subprocess.run([LOOPSIGHT, "trace", "-q", *options, "--", PYTHON, "-c", script], env=env, text=True,
                         timeout=60, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert got.returncode == 4, got.stderr  # it has no loop
    if as_root:
        assert got.stdout.startswith("(0, 0, 0) (0, 0, 0)") and got.stdout.endswith("/root\n")
    else:
        assert got.stdout == "%s %s [65534] /nonexistent\n" % ((ATTACKER,) * 3, (ATTACKER,) * 3)


@pytest.mark.parametrize("wrong", ("x", "-1", "4294967295", ""))
def test_by_a_sudo_that_names_nobody_nothing_is_run(folder, wrong):
    env = dict(os.environ, SUDO_UID=wrong, SUDO_GID="1")
    got = subprocess.run([LOOPSIGHT, "trace", "--", "touch", folder / "run"], env=env, text=True, timeout=60,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert got.returncode == 1 and "--as-root" in got.stderr and not (folder / "run").exists()


@pytest.mark.parametrize("rights", RIGHTS)
def test_an_interpreter_that_was_deleted_is_read(folder, rights):
    """As after an upgrade of its package, while the old one runs on."""
    python, mine = folder / "python3.11", folder / "mine.py"
    shutil.copy(pathlib.Path(PYTHON).resolve(), python)
    mine.write_text(MINE + "\n")
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(program(folder, None, python=python))
        python.unlink()
        one.watcher = stack.enter_context(daemon(folder, rights))
        assert one.expression_of(mine) == MINE[9:69].strip()


def stalls(port, user=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    token = base64.b64encode(user.encode()).decode() if user else ""
    connection.request("GET", "/api/v1/stalls", headers={"Authorization": "Basic " + token} if user else {})
    with contextlib.closing(connection):
        return json.loads(connection.getresponse().read())


@pytest.mark.parametrize("rights", RIGHTS)
def test_a_private_expression_is_for_who_has_shown_who_he_is(folder, rights):
    private, public = folder / "private.py", folder / "public.py"
    for file, mode in ((private, 0o600), (public, 0o644)):
        file.write_text(MINE + "\n")
        file.chmod(mode)
        os.chown(file, ATTACKER, ATTACKER)
    with daemon(folder, rights) as open_one, program(folder, open_one) as one:
        shown = MINE[9:69].strip()
        assert one.expression_of(private) == one.expression_of(public) == shown  # to the operator
        told = {stall["culprit"]["file"]: stall["culprit"]["expression"]
                for stall in reversed(stalls(open_one.port)) if stall["culprit"]}
        assert told[str(private)] is None and told[str(public)] == shown
        page = json.dumps([stall for stall in stalls(open_one.port)
                           if stall["culprit"] and stall["culprit"]["file"] == str(private)])
        assert shown not in page


def test_who_has_a_password_reads_it(folder):
    config = folder / "web.yml"
    config.write_text("basic_auth_users:\n  alice: %s\n" % HASH)
    private = folder / "private.py"
    private.write_text(MINE + "\n")
    private.chmod(0o600)
    os.chown(private, ATTACKER, ATTACKER)
    with daemon(folder, "root", "--web.config.file", str(config), ready=401) as closed:
        with program(folder, closed) as one:
            assert one.expression_of(private)
            found = stalls(closed.port, "alice:secret")
            assert MINE[9:69].strip() in json.dumps(found)
