"""Nobody takes the name of a unit or a container for a program of his own: not by what he calls his
script, not by what he calls a cgroup that he may make, not by what a container does in its own."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest
from attacks import ATTACKER, PYTHON, RIGHTS, daemon, http_get, needs_root, running, wait_until

pytestmark = needs_root

NAP = """
import asyncio, sys, time

async def main():
    while True:
        await asyncio.sleep(0.2)
        time.sleep(0.1)

sys.stdin.readline()  # begins when it is where it belongs
asyncio.run(main())
"""
CONFIG = """
workloads:
  - {match: 'nginx', threshold: 10s}
  - {match: 'postgresql|billing|^b1b1', threshold: 10s}
"""
VICTIM = "b1" * 32


def hierarchies():
    """The folders in which systemd makes its groups, and the unified ones."""
    found = {}
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, where, kind, options = line.split()[:4]
        if kind == "cgroup2":
            found.setdefault("v2", pathlib.Path(where))
        elif "name=systemd" in options:
            found.setdefault("v1", pathlib.Path(where))
    return found


@pytest.fixture(params=("v1", "v2"))
def hierarchy(request):
    found = hierarchies().get(request.param)
    if not found or not os.access(found, os.W_OK):
        pytest.skip("no cgroup hierarchy of %s to make groups in" % request.param)
    return found


@pytest.fixture(scope="module")
def folder():
    path = pathlib.Path(tempfile.mkdtemp(prefix="loopsight-security-"))
    path.chmod(0o755)
    (path / "loopsight.yml").write_text(CONFIG)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module", params=RIGHTS)
def watcher(request, folder):
    with daemon(folder, request.param, "--config", str(folder / "loopsight.yml")) as one:
        yield one


@contextlib.contextmanager
def group(root, path):
    """A cgroup of root's, taken away afterwards with those above and below it that were made."""
    where = root / path
    made = [one for one in (where, *where.parents) if root in one.parents and not one.exists()]
    where.mkdir(parents=True, exist_ok=True)
    try:
        yield where
    finally:
        def removed(one):
            for below, _, _ in os.walk(one, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(below)
            return not one.exists()
        assert wait_until(lambda: all(removed(one) for one in made), 20)


def hand_over(where):
    """As systemd gives a user's manager its group."""
    for one in (where, where / "cgroup.procs", where / "cgroup.threads", where / "tasks",
                where / "cgroup.subtree_control"):
        if one.exists():
            os.chown(one, ATTACKER, ATTACKER)


# What the attacker does to a group himself: makes one below his own, and goes into it.
ENTER = "import os; os.makedirs({group!r}, exist_ok=True); " \
        "open({group!r} + '/cgroup.procs', 'w').write(str(os.getpid())); " \
        "os.execv({python!r}, [{python!r}, {script!r}])"


@contextlib.contextmanager
def program(folder, name, first=None, enter=None, uid=ATTACKER):
    """A script of this name of a user without rights, which stalls; `first` is the group that root
    puts it into, `enter` the one that it makes and enters itself."""
    place = pathlib.Path(tempfile.mkdtemp(dir=folder))
    place.chmod(0o755)
    script = place / name
    script.write_text(NAP)
    script.chmod(0o644)
    as_user = ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups"]
    code = ENTER.format(group=str(enter), python=PYTHON, script=str(script))
    # A shell waits until root has put it where it is to begin.
    run = [PYTHON, "-c", code] if enter else [PYTHON, str(script)]
    command = [*as_user, "sh", "-c", 'read go; exec "$@"', "sh", *run]
    with running(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        if first:
            (first / "cgroup.procs").write_text(str(process.pid))
        process.stdin.write(b"go\n\n")
        process.stdin.flush()
        yield process


def stalls_of(watcher, process, least=2):
    def ours():
        return [one for one in watcher.stalls() if one["pid"] == process.pid]

    assert wait_until(lambda: len(ours()) >= least or process.poll() is not None, 30)
    assert process.poll() is None
    return ours()


def loops_of(watcher, process):
    def ours():  # told once a second
        return [one for one in watcher.loops() if one["pid"] == process.pid]

    assert wait_until(ours, 20)
    return ours()


def series(watcher, workload):
    return 'workload="%s"' % workload in http_get(watcher.port, "/metrics")[1]


def is_argv(watcher, process, workload):
    for one in stalls_of(watcher, process):
        assert (one["workload"], one["workload_source"]) == (workload, "argv")
        assert one["unit"] is None and one["container"] is None and one["pod"] is None
    loops = loops_of(watcher, process)
    assert {(one["workload"], one["workload_source"]) for one in loops} == {(workload, "argv")}
    assert {one["threshold_seconds"] for one in loops} == {0.05}  # no rule of the victim's


def test_a_script_that_is_called_like_a_unit(watcher, folder):
    with program(folder, "nginx.service") as process:
        is_argv(watcher, process, "nginx.service (argv)")
        assert not series(watcher, "nginx.service")


@pytest.mark.parametrize("name", ("postgresql.service", "docker-%s.scope" % VICTIM,
                                  "lxc.payload.billing", "system.slice/nginx.service",
                                  "machine.slice/machine-billing.scope",
                                  "kubepods-pod0f4a7c1e_2b3d_4e5f_8a9b_0c1d2e3f4a5b.slice/"
                                  "cri-containerd-%s.scope" % VICTIM))
def test_a_group_that_a_user_makes_below_his_manager(watcher, folder, hierarchy, name):
    path = "user.slice/user-%d.slice/user@%d.service" % (ATTACKER, ATTACKER)
    with group(hierarchy, path) as manager:
        hand_over(manager)
        with program(folder, "mine.py", manager, manager / name) as process:
            assert wait_until(lambda: name in pathlib.Path("/proc/%d/cgroup" % process.pid).read_text(), 20)
            is_argv(watcher, process, "mine.py")


def test_a_group_below_a_service_that_was_handed_over(watcher, folder, hierarchy):
    with group(hierarchy, "system.slice/shop-%d.service" % os.getpid()) as service:
        hand_over(service)
        with program(folder, "mine.py", service, service / ("docker-%s.scope" % VICTIM)) as process:
            for one in stalls_of(watcher, process):
                assert one["workload"] == one["unit"] == service.name
                assert one["workload_source"] == "unit" and one["container"] is None


def test_what_a_container_calls_its_own_groups(watcher, folder, hierarchy):
    own = os.urandom(32).hex()
    with group(hierarchy, "system.slice/docker-%s.scope" % own) as scope:
        for name in ("docker-%s.scope" % VICTIM, "lxc.payload.billing", "nginx.service"):
            with group(hierarchy, (scope / name).relative_to(hierarchy)) as inside:
                with program(folder, "mine.py", inside) as process:
                    for one in stalls_of(watcher, process):
                        assert one["container"] == own and one["workload"] == own[:12]
                        assert one["workload_source"] == "container" and one["unit"] is None


def test_units_and_containers_of_root_are_believed(watcher, folder, hierarchy):
    number = os.getpid()
    for path, name, source in (("system.slice/mail-%d.service" % number, "mail-%d.service" % number, "unit"),
                               ("lxc.payload.mail-%d" % number, "mail-%d" % number, "container"),
                               ("lxc.payload.mail-%d/system.slice/web.service" % number,
                                "mail-%d/web.service" % number, "container")):
        with group(hierarchy, path) as where, program(folder, "mine.py", where) as process:
            for one in stalls_of(watcher, process):
                assert (one["workload"], one["workload_source"]) == (name, source)


def test_a_script_that_is_called_like_a_container(watcher, folder, hierarchy):
    """Whether it was there before or comes after it."""
    name = "shop-%d-%s" % (os.getpid(), hierarchy.name)
    with program(folder, name) as before:
        is_argv(watcher, before, name)
        with group(hierarchy, "lxc.payload." + name) as where, program(folder, "x.py", where) as victim:
            assert {one["workload"] for one in stalls_of(watcher, victim)} == {name}
            with program(folder, name) as after:
                is_argv(watcher, after, name + " (argv)")

            def marked():
                return {one["workload"] for one in loops_of(watcher, before)}
            assert wait_until(lambda: marked() == {name + " (argv)"}, 20), marked()
            assert {one["workload"] for one in loops_of(watcher, victim)} == {name}


def test_the_rules_and_the_series_of_a_unit_are_its_own(watcher, folder, hierarchy):
    with group(hierarchy, "system.slice/nginx.service") as where:
        with program(folder, "mine.py", where) as victim, program(folder, "nginx.service") as attacker:
            is_argv(watcher, attacker, "nginx.service (argv)")
            loops = loops_of(watcher, victim)
            assert {(one["workload"], one["threshold_seconds"]) for one in loops} == {("nginx.service", 10)}
            assert 'loopsight_stalls_total{workload="nginx.service",cause="sleep"} 0' in \
                http_get(watcher.port, "/metrics")[1]
