"""The Debian package in a clean Debian 12: installed, at work, and gone again.

The root is unpacked once and kept; each run works on a layer above it. The daemon runs there by
chroot, as the unit's user and with the unit's capabilities: it needs the host's PID namespace.
"""
import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import time
import urllib.parse

import pytest
from conftest import (
    LOOPSIGHT,
    PYTHON,
    ROOT,
    ZOO,
    free_port,
    http_get,
    parse_lines,
    running,
    wait_for_port,
    wait_until,
)
from test_configuration import program
from test_metrics import value

BUILD = pathlib.Path(LOOPSIGHT).resolve().parents[1]
CLEAN = BUILD / "clean-debian"
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def do(command, timeout=240, **options):
    got = subprocess.run(
        [str(one) for one in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        **options,
    )
    assert got.returncode == 0, "%s: %s" % (command, got.stdout[-3000:])
    return got.stdout


@pytest.fixture(scope="module")
def package():
    for tool in ("cpack", "dpkg-shlibdeps", "ninja"):
        if not shutil.which(tool):
            pytest.skip("no %s here" % tool)
    if not (BUILD / "CMakeCache.txt").exists():
        pytest.skip("%s is no build folder" % BUILD)
    path = pathlib.Path(do([ROOT / "deploy" / "package", BUILD]).splitlines()[-1])
    assert path.name.startswith("loopsight_") and path.exists()
    return path


def unpack_clean_root():
    """A minimal Debian 12 with its list of packages."""
    if (CLEAN / "complete").exists():
        return
    if not shutil.which("mmdebstrap"):
        pytest.skip("mmdebstrap is not installed")
    shutil.rmtree(CLEAN, ignore_errors=True)
    targets = do(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"])
    mirrors = [one for one in targets.splitlines() if "security" not in one]
    if not mirrors:
        pytest.skip("this machine has no list of packages to take a Debian from")
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=adduser"]
    command += ["--skip=cleanup/apt/lists", "--aptopt=Acquire::Languages \"none\""]
    got = subprocess.run(
        [*command, "bookworm", str(CLEAN), mirrors[0]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,
    )
    if got.returncode != 0:
        pytest.skip("no Debian 12 can be unpacked here: " + got.stdout[-500:])
    (CLEAN / "complete").touch()


class Root:
    def __init__(self, path):
        self.path = path

    def run(self, *command, timeout=300):
        clean = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
        return do(["chroot", self.path, *command], timeout=timeout, env=clean)

    def apt(self, *arguments):
        return self.run("apt-get", "-y", "-qq", "--no-install-recommends", *arguments)

    def named_after_us(self):
        """What there is of us, but for the notes that apt and dpkg keep of everything."""
        found = []
        for folder in ("etc", "lib/systemd", "usr", "var"):
            for path in (self.path / folder).rglob("*"):
                name = str(path.relative_to(self.path))
                if "loopsight" in name and "/cache/" not in name:
                    found.append("/" + name)
        return sorted(found)


@contextlib.contextmanager
def mounted(*arguments):
    subprocess.run(["mount", *map(str, arguments)], check=True)
    try:
        yield
    finally:
        end = time.monotonic() + 10
        while subprocess.run(["umount", arguments[-1]], **QUIET).returncode != 0:
            if time.monotonic() > end:
                subprocess.run(["umount", "-l", arguments[-1]], **QUIET)
                break
            time.sleep(0.2)


@pytest.fixture(scope="module")
def root(package, tmp_path_factory):
    unpack_clean_root()
    folder = tmp_path_factory.mktemp("root")
    with contextlib.ExitStack() as stack:
        stack.enter_context(mounted("-t", "tmpfs", "-o", "size=1g", "tmpfs", folder))
        for name in ("up", "work", "merged"):
            (folder / name).mkdir()
        merged = folder / "merged"
        layers = "lowerdir=%s,upperdir=%s,workdir=%s" % (CLEAN, folder / "up", folder / "work")
        stack.enter_context(mounted("-t", "overlay", "-o", layers, "overlay", merged))
        for name in ("proc", "sys", "dev"):
            (merged / name).mkdir(exist_ok=True)
        stack.enter_context(mounted("--bind", "/proc", merged / "proc"))
        stack.enter_context(mounted("--bind", "/sys", merged / "sys"))
        stack.enter_context(mounted("--bind", "/sys/kernel/tracing", merged / "sys/kernel/tracing"))
        stack.enter_context(mounted("--bind", "/dev", merged / "dev"))
        shutil.copy("/etc/resolv.conf", merged / "etc" / "resolv.conf")
        shutil.copy(package, merged / "tmp" / package.name)
        # No service may be started by installing it: this is the host's process table.
        (merged / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
        (merged / "usr/sbin/policy-rc.d").chmod(0o755)
        one = Root(merged)
        one.apt("install", "/tmp/" + package.name)
        (merged / "tmp" / package.name).unlink()
        yield one


def test_lintian_finds_nothing_new(package):
    if not shutil.which("lintian"):
        pytest.skip("lintian is not installed")
    output = do(["lintian", "--allow-root", "--fail-on", "error,warning", package])
    assert not re.findall("^[EW]:.*", output, flags=re.M), output


def unit_values(root, key):
    unit = (root.path / "lib/systemd/system/loopsight.service").read_text()
    return " ".join(re.findall("^%s=(.*)$" % key, unit, flags=re.M)).split()


@contextlib.contextmanager
def service(root, port, log):
    """The unit's command as the unit's user with the unit's capabilities, in the package's root."""
    (user,) = unit_values(root, "User")
    command = unit_values(root, "ExecStart")
    rights = ["-all", *("+" + one[4:].lower() for one in unit_values(root, "AmbientCapabilities"))]
    rights = ",".join(rights)
    ids = [root.run("id", option, user).strip() for option in ("-u", "-g")]
    assert "0" not in ids
    inside = ["setpriv", "--reuid", ids[0], "--regid", ids[1], "--clear-groups", "--no-new-privs"]
    inside += ["--inh-caps", rights, "--ambient-caps", rights, "--bounding-set", rights]
    inside += [*command, "--web.listen-address", "127.0.0.1:%d" % port]
    with open(log, "w") as errors, running(["chroot", str(root.path), *inside], stderr=errors) as process:

        def ready():
            with contextlib.suppress(OSError):
                return http_get(port, "/-/ready")[0] == 200
            return process.poll() is not None

        assert wait_until(ready, 60) and process.poll() is None, log.read_text()
        yield process


@contextlib.contextmanager
def prometheus(folder, target):
    port = free_port()
    rules = sorted((ROOT / "deploy" / "prometheus").glob("*.rules.yml"))
    rules += sorted((ROOT / "deploy" / "prometheus").glob("*.alerts.yml"))
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(one) for one in rules],
        "scrape_configs": [
            {"job_name": "loopsight", "static_configs": [{"targets": ["127.0.0.1:%d" % target]}]}
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))
    command = ["prometheus", "--config.file=%s" % (folder / "prometheus.yml"), "--log.level=error"]
    command += ["--storage.tsdb.path=%s" % (folder / "tsdb")]
    command += ["--web.listen-address=127.0.0.1:%d" % port]
    with running(command, **QUIET):
        wait_for_port(port, 60)
        yield port, bool(rules)


def ask(port, path):
    status, body = http_get(port, "/api/v1/" + path)
    return json.loads(body)["data"] if status == 200 else None


def query(port, text):
    answer = ask(port, "query?query=" + urllib.parse.quote(text))
    return float(answer["result"][0]["value"][1]) if answer and answer["result"] else 0


def make_each_fault(server):
    """Blocks a loop in every way of the zoo; Prometheus sees each cause."""
    zoo = subprocess.run([PYTHON, ZOO / "stall_zoo.py"], stdout=subprocess.PIPE, text=True, timeout=120)
    assert zoo.returncode == 0
    truth = [line for line in parse_lines(zoo.stdout) if "skipped" not in line]
    wanted = {line["causes"][0] for line in truth if len(line["causes"]) == 1}
    assert {"cpu", "gc", "import", "gil", "lock", "sleep", "network", "subprocess"} <= wanted

    def missing():
        text = 'loopsight_stalls_total{workload="stall_zoo.py"} > 0'
        answer = ask(server, "query?query=" + urllib.parse.quote(text)) or {"result": []}
        seen = {one["metric"]["cause"] for one in answer["result"]}
        # Where the host kept a program from running, that may be its only stall of the kind.
        return wanted - seen if "run_queue" not in seen or len(wanted - seen) > 1 else set()

    assert wait_until(lambda: not missing(), 60), missing()


def test_the_service_seen_by_prometheus(root, tmp_path):
    assert root.run("loopsight", "--version").startswith("loopsight ")
    assert root.run("loopsight", "run", "--config.check") == "/etc/loopsight/loopsight.yml is right\n"
    port = free_port()
    with contextlib.ExitStack() as stack:
        stack.enter_context(service(root, port, tmp_path / "log"))
        server, has_rules = stack.enter_context(prometheus(tmp_path, port))
        assert wait_until(lambda: query(server, 'up{job="loopsight"}') == 1, 60)
        shop = stack.enter_context(program(tmp_path / "shop.py"))
        shop.block(10)
        assert wait_until(lambda: value(port, "loopsight_loops", workload="shop.py") == 1, 60)
        shop.block(500)
        stalls = 'loopsight_stalls_total{workload="shop.py",cause="sleep"}'
        assert wait_until(lambda: query(server, stalls) >= 1, 60), (tmp_path / "log").read_text()
        make_each_fault(server)
        if not has_rules:
            return

        def firing():
            alerts = (ask(server, "alerts") or {"alerts": []})["alerts"]
            return any(
                one["state"] == "firing"
                and one["labels"]["alertname"] == "LoopsightLoopStalled"
                and one["labels"].get("workload") == "shop.py"
                for one in alerts
            )

        shop.process.stdin.write("16000\n")  # the alert wants more than ten seconds
        shop.process.stdin.flush()
        assert wait_until(firing, 60)
        assert shop.process.stdout.readline() == "blocked\n"
        assert wait_until(lambda: not firing(), 60)


def test_removing_it_leaves_the_configuration_alone(root):
    (root.path / "var/log/loopsight").mkdir()
    (root.path / "var/log/loopsight/stalls.jsonl").write_text("{}\n")
    assert "/usr/sbin/loopsight" in root.named_after_us()
    root.apt("remove", "loopsight")
    left = [one for one in root.named_after_us() if not one.startswith(("/var/lib/dpkg/", "/var/log/"))]
    kept = [one for one in left if "/systemd/" not in one]  # the masks that a purge takes away
    assert kept == ["/etc/loopsight", "/etc/loopsight/loopsight.yml"]
    root.apt("purge", "loopsight")
    assert root.named_after_us() == []
    assert "loopsight" not in (root.path / "etc/passwd").read_text()
    assert "loopsight" not in (root.path / "etc/group").read_text()
