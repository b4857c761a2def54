"""What the manifests promise, without a cluster: the capabilities of the DaemonSet are enough, and
containers are known by the cgroups that their runtimes make."""
import contextlib
import json
import os
import pathlib
import subprocess
import tempfile

import pytest
import yaml
from conftest import LOOPSIGHT, PYTHON, ROOT, http_get, running, wait_until
from monitoring import QUIET, answers, fixed_port

NUMBERS = {
    "DAC_READ_SEARCH": 2,
    "SETGID": 6,
    "SETUID": 7,
    "SYS_PTRACE": 19,
    "PERFMON": 38,
    "BPF": 39,
    "CHECKPOINT_RESTORE": 40,
}
NAP = """
import asyncio, sys, time

def nap():
    time.sleep(0.1)

async def main():
    while True:
        await asyncio.sleep(0.2)
        nap()

sys.stdin.readline()  # begins when it is where it belongs
asyncio.run(main())
"""


def cgroup_root():
    """Where systemd, or who stands in for it, makes its groups."""
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, where, kind, options = line.split()[:4]
        if kind == "cgroup2" or "name=systemd" in options:
            return pathlib.Path(where)
    return None


def removed(group):
    with contextlib.suppress(OSError):  # what was in it may still be on its way out
        group.rmdir()
    return not group.exists()


@contextlib.contextmanager
def cgroup(path):
    """A cgroup, taken away afterwards with those above it that were made for it."""
    root = cgroup_root()
    if not root or not os.access(root, os.W_OK):
        pytest.skip("no cgroup hierarchy to make a group in")
    group = root / path
    made = [one for one in (group, *group.parents) if root in one.parents and not one.exists()]
    try:
        group.mkdir(parents=True)
    except OSError as error:
        pytest.skip("no cgroup can be made: %s" % error)
    try:
        yield group
    finally:
        for one in made:
            assert wait_until(lambda: removed(one), 20)


@pytest.fixture(scope="module")
def capabilities():
    manifest = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "daemonset.yaml").read_text())
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    names = container["securityContext"]["capabilities"]["add"]
    bounding = int(
        next(
            line.split()[1]
            for line in pathlib.Path("/proc/self/status").read_text().splitlines()
            if line.startswith("CapBnd:")
        ),
        16,
    )
    for name in names:
        if not bounding >> NUMBERS[name] & 1:
            pytest.skip("the tests themselves lack CAP_" + name)
    return names


@pytest.fixture(scope="module")
def http(capabilities):
    """A daemon with the capabilities of the DaemonSet and no others."""
    port = fixed_port()
    bounding = "-all," + ",".join("+" + name.lower() for name in capabilities)
    command = ["setpriv", "--bounding-set", bounding, "--inh-caps", "-all", "--no-new-privs"]
    command += [LOOPSIGHT, "run", "--web.listen-address", "127.0.0.1:%d" % port]
    with running(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: answers(port) or process.poll() is not None, 60)
        assert process.poll() is None, process.stderr.read()
        yield port


@pytest.fixture
def scratch():
    """A directory that other users may read, unlike pytest's."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o755)
        yield pathlib.Path(path)


def stalls_of(http, scratch, group, name):
    """The finished stalls of a service of another user in a cgroup."""
    script = scratch / name
    script.write_text(NAP)
    script.chmod(0o644)
    found = []
    with cgroup(group) as where:
        command = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", PYTHON]
        with running([*command, script], stdin=subprocess.PIPE, **QUIET) as process:
            (where / "cgroup.procs").write_text(str(process.pid))
            process.stdin.write(b"\n")
            process.stdin.flush()

            def finished():
                stalls = json.loads(http_get(http, "/api/v1/stalls?limit=1000")[1])
                found[:] = [
                    one for one in stalls if one["pid"] == process.pid and not one["in_progress"]
                ]
                return len(found) >= 3 and any(one["cause"] == "sleep" for one in found)

            assert wait_until(lambda: finished() or process.poll() is not None, 30), found
            assert process.poll() is None
    return [one for one in found if one["cause"] == "sleep"]


def test_a_container_that_is_known_by_its_id(http, scratch):
    container = os.urandom(32).hex()
    pod = "0f4a7c1e_2b3d_4e5f_8a9b_%012x" % os.getpid()
    group = "loopsight-test.slice/kubepods-pod%s.slice/cri-containerd-%s.scope" % (pod, container)
    for one in stalls_of(http, scratch, group, "in-a-pod.py"):
        assert one["container"] == container
        assert one["workload"] == container[:12]  # no kubelet here knows the pod
        assert one["pod"] is None
        assert one["culprit"]["function"] == "nap"
        assert one["culprit"]["file"].endswith("/in-a-pod.py")


def test_a_machine_that_is_known_by_its_name(http, scratch):
    group = "lxc.payload.shop-%d/system.slice/web.service" % os.getpid()
    for one in stalls_of(http, scratch, group, "in-a-machine.py"):
        assert one["container"] == "shop-%d" % os.getpid()
        assert one["unit"] == "web.service"
        assert one["workload"] == "shop-%d/web.service" % os.getpid()
