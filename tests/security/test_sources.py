"""Nobody reads a file by having his code say that it is from there."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import pytest
from attacks import (
    AS_ATTACKER,
    ATTACKER,
    LOOPSIGHT,
    MINE,
    PYTHON,
    RIGHTS,
    SECRET,
    capabilities,
    daemon,
    needs_root,
    program,
    running,
    secret_of_root,
    set_uid_program,
    wait_until,
)

pytestmark = needs_root


@pytest.fixture(scope="module")
def folder():
    """Everybody may enter it, so that only a file's own mode protects it."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="loopsight-security-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module", params=RIGHTS)
def watcher(request, folder):
    with daemon(folder, request.param) as one:
        yield one


@pytest.fixture
def place(folder):
    path = pathlib.Path(tempfile.mkdtemp(dir=folder))
    path.chmod(0o755)
    return path


def test_a_file_that_is_readable_is_shown(watcher, place):
    mine = place / "mine.py"
    mine.write_text(MINE + "\n")
    mine.chmod(0o600)
    os.chown(mine, ATTACKER, ATTACKER)
    with program(place, watcher) as one:
        assert one.expression_of(mine) == MINE[9:69].strip()


def test_a_file_of_root_is_not_shown(watcher, place):
    secret = secret_of_root(place)
    with program(place, watcher) as one:
        assert one.expression_of(secret) is None


@pytest.mark.parametrize("attempt", range(3))
def test_an_exec_lends_its_rights_to_nothing_before_it(watcher, place, attempt):
    secret, becomes_root = secret_of_root(place), set_uid_program(place)
    with program(place, watcher) as one:
        one.tell("stall", 1 + attempt, 60, secret)
        one.hears("done")
        assert wait_until(lambda: one.stalls_in(secret), 20)
        status = pathlib.Path("/proc/%d/status" % one.process.pid)
        # Stands for other processes that keep the daemon busy meanwhile.
        watcher.process.send_signal(signal.SIGSTOP)
        try:
            one.tell("stall_and_exec", 1 + attempt, 60, secret, becomes_root)
            assert wait_until(lambda: "\nUid:\t%d\t0\t0\t0" % ATTACKER in status.read_text(), 20)
        finally:
            watcher.process.send_signal(signal.SIGCONT)
        assert wait_until(lambda: len(one.stalls_in(secret)) == 2, 20)
    shown = json.dumps(one.stalls_in(secret))
    assert SECRET not in shown and '"expression": null' in shown


@pytest.mark.parametrize("name", ("maps", "smaps", "self"))
def test_no_file_of_procfs_is_shown(watcher, place, name):
    with running(["sleep", "100"]) as of_root:
        path = pathlib.Path("/proc/self/maps" if name == "self" else "/proc/%d/%s" % (of_root.pid, name))
        # Their inodes, and so their times, are older than the attacker's program.
        pid = watcher.process.pid if name == "self" else of_root.pid
        with open("/proc/%d/%s" % (pid, path.name)) as held:
            held.read(1)
            with program(place, watcher) as one:
                assert one.expression_of(path, width=40) is None


@pytest.mark.parametrize("path", ("/sys/kernel/notes", "/sys/kernel/mm/transparent_hugepage/enabled",
                                  "/proc/sys/kernel/random/boot_id", "/proc/version"))
def test_no_file_that_the_kernel_makes_is_shown(watcher, place, path):
    with program(place, watcher) as one:
        assert one.expression_of(pathlib.Path(path), width=30, tries=2) is None


def test_root_without_capabilities_reads_what_it_owns_alone(watcher, place):
    theirs, own = secret_of_root(place, "theirs"), secret_of_root(place, "own")
    os.chown(theirs, 1234, 1234)
    bare = ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all")
    with program(place, watcher, bare) as one:
        assert one.expression_of(theirs) is None
        assert SECRET in one.expression_of(own)


def test_groups_of_the_daemon_open_no_folder(watcher, place):
    closed = place / "closed"
    closed.mkdir()
    closed.chmod(0o750)  # root's, and of group 0
    inside = secret_of_root(closed)
    inside.chmod(0o644)
    with program(place, watcher) as one:
        assert one.expression_of(inside) is None


def test_groups_of_the_program_open_its_folders(watcher, place):
    closed = place / "closed"
    closed.mkdir()
    closed.chmod(0o750)
    os.chown(closed, 0, 4321)
    inside = secret_of_root(closed)
    inside.chmod(0o640)
    os.chown(inside, 0, 4321)
    member = ("setpriv", "--reuid", str(ATTACKER), "--regid", str(ATTACKER), "--groups", "4321")
    with program(place, watcher, member) as one:
        assert SECRET in one.expression_of(inside)


@pytest.mark.parametrize("led_by", ("link", "folder"))
def test_root_follows_nobody_to_what_is_roots(watcher, place, led_by):
    secret, theirs = secret_of_root(place), place / "theirs"
    theirs.mkdir()
    own = theirs / "own.py"
    own.write_text("This is a line of the owner of the folder, who may read it anyway, whoever else does\n")
    own.chmod(0o600)
    if led_by == "link":
        path = theirs / "app.py"
        path.symlink_to(secret)
    else:
        (theirs / "package").symlink_to(place)
        path = theirs / "package" / "secret"
    for one in (theirs, own, theirs / "app.py", theirs / "package"):
        with contextlib.suppress(FileNotFoundError):
            os.chown(one, ATTACKER, ATTACKER, follow_symlinks=False)
    with program(place, watcher, ()) as one:  # as root
        assert one.expression_of(path) is None
        assert one.expression_of(own).startswith("line of the owner")


def test_a_link_of_roots_own_is_followed(watcher, place):
    secret = secret_of_root(place, "app.py")
    (place / "current").symlink_to(secret)
    with program(place, watcher, ()) as one:
        assert SECRET in one.expression_of(place / "current")



DAC_READ_SEARCH, SETGID, SETUID, SYS_PTRACE = 2, 6, 7, 19


def test_no_process_has_both_halves_of_the_rights(watcher):
    main = watcher.status()
    assert not capabilities(main) & {SETUID, SETGID} and SYS_PTRACE in capabilities(main)
    helpers = watcher.helpers()
    assert len(helpers) == 2  # the reader and what starts it anew
    for pid in helpers:
        status = watcher.status(pid)
        assert capabilities(status) <= {DAC_READ_SEARCH, SETGID, SETUID}
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert main["NoNewPrivs"] == "1"


def test_a_reader_that_dies_is_replaced(watcher, place):
    mine = place / "mine.py"
    mine.write_text(MINE + "\n")
    mine.chmod(0o644)
    keeper, reader = sorted(watcher.helpers())
    os.kill(reader, signal.SIGKILL)
    assert wait_until(lambda: len(watcher.helpers()) == 2 and reader not in watcher.helpers(), 20)
    with program(place, watcher) as one:
        assert one.expression_of(mine) == MINE[9:69].strip()
    assert keeper in watcher.helpers()


def test_a_trace_shows_private_sources(place):
    script = place / "private.py"
    script.write_text("import asyncio, time\nasync def main():\n    for _ in range(5):\n"
                      "        time.sleep(0.08)\n        await asyncio.sleep(0.01)\nasyncio.run(main())\n")
    script.chmod(0o600)
    os.chown(script, ATTACKER, ATTACKER)
    time.sleep(1.1)
    got = subprocess.run([LOOPSIGHT, "trace", "--", *AS_ATTACKER, PYTHON, script], timeout=60, text=True,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert "(%s:4): time.sleep(0.08)" % script in got.stdout
