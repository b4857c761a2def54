"""Whose code it is, in the shapes in which services are shipped: real servers, real interpreters."""
import shutil
import subprocess
import zipapp

import pytest
from conftest import LOOPSIGHT, TARGETS, free_port, read_results, running, tracing, wait_until
from registry import site_packages, venv

SHOP = TARGETS / "shop"
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
VERSIONS = ["3.11", "3.13"]


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


def culprits(tmp_path, *command, options=(), env=None, ends=True, cwd=SHOP):
    """What is blamed for the stalls of a program that stalls at least three times."""
    out = tmp_path / "stalls.json"
    trace = [LOOPSIGHT, "trace", "--format", "json", "--output", out, *options]
    trace += [] if ends else ["--duration", "8s"]
    subprocess.run([*trace, "--", *map(str, command)], timeout=120, env=env, cwd=cwd, **QUIET)
    found = [s["culprit"] for s in read_results(out).stalls if s["cause"] == "sleep"]
    assert len(found) >= 3, read_results(out).all
    return found


def check(found, rule="own"):
    for culprit in found:
        assert culprit and culprit["function"].endswith("price_all"), found
        assert culprit["rule"] == rule, found


def installed(folder, name="shopsvc"):
    """The service as an installed package with a console script."""
    package = site_packages(folder) / name
    package.mkdir(exist_ok=True)
    (package / "__init__.py").touch()
    shutil.copy(SHOP / "shop_core.py", package / "core.py")
    (package / "__main__.py").write_text(f"from {name}.core import main\nmain()\n")
    script = folder / "bin" / name
    script.write_text(
        f"#!{folder}/bin/python\nimport sys\nfrom {name}.core import main\n"
        "if __name__ == '__main__':\n    sys.exit(main())\n"
    )
    script.chmod(0o755)
    return script


@pytest.mark.parametrize("shape", ["script", "module", "code", "zipapp"])
def test_program_in_a_source_tree(tmp_path, version, shape):
    python = venv(version) / "bin" / "python"
    if shape == "zipapp":
        (tmp_path / "app").mkdir()
        shutil.copy(SHOP / "shop_core.py", tmp_path / "app")
        zipapp.create_archive(tmp_path / "app", tmp_path / "app.pyz", main="shop_core:main")
    command = {
        "script": ["shop_core.py"],
        "module": ["-m", "shop_core"],
        "code": ["-c", "import shop_core; shop_core.main()"],
        "zipapp": [tmp_path / "app.pyz"],
    }[shape]
    check(culprits(tmp_path, python, *command))


@pytest.mark.parametrize("shape", ["console script", "module"])
def test_installed_package(tmp_path, version, shape):
    folder = venv(version)
    script = installed(folder)
    command = [script] if shape == "console script" else [folder / "bin/python", "-m", "shopsvc"]
    check(culprits(tmp_path, *command), "application")


def test_installed_package_that_is_named_as_own(tmp_path, version):
    script = installed(venv(version))
    check(culprits(tmp_path, script, options=["--own", r"^shopsvc\."]))


def test_editable_installation(tmp_path, version):
    folder = venv(version)
    (site_packages(folder) / "shop_editable.pth").write_text(str(SHOP) + "\n")
    command = [folder / "bin/python", "-c", "import shop_core; shop_core.main()"]
    check(culprits(tmp_path, *command, cwd=tmp_path))


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("workers", [1, 2])
def test_uvicorn(tmp_path, version, loop, workers):
    folder = venv(version, "uvicorn", "uvloop")
    command = [folder / "bin/uvicorn", "shop_core:app", "--port", free_port(), "--loop", loop]
    check(culprits(tmp_path, *command, "--workers", workers, ends=False))


@pytest.mark.parametrize("workers", [1, 2])
def test_uvicorn_with_an_installed_application(tmp_path, version, workers):
    folder = venv(version, "uvicorn", "uvloop")
    installed(folder)
    command = [folder / "bin/uvicorn", "shopsvc.core:app", "--port", free_port()]
    found = culprits(tmp_path, *command, "--workers", workers, ends=False, cwd=tmp_path)
    check(found, "application")


@pytest.mark.parametrize("worker", ["GunicornWebWorker", "GunicornUVLoopWebWorker"])
def test_gunicorn_with_aiohttp(tmp_path, version, worker):
    folder = venv(version, "gunicorn", "aiohttp", "uvloop")
    command = [folder / "bin/gunicorn", "shop_aiohttp:app", "-k", f"aiohttp.{worker}"]
    check(culprits(tmp_path, *command, "-b", f"127.0.0.1:{free_port()}", ends=False))


def test_hypercorn(tmp_path, version):
    folder = venv(version, "hypercorn")
    command = [folder / "bin/hypercorn", "shop_core:app", "-b", f"127.0.0.1:{free_port()}"]
    check(culprits(tmp_path, *command, ends=False))


@pytest.mark.parametrize(
    "loop, package",
    [
        ("uvloop", "uvloop"),
        ("uvloop_by_hand", "uvloop"),
        ("trio", "trio"),
        ("twisted", "twisted"),
        ("gevent", "gevent"),
        ("tornado", "tornado"),
    ],
)
def test_other_loops(tmp_path, version, loop, package):
    python = venv(version, package) / "bin/python"
    check(culprits(tmp_path, python, "shop_loops.py", loop))


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_children_of_multiprocessing(tmp_path, version, method):
    python = venv(version) / "bin/python"
    check(culprits(tmp_path, python, "shop_loops.py", "children", method))


def test_frozen_by_pyinstaller(tmp_path, version):
    folder = venv(version, "pyinstaller")
    made = subprocess.run(
        [folder / "bin/pyinstaller", "-F", "--log-level", "ERROR", "--distpath", tmp_path,
         "--workpath", tmp_path / "work", "--specpath", tmp_path, "shop_core.py"],
        cwd=SHOP, capture_output=True, text=True, timeout=300)
    if made.returncode != 0:
        pytest.skip(f"pyinstaller makes nothing here: {made.stderr.strip()[-200:]}")
    check(culprits(tmp_path, tmp_path / "shop_core"))


def test_a_librarys_own_task_is_not_the_programs(tmp_path, version):
    """What a server does by itself is not blamed on the line that started it."""
    folder = venv(version, "aiohttp")
    (tmp_path / "files").mkdir()
    for i in range(8000):
        (tmp_path / "files" / f"{i}.txt").touch()
    port = free_port()
    program = tmp_path / "serve.py"
    program.write_text(
        "from aiohttp import web\n"
        "app = web.Application()\n"
        f"app.router.add_static('/', {str(tmp_path / 'files')!r}, show_index=True)\n"
        f"web.run_app(app, host='127.0.0.1', port={port}, print=None)\n"
    )
    out = tmp_path / "x.json"
    with running([folder / "bin/python", program], **QUIET) as server:
        from conftest import http_get, wait_for_port

        wait_for_port(port)
        with tracing(out, "--pid", str(server.pid), options=["--threshold", "20ms"]):
            for _ in range(3):
                assert http_get(port)[0] == 200
            wait_until(lambda: read_results(out).stalls)
    for stall in read_results(out).stalls:
        assert stall["culprit"]["rule"] != "own", stall["culprit"]
        assert stall["culprit"]["file"] != str(program)
