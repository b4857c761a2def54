"""Who may see what: nothing of other people's programs reaches a user without rights, through our
commands, our files or our words, but for what the operator exposed."""
import contextlib
import gzip
import os
import pathlib
import pty
import re
import shutil
import stat
import subprocess
import tempfile

import pytest
from conftest import (
    LOOPSIGHT,
    PYTHON,
    ROOT,
    free_port,
    http_get_bytes,
    running,
    wait_for_port,
    wait_until,
)
from journald import JOURNALD, journal

RECORDING = ROOT / "tests" / "replay" / "zoo-asyncio.lsrec"
NOBODY = 65534
AS_NOBODY = {"user": NOBODY, "group": NOBODY, "extra_groups": []}


@pytest.fixture
def folder():
    """A folder that everybody can enter, so that only a file's own mode protects it."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="loopsight-rights-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def call(*arguments, program=LOOPSIGHT, **options):
    return subprocess.run(
        [program, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, timeout=60, **options,
    )


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def can_read(path):
    got = subprocess.run(["cat", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **AS_NOBODY)
    return got.returncode == 0


# --- commands --------------------------------------------------------------------------------------
@pytest.fixture
def copy(folder):
    """The binary where anybody may run it."""
    path = folder / "loopsight"
    shutil.copy(LOOPSIGHT, path)
    path.chmod(0o755)
    return path


def refused(got):
    assert got.returncode == 1 and got.stdout == ""
    assert got.stderr.count("\n") == 1, got.stderr
    return got.stderr


def test_without_rights_nobody_traces(folder, copy):
    out = folder / "out"
    out.mkdir()
    out.chmod(0o777)
    ours = pathlib.Path("/proc/self/exe").resolve()
    with running([str(ours), "-c", "import asyncio; asyncio.run(asyncio.sleep(60))"]) as target:
        for arguments in (
            ("trace", "--pid", target.pid),
            ("trace", "--all", "--output", out / "x"),
            ("trace", "--", "touch", out / "started"),
            ("record", "-o", out / "y", "--pid", target.pid),
            ("run", "--web.listen-address", "127.0.0.1:%d" % free_port(),
             "--export.json-lines", out / "z"),
        ):
            message = refused(call(*arguments, program=copy, **AS_NOBODY))
            assert "CAP_BPF" in message and "CAP_PERFMON" in message and "sudo" in message, message
    assert list(out.iterdir()) == []  # nothing begun either


def test_without_rights_top_has_only_what_a_daemon_serves(copy):
    master, slave = pty.openpty()
    try:
        got = subprocess.run(
            [copy, "top", "--url", "http://127.0.0.1:%d" % free_port()], stdin=slave, stdout=slave,
            stderr=subprocess.PIPE, text=True, timeout=60, **AS_NOBODY,
        )
    finally:
        os.close(master)
        os.close(slave)
    assert got.returncode == 1 and got.stderr.count("\n") == 1
    assert "no answer from http://127.0.0.1" in got.stderr


def test_check_says_what_is_missing(copy):
    got = call("check", program=copy, **AS_NOBODY)
    assert got.returncode == 1
    assert re.search(r"rights.*not root", got.stdout) and "sudo" in got.stdout


# --- files -----------------------------------------------------------------------------------------
def replay(form):
    return lambda path: ("replay", "--format", form, "--output", path, RECORDING)


WRITERS = {form: replay(form) for form in ("text", "json", "folded", "speedscope", "pprof")}
WRITERS["report"] = lambda path: ("report", "--output", path, RECORDING)
WRITERS["trace"] = lambda path: ("trace", "--output", path, "--", "true")
WRITERS["record"] = lambda path: ("record", "-o", path, "--", "true")


@pytest.mark.parametrize("writer", WRITERS)
def test_files_are_their_owners_alone(folder, writer):
    path = folder / "result"
    # What loads programs takes its time.
    for existing in {"trace": (None,)}.get(writer, (None, 0o666)):
        if existing is not None:
            path.write_text("of old\n" * 500_000)  # longer than any result
            path.chmod(existing)
        got = call(*WRITERS[writer](path), umask=0)
        assert got.returncode in (0, 4), got.stderr  # 4: a command without a loop
        assert mode_of(path) == 0o600 and not can_read(path)
        assert b"of old\n" not in path.read_bytes()
        path.unlink()


@pytest.mark.parametrize("writer", ("json", "report", "record"))
def test_nothing_that_others_laid_out_is_written_to(folder, writer):
    path = folder / "result"
    precious = folder / "precious"
    precious.write_text("precious")
    folder.chmod(0o1777)
    path.symlink_to(precious)
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    assert "it is a symbolic link" in refused(call(*WRITERS[writer](path)))
    path.unlink()
    path.write_text("theirs")
    os.chown(path, NOBODY, NOBODY)
    assert "belongs to user 65534" in refused(call(*WRITERS[writer](path)))
    assert (path.read_text(), precious.read_text()) == ("theirs", "precious")


BLOCKER = """
import asyncio, time
async def main():
    while True:
        time.sleep(0.06)
        await asyncio.sleep(0)
asyncio.run(main())
"""


def test_the_daemon_writes_one_file_and_listens_where_it_was_told(folder):
    program = folder / "blocker.py"
    program.write_text(BLOCKER)
    home = folder / "home"
    home.mkdir()
    path = home / "stalls.jsonl"
    path.write_text("{}\n")
    path.chmod(0o666)
    port = free_port()
    command = [LOOPSIGHT, "run", "--web.listen-address", "127.0.0.1:%d" % port,
               "--export.json-lines", str(path), "--export.json-lines.max-bytes", "4000",
               "--export.json-lines.files", "3"]
    env = dict(os.environ, HOME=str(home), TMPDIR=str(home), XDG_RUNTIME_DIR=str(home))
    with running([PYTHON, str(program)]), open(folder / "log", "w") as log, running(
        command, cwd=home, env=env, umask=0, stdout=subprocess.DEVNULL, stderr=log
    ) as daemon:
        wait_for_port(port, 60)
        rotated = home / "stalls.jsonl.2"
        assert wait_until(rotated.exists, 60), (folder / "log").read_text()
        proc = pathlib.Path("/proc/%d" % daemon.pid)
        held, writable = {}, set()
        for link in (proc / "fd").iterdir():
            with contextlib.suppress(OSError):
                held[link.name] = os.readlink(link)
                flags = re.search(r"flags:\s+([0-7]+)", (proc / "fdinfo" / link.name).read_text())[1]
                if int(flags, 8) & os.O_ACCMODE != os.O_RDONLY:
                    writable.add(held[link.name])
        inodes = {one[8:-1] for one in held.values() if one.startswith("socket:[")}
        local = [line.split() for line in (proc / "net" / "unix").read_text().splitlines()[1:]]
        tables = ((proc / "net" / one).read_text().splitlines()[1:] for one in ("tcp", "tcp6", "udp", "udp6"))
        network = [line.split() for lines in tables for line in lines]
        status = (proc / "status").read_text()
    # Its standard streams are the test's.
    files = {one for one in writable if one.startswith("/") and not one.startswith("/dev/")}
    assert files - {str(folder / "log")} <= {str(path)} | {str(path) + end for end in (".1", ".2", " (deleted)")}
    assert not [one for one in local if one[6] in inodes and len(one) > 7]  # no socket with a name
    bound = {one[1] for one in network if one[9] in inodes and one[3] in ("0A", "07")}  # listening; UDP
    assert bound == {"0100007F:%04X" % port}
    assert {one.name for one in home.iterdir()} == {"stalls.jsonl", "stalls.jsonl.1", "stalls.jsonl.2"}
    for one in home.iterdir():
        assert mode_of(one) & ~0o640 == 0 and not can_read(one), one
    # What it no longer needs it has given up, and can never have again.
    kept = {2, 19, 21, 38, 39, 40}  # DAC_READ_SEARCH, SYS_PTRACE, SYS_ADMIN, PERFMON, BPF, CHECKPOINT_RESTORE
    for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"):
        bits = int(re.search(name + r":\s(\S+)", status)[1], 16)
        assert {bit for bit in range(64) if bits >> bit & 1} <= kept, name
    assert re.search(r"NoNewPrivs:\s1", status)


def test_an_export_that_others_laid_out_is_refused(folder):
    folder.chmod(0o1777)
    (folder / "link").symlink_to("/etc/passwd")
    theirs = folder / "theirs"
    theirs.write_text("theirs")
    os.chown(theirs, NOBODY, NOBODY)
    for path, why in ((folder / "link", "symbolic link"), (theirs, "belongs to user")):
        got = call("run", "--web.listen-address", "127.0.0.1:%d" % free_port(),
                   "--export.json-lines", path)
        assert why in refused(got) and "--export.json-lines" in got.stderr
    assert theirs.read_text() == "theirs"


# --- secrets ---------------------------------------------------------------------------------------
SECRET = "s3cr3t-0f-th3-t4rg3t"
SPENDER = """
import asyncio, os, socket, subprocess, sys, threading, time, urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
secret = sys.argv[1].partition("=")[2]
class Slow(BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(0.12)
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
server = HTTPServer(("127.0.0.1", 0), Slow)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = "127.0.0.1:%d" % server.server_port
def ask():
    try:
        urllib.request.urlopen("http://user:%s@%s/x" % (secret, address))
    except Exception:  # it takes the user for a part of the host's name
        time.sleep(0.1)
    urllib.request.urlopen("http://%s/x?token=%s#%s" % (address, secret, secret)).read()
inner, outer = socket.socketpair()
def request():  # as urllib does, with no other event before the wait
    sys.audit("urllib.Request", "http://u:%s@h/x?t=%s" % (secret, secret), None, {}, "GET")
    threading.Timer(0.12, outer.send, (b"x",)).start()
    inner.recv(1)
def shell():
    os.system("PASSWORD=%s sleep 0.12; : %s" % (secret, secret))
    os.system("PASSWORD='%s' sleep 0.12" % secret)
def child():
    subprocess.run(["sh", "-c", "sleep 0.12; : " + secret], env={"PASSWORD": secret, "PATH": "/bin:/usr/bin"})
def rest():
    time.sleep(0.12)
async def main():
    while True:
        for work in (ask, request, shell, child, rest):
            work()
            await asyncio.sleep(0.01)
asyncio.run(main())
"""


def test_secrets_of_programs_stay_theirs(folder):
    program = folder / "spender.py"
    program.write_text(SPENDER)
    config = folder / "loopsight.yml"
    config.write_text("log: {level: debug}\nprobes: {audit: true}\n")
    export, recording, log = folder / "stalls.jsonl", folder / "raw.lsrec", folder / "log"
    port = free_port()
    secret_env = dict(os.environ, PASSWORD=SECRET, DATABASE_URL="postgres://u:%s@db/x" % SECRET)
    with contextlib.ExitStack() as stack:
        inside = []
        if os.access(JOURNALD, os.X_OK) and pathlib.Path("/etc/machine-id").exists():
            inside = stack.enter_context(journal())
        argument = "--password=" + SECRET
        stack.enter_context(running([PYTHON, str(program), argument], env=secret_env))
        # Code on the command line, behind another option.
        stack.enter_context(running([PYTHON, "-Ic", SPENDER + "# " + SECRET, argument], env=secret_env))
        command = [*inside, LOOPSIGHT, "run", "--config", str(config), "--export.json-lines", str(export),
                   "--web.listen-address", "127.0.0.1:%d" % port]
        if inside:
            command.append("--export.journal")
        errors = stack.enter_context(open(log, "w"))
        stack.enter_context(running(command, stderr=errors))
        wait_for_port(port, 60)

        def stalls_of(workload):
            lines = export.read_text() if export.exists() else ""
            ours = [line for line in lines.splitlines() if '%s","worker"' % workload in line]
            wanted = ['"function":"%s"' % one for one in ("ask", "request", "shell", "child", "rest")]
            return all(any(want in line for line in ours) for want in wanted)

        assert wait_until(lambda: stalls_of("spender.py") and stalls_of("<string>"), 60), log.read_text()
        got = call("record", "-o", recording, "--all", "--audit", "--duration", "1500ms")
        assert got.returncode == 0, got.stderr
        places = {"recording": recording.read_bytes(), "record's log": got.stderr.encode()}
        for path in ("/metrics", "/api/v1/stalls", "/api/v1/loops", "/api/v1/executors", "/api/v1/status"):
            places[path] = http_get_bytes(port, path)[1]
        if inside:
            listing = [*inside, "journalctl", "-D", "/run/log/journal", "-o", "json"]
            assert wait_until(
                lambda: b"spender.py" in subprocess.run(listing, stdout=subprocess.PIPE).stdout, 30
            )
            places["journal"] = subprocess.run(listing, stdout=subprocess.PIPE).stdout
        profile = http_get_bytes(port, "/debug/pprof/loopstall")[1]
    places["profile"] = gzip.decompress(profile)
    places["export"] = export.read_bytes()
    places["log"] = log.read_bytes()
    for form in ("text", "json", "folded", "speedscope"):
        places[form] = call("replay", "--format", form, recording).stdout.encode()
    places["report"] = call("report", export).stdout.encode()
    assert b"spender.py" in places["/metrics"] and b"spender.py" in places["json"]
    assert b'"event":"os.system"' in places["export"]  # its argument was looked at
    assert b'"argument":"http://h/x"' in places["export"]
    assert [name for name, bytes_ in places.items() if SECRET.encode() in bytes_] == []
