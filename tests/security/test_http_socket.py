"""The daemon behind a local socket: a group of local users reads, nobody else."""
import contextlib
import os
import pathlib
import shutil
import socket
import stat
import subprocess
import tempfile

import pytest
from http_support import AS_NOBODY, NOBODY, USERS, ask_raw, daemon, request, shared

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to load BPF programs")
STRANGER = 65533


@pytest.fixture
def folder():
    """One that everybody can enter, so that only the socket's own mode protects it."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="loopsight-socket-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def serving(folder, *options, path=None):
    path = path or folder / "http.sock"
    with daemon(folder, *options, address="unix:%s" % path):
        yield str(path)


def refused(folder, path, *options):
    """A start that fails; what it says."""
    got = subprocess.run(
        [shared.LOOPSIGHT, "run", "--web.listen-address", "unix:%s" % path, *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
    )
    assert got.returncode == 1 and got.stderr.count("\n") == 1, got.stderr
    return got.stderr


def can_connect(path, uid, gid):
    code = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    return subprocess.run([shared.PYTHON, "-c", code, path], stderr=subprocess.DEVNULL, cwd="/", user=uid,
                          group=gid, extra_groups=[]).returncode == 0  # fmt: skip


def test_the_group_reads_and_nobody_else(folder):
    with serving(folder, "--web.socket-group", str(NOBODY)) as path:
        status = os.stat(path)
        assert stat.S_ISSOCK(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o660
        assert (status.st_uid, status.st_gid) == (os.geteuid(), NOBODY)
        assert can_connect(path, STRANGER, NOBODY) and not can_connect(path, STRANGER, STRANGER)
        answers = ask_raw(path, request(), request(host="anything"), request("/%00"))
        assert [one.status for one in answers] == [200, 200, 400]
    assert not os.path.exists(path)  # it went with the daemon


def test_without_a_group_it_is_the_daemons_alone(folder):
    with serving(folder) as path:
        assert not can_connect(path, NOBODY, NOBODY)
        assert can_connect(path, 0, 0)


def test_passwords_are_asked_for_all_the_same(folder):
    (folder / "web.yml").write_text(USERS)
    options = ("--web.config.file", folder / "web.yml", "--web.socket-group", str(NOBODY))
    with serving(folder, *options) as path:
        right = "Authorization: Basic YWxpY2U6c2VjcmV0"
        answers = ask_raw(path, request(), request("/metrics", "localhost", right),
                          request("/metrics", "localhost", "Authorization: Basic YWxpY2U6eA=="))  # fmt: skip
        assert [one.status for one in answers] == [401, 200, 401]


def test_a_socket_that_nobody_listens_on_is_replaced(folder):
    path = folder / "http.sock"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    with serving(folder, "--web.socket-group", str(NOBODY)):
        assert ask_raw(str(path), request())[0].status == 200


def test_a_socket_in_use_stays(folder):
    path = folder / "http.sock"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
        old.listen()
        inode = path.stat().st_ino
        assert "in use" in refused(folder, path)
        assert path.stat().st_ino == inode


@pytest.mark.parametrize("what", ("file", "link", "dangling", "folder", "fifo"))
def test_what_is_no_socket_stays(folder, what):
    path, precious = folder / "http.sock", folder / "precious"
    precious.write_text("precious")
    if what == "file":
        path.write_text("precious")
    elif what == "folder":
        path.mkdir()
    elif what == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(precious if what == "link" else folder / "nowhere")
    before = path.lstat()
    refused(folder, path)
    assert path.lstat().st_ino == before.st_ino and precious.read_text() == "precious"
    assert not (folder / "nowhere").exists()


def test_what_others_laid_out_is_refused(folder):
    """A user's socket at that place, a folder that he may write to, a link on the way there."""
    path = folder / "http.sock"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    os.chown(path, NOBODY, NOBODY)
    assert "belongs to user 65534" in refused(folder, path)
    path.unlink()

    theirs = folder / "theirs"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    assert "user 65534" in refused(folder, theirs / "http.sock")
    anybodys = folder / "anybodys"
    anybodys.mkdir()
    anybodys.chmod(0o1777)
    assert "others may write" in refused(folder, anybodys / "http.sock")

    real = folder / "real"
    real.mkdir()
    subprocess.run(["ln", "-s", real, theirs / "way"], check=True, **AS_NOBODY)
    assert "symbolic link" in refused(folder, theirs / "way" / "http.sock")
    assert list(real.iterdir()) == []


def test_a_wrong_address_or_group_is_said(folder):
    assert "absolute" in refused(folder, "http.sock")
    assert "longer than" in refused(folder, folder / ("x" * 120))
    assert "no group" in refused(folder, folder / "http.sock", "--web.socket-group", "no-such-group")
    assert not (folder / "http.sock").exists()
    assert "No such file" in refused(folder, folder / "none" / "http.sock")
