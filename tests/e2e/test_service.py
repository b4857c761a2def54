"""The unit under a real systemd.

The host here has none, and in a container of systemd-nspawn, which always has a PID namespace of
its own, the daemon cannot match pids. So a service manager of our own (systemd --user, run by root)
starts the unit as it is, sandbox, user and capabilities included; what it cannot do is limit memory
and processor time, and hide /home.
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

import pytest
from conftest import LOOPSIGHT, PYTHON, ROOT, TARGETS, free_port, http_get, running, wait_until
from test_configuration import program
from test_metrics import value

UNITS = ROOT / "deploy" / "systemd"
SYSTEMD = pathlib.Path("/lib/systemd/systemd")
CAPABILITIES = {"dac_read_search": 2, "sys_ptrace": 19, "perfmon": 38, "bpf": 39, "checkpoint_restore": 40}
TO_BECOME = {"setgid": 6, "setuid": 7}  # the reader's of source files


def analyze(*arguments):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not installed")
    got = subprocess.run(
        ["systemd-analyze", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    return got.returncode, got.stdout


def test_systemd_understands_the_units(tmp_path):
    for name in ("loopsight.service", "loopsight.socket"):
        text = (UNITS / name).read_text().replace("/usr/sbin/loopsight", "/bin/true")
        (tmp_path / name).write_text(re.sub("^Documentation=.*\n", "", text, flags=re.M))
    status, output = analyze("verify", str(tmp_path / "loopsight.service"), str(tmp_path / "loopsight.socket"))
    assert status == 0 and output == ""


def test_the_sandbox_is_as_tight_as_it_was():
    command = ["security", "--offline=true", "--threshold=25", str(UNITS / "loopsight.service")]
    status, output = analyze(*command)
    assert status == 0, output


class Manager:
    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.log = folder / "log"
        self.config = folder / "loopsight.yml"
        self.config.write_text("threshold: 100ms\n")
        self.env = dict(
            os.environ,
            XDG_RUNTIME_DIR=str(folder),
            HOME=str(folder),
            SYSTEMD_UNIT_PATH="%s:" % (folder / "units"),
        )
        units = folder / "units"
        units.mkdir()
        (units / "basic.target").write_text("[Unit]\nDescription=nothing\nDefaultDependencies=no\n")
        shutil.copy(LOOPSIGHT, folder / "loopsight")
        (folder / "loopsight").chmod(0o755)
        for name in ("loopsight.service", "loopsight.socket"):
            shutil.copy(UNITS / name, units / name)
        self.drop_in(
            "loopsight.service",
            "[Service]\nExecStart=\nExecStart=%s/loopsight run --config %s "
            "--web.listen-address 127.0.0.1:%d\n"
            # What covers /home with is made by the manager of a whole system alone.
            "ProtectHome=read-only\nUser=nobody\nGroup=nogroup\n"
            # So is a folder in /run for another user.
            "RuntimeDirectory=\n"
            "WatchdogSec=8\nTimeoutStartSec=90\nStandardOutput=append:%s\nStandardError=append:%s\n"
            % (folder, self.config, self.port, self.log, self.log),
        )

    def drop_in(self, unit, text):
        folder = self.folder / "units" / (unit + ".d")
        folder.mkdir(exist_ok=True)
        (folder / "test.conf").write_text(text)

    def systemctl(self, *arguments, check=True):
        got = subprocess.run(
            ["systemctl", "--user", *arguments],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        log = self.log.read_text() if self.log.exists() else ""
        if got.returncode != 0 and check:
            log += self.systemctl("status", "loopsight.service", check=False)
        assert got.returncode == 0 or not check, got.stdout + log
        return got.stdout

    def show(self, name, unit="loopsight.service"):
        return self.systemctl("show", "--value", "-p", name, unit).strip()


# In a cgroup of its own, since a manager takes over all processes of the cgroup that it finds itself
# in. The host has no systemd, whose folder in /run it wants to see.
START = """
for tree in /sys/fs/cgroup /sys/fs/cgroup/*; do
  [ -e $tree/cgroup.procs ] || continue
  mkdir $tree/$CGROUP && echo $$ >$tree/$CGROUP/cgroup.procs || rmdir $tree/$CGROUP
done 2>/dev/null
grep -qE "^(0:|[0-9]+:name=systemd):/$CGROUP$" /proc/self/cgroup || exit 77
grep -E "^(0:|[0-9]+:name=systemd):/" /proc/self/cgroup | grep -qv "/$CGROUP$" && exit 77
mkdir -p /run/systemd && mount -t tmpfs tmpfs /run/systemd && mkdir /run/systemd/system || exit 77
umask 0  # as the first process of a host has it: the daemon's user must reach the socket
exec %s --user --unit=basic.target
""" % SYSTEMD


def remove_cgroups(name):
    for tree in ["/sys/fs/cgroup", *pathlib.Path("/sys/fs/cgroup").iterdir()]:
        for root, _, _ in os.walk("%s/%s" % (tree, name), topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(root)


@pytest.fixture(scope="module")
def manager():
    if not SYSTEMD.exists() or not shutil.which("systemctl"):
        pytest.skip("systemd is not installed")
    if pathlib.Path("/run/systemd/system").exists():
        pytest.skip("this host has a service manager, which the tests leave alone")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="loopsight-test-", dir="/var/lib"))
    folder.chmod(0o755)
    try:
        one = Manager(folder)
        one.env["CGROUP"] = folder.name
        with open(folder / "manager", "w") as output:
            command = ["unshare", "-m", "sh", "-c", START]
            with running(command, env=one.env, stdout=output, stderr=output) as process:
                private = folder / "systemd" / "private"
                if not wait_until(lambda: private.exists() or process.poll() is not None, 30) or (
                    process.poll() is not None
                ):
                    pytest.skip("no service manager starts here: " + (folder / "manager").read_text())
                yield one
                one.systemctl("stop", "loopsight.service", "loopsight.socket", check=False)
    finally:
        remove_cgroups(folder.name)
        shutil.rmtree(folder, ignore_errors=True)


def process_status(pid):
    text = pathlib.Path("/proc/%s/status" % pid).read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def test_it_is_ready_and_has_few_rights(manager):
    manager.systemctl("start", "loopsight.service")
    # Ready means: the probes are attached.
    assert value(manager.port, "loopsight_probe_attached", probe="sched_switch") == 1
    assert re.fullmatch(r"\d+ loops, \d+ stalls", manager.show("StatusText"))
    expected = sum(1 << bit for bit in CAPABILITIES.values())
    pid = manager.show("MainPID")
    for task in os.listdir("/proc/%s/task" % pid):
        status = process_status("%s/task/%s" % (pid, task))
        assert int(status["CapEff"], 16) == expected, status["Name"]
        assert int(status["CapPrm"], 16) == expected
        assert "0" not in status["Uid"].split()
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"


def test_it_sees_a_stall_from_inside_its_sandbox(manager):
    # Where everybody may read it: else HTTP without a password does not show its lines.
    with program(manager.folder / "inside.py") as one:
        one.block(10)
        assert wait_until(lambda: value(manager.port, "loopsight_loops", workload="inside.py"), 30)
        one.block(300)
        assert wait_until(
            lambda: value(manager.port, "loopsight_stalls_total", workload="inside.py", cause="sleep"), 30
        )
        # Having read a source file as another user it still has the rights to see this.
        one.process.stdin.write("6000\n")
        one.process.stdin.flush()
        assert wait_until(
            lambda: value(manager.port, "loopsight_loop_stalled_seconds", workload="inside.py") > 0, 30
        )
        assert one.process.stdout.readline() == "blocked\n"
    stalls = http_get(manager.port, "/api/v1/stalls?workload=inside.py")[1]
    assert '"function":"main"' in stalls and "time.sleep(int(line) / 1000)" in stalls


def test_a_reload_keeps_the_process_and_its_counts(manager):
    pid = manager.show("MainPID")
    before = value(manager.port, "loopsight_stalls_total", workload="inside.py", cause="sleep")
    manager.config.write_text("threshold: 5s\n")
    manager.systemctl("reload", "loopsight.service")
    assert wait_until(lambda: "was read again" in manager.log.read_text(), 30)
    assert manager.show("MainPID") == pid and manager.show("ActiveState") == "active"
    # Not less: what happened just before may have been published meanwhile.
    after = value(manager.port, "loopsight_stalls_total", workload="inside.py", cause="sleep")
    assert after >= before > 0


def test_what_the_sandbox_forbids_cannot_be_done(manager):
    unit = (UNITS / "loopsight.service").read_text()
    kept = process_status(manager.show("MainPID"))["CapPrm"].strip()  # of the daemon as it runs
    unit = re.sub("^(ExecStart|ExecReload|Type|WatchdogSec|Restart)=.*\n", "", unit, flags=re.M)
    results = manager.folder / "results" / "json"
    results.parent.mkdir()
    results.parent.chmod(0o777)
    shutil.copy(TARGETS / "forbidden.py", manager.folder / "forbidden.py")
    (manager.folder / "units" / "forbidden.service").write_text(unit)
    manager.drop_in(
        "forbidden.service",
        "[Service]\nType=oneshot\nExecStart=%s %s/forbidden.py %s %s\nReadWritePaths=%s\n"
        "ProtectHome=read-only\nUser=nobody\nGroup=nogroup\nTimeoutStartSec=90\nRuntimeDirectory=\n"
        "StandardOutput=append:%s\nStandardError=append:%s\n"
        % (PYTHON, manager.folder, results, kept, results.parent, manager.log, manager.log),
    )
    manager.systemctl("daemon-reload")
    manager.systemctl("start", "forbidden.service")
    found = json.loads(results.read_text())
    assert len(found) >= 30
    refusals = ("EPERM", "EACCES", "EROFS", "EAFNOSUPPORT", "ENOENT")  # the last: it is hidden
    allowed = {name: what for name, what in found.items() if what not in refusals}
    assert allowed == {}


def test_a_stuck_daemon_is_started_anew(manager):
    pid = manager.show("MainPID")
    assert wait_until(lambda: manager.show("WatchdogTimestampMonotonic") != "0", 30)
    os.kill(int(pid), signal.SIGSTOP)
    assert wait_until(lambda: manager.show("NRestarts") == "1", 60)
    assert wait_until(lambda: manager.show("ActiveState") == "active", 90)
    assert manager.show("MainPID") not in (pid, "0")
    assert http_get(manager.port, "/-/ready")[0] == 200


def test_it_stops_in_peace(manager):
    manager.systemctl("stop", "loopsight.service")
    assert manager.show("Result") == "success" and manager.show("ActiveState") == "inactive"


def test_the_first_scrape_starts_it(manager):
    port = free_port()
    manager.drop_in("loopsight.socket", "[Socket]\nListenStream=\nListenStream=127.0.0.1:%d\n" % port)
    manager.systemctl("daemon-reload")
    manager.systemctl("start", "loopsight.socket")
    assert manager.show("ActiveState") == "inactive"
    assert http_get(port, "/-/ready", timeout=90)[0] == 200
    assert "serving http on the socket of systemd" in manager.log.read_text()
    assert manager.show("ActiveState") == "active"
