"""What the workload is called in the shapes in which programs really run: by real servers, queues
and launchers, each process of them, and the same whether loopsight came before or after them."""
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from conftest import (
    LOOPSIGHT,
    PYTHON,
    TARGETS,
    free_port,
    http_get,
    running,
    wait_for_port,
    wait_until,
)
from servers import environment

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to load BPF programs")

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
NEVER = {"-c", "-", "-m", "unknown", "python", "python3", "python3.11", ""}
MAIN = (TARGETS / "names" / "main.py").read_text()

# What is started, by which environment's programs; the workload; how many loops it has at least.
# {bin} is the environment's folder of programs, {port} a port of its own.
SHAPES = {
    "uvicorn": ("servers", "{bin}/uvicorn main:app --port {port}", "uvicorn shop/main:app", 1),
    "uvicorn-2": ("servers", "{bin}/uvicorn --port {port} billing:app", "uvicorn billing:app", 1),
    "uvicorn-workers": (
        "servers", "{bin}/uvicorn --workers 2 --port {port} billing:app", "uvicorn billing:app", 2),
    "uvicorn-reload": (
        "servers", "{bin}/uvicorn --reload --port {port} billing:app", "uvicorn billing:app", 1),
    "uvicorn-module": (
        "servers", "{bin}/python -Im uvicorn --app-dir . billing:app --port {port}",
        "uvicorn billing:app", 1),
    "gunicorn-uvicorn": (
        "servers", "{bin}/gunicorn -w 2 -k uvicorn_worker.UvicornWorker -b 127.0.0.1:{port} "
        "billing:app", "gunicorn billing:app", 2),
    "gunicorn-aiohttp": (
        "servers", "{bin}/python -m gunicorn -w 2 -k aiohttp.worker.GunicornWebWorker "
        "-b 127.0.0.1:{port} aio:make(token='s3cret')", "gunicorn aio:make()", 2),
    "hypercorn": (
        "servers", "{bin}/hypercorn -w 2 -b 127.0.0.1:{port} billing:app",
        "hypercorn billing:app", 2),
    "daphne": ("servers", "{bin}/daphne -p {port} billing:app", "daphne billing:app", 1),
    "granian": (
        "servers", "{bin}/granian --interface asgi --workers 2 --port {port} billing:app",
        "granian billing:app", 2),
    "robyn": ("servers", "{bin}/python prices.py --processes 2", "prices.py", 2),
    "sanic": (
        "servers", "{bin}/sanic x.app --workers 2 --port {port}", "sanic x.app", 2),
    "litestar": (
        "servers", "{bin}/litestar --app li:app run --port {port}", "litestar li:app", 1),
    "flask": ("servers", "{bin}/flask --app web_flask run --port {port}", "flask web_flask", 0),
    "flask-reload": (
        "servers", "{bin}/flask --app web_flask run --debug --port {port}", "flask web_flask", 0),
    "django": (
        "servers", "{bin}/python manage.py runserver --noreload {port}",
        "shop/manage.py runserver", 0),
    "celery": ("servers", "{bin}/celery -A tasks_shop worker -c 2", "celery tasks_shop worker", 0),  # no loop with this broker
    "aiohttp.web": (
        "servers", "{bin}/python -m aiohttp.web -H localhost -P {port} aio:make", "aiohttp.web aio:make", 1),
    "script": ("servers", "{python} main.py", "shop/main.py", 1),
    "script-elsewhere": ("servers", "{python} {folder}/billing.py", "billing.py", 1),
    "options": ("servers", "env {python} -X dev -W error -u main.py", "shop/main.py", 1),
    "module": ("servers", "{python} -m prices_package", "prices_package", 1),
    "code": ("servers", "{python} -c {code}", "shop/<string>", 1),
    "directory": ("servers", "{python} prices_package", "prices_package", 1),
    "zipapp": ("servers", "./prices.pyz", "prices.pyz", 1),
    "pex": ("servers", "{bin}/python prices.pex", "prices.pex", 1),
    "console-script": ("servers", "{folder}/venv/bin/prices-api", "prices-api", 1),
    "coverage": ("servers", "{bin}/coverage run --branch billing.py", "billing.py", 1),
    "coverage-module": ("servers", "{bin}/coverage run -m prices_package", "prices_package", 1),
    "debugpy": (
        "servers", "{bin}/python -m debugpy --listen 127.0.0.1:{port} -m uvicorn --port {port2} "
        "billing:app", "uvicorn billing:app", 1),
    "opentelemetry": (
        "servers", "{bin}/opentelemetry-instrument {bin}/uvicorn billing:app --port {port}",
        "uvicorn billing:app", 1),
    "ddtrace": (
        "servers", "{bin}/ddtrace-run {bin}/gunicorn -k uvicorn_worker.UvicornWorker "
        "-b 127.0.0.1:{port} billing:app", "gunicorn billing:app", 1),
    "newrelic": (
        "servers", "{bin}/newrelic-admin run-program {bin}/uvicorn billing:app --port {port}",
        "uvicorn billing:app", 1),
    "profiled": ("servers", "{python} -m cProfile -o {folder}/out billing.py", "billing.py", 1),
    "spawn": ("servers", "{python} children.py spawn", "children.py", 2),
    "forkserver": ("servers", "{python} children.py forkserver", "children.py", 2),
    "fork": ("servers", "{python} children.py fork", "children.py", 2),
    "pool": ("servers", "{python} children.py pool", "children.py", 2),
    "loky": ("servers", "{bin}/python children.py loky", "children.py", 2),
    "hass": ("servers", "{folder}/venv/bin/hass -c {folder}/configuration", "hass", 1),
    "streamlit": (
        "tools", "{bin}/streamlit run page.py --server.headless true --server.port {port} "
        "--browser.gatherUsageStats false", "streamlit page.py", 1),
    "dask": (
        "tools", "{bin}/dask scheduler --port {port} --dashboard-address :0 --no-jupyter",
        "dask scheduler", 1),
    "ipykernel": (
        "tools", "{bin}/python -m ipykernel_launcher -f {folder}/kernel-1.json",
        "ipykernel_launcher", 1),
}
# What starts another program, whose name is its own.
PARENTS = {
    "watchmedo": ("servers", "{bin}/watchmedo auto-restart --pattern *.py -- {python} billing.py"),
    "watchfiles": ("servers", "{bin}/watchfiles '{python} billing.py' {folder}/prices_package"),
    "honcho": ("servers", "{bin}/honcho -f Procfile start"),
    "supervisor": ("servers", "{bin}/supervisord -n -c supervisord.conf"),
    "uv": ("tools", "{bin}/uv run --no-project --python {python} billing.py"),
    "poetry": ("tools", "{bin}/poetry run -C {folder}/project {python} {folder}/billing.py"),
    "pdm": ("tools", "{bin}/pdm run -p {folder}/project {python} {folder}/billing.py"),
    "poe": ("tools", "{bin}/poe -C {folder}/project serve"),
}

CHILDREN = """
import asyncio, multiprocessing, os, sys, time
from main import serve

def work(*_):
    asyncio.run(serve())

if __name__ == "__main__":
    how = sys.argv[1]
    if how == "loky":
        from joblib import Parallel, delayed
        Parallel(n_jobs=2)(delayed(work)() for _ in range(2))
    elif how == "pool":
        from concurrent.futures import ProcessPoolExecutor
        with ProcessPoolExecutor(2) as pool:
            list(pool.map(work, range(2)))
    else:
        context = multiprocessing.get_context(how)
        all = [context.Process(target=work) for _ in range(2)]
        for one in all:
            one.start()
        for one in all:
            one.join()
"""
FILES = {
    "billing.py": MAIN,
    "main.py": MAIN,
    "children.py": CHILDREN,
    "prices_package/__init__.py": "",
    "prices_package/__main__.py": MAIN,
    "aio.py": "import main\nfrom aiohttp import web\n\nasync def begin(app):\n    main.start()\n\n"
              "def make(argv=None, token=None):\n    app = web.Application()\n"
              "    app.on_startup.append(begin)\n    return app\n",
    "web_flask.py": "from flask import Flask\n\napp = Flask('shop')\n",
    "x.py": "from sanic import Sanic, text\n\napp = Sanic('shop')\n\n@app.get('/')\n"
            "async def home(request):\n    return text('ok')\n",
    "li.py": "from litestar import Litestar, get\n\n@get('/')\nasync def home() -> str:\n"
             "    return 'ok'\n\napp = Litestar([home])\n",
    "prices.py": "import os\nfrom robyn import Robyn\n\napp = Robyn(__file__)\n\n@app.get('/')\n"
                 "async def home(request):\n    return 'ok'\n\n"
                 "app.start(host='127.0.0.1', port=int(os.environ['PORT']))\n",
    "tasks_shop.py": "from celery import Celery\n\napp = Celery('shop', broker='memory://')\n",
    "page.py": "import streamlit\n\nstreamlit.write('ok')\n",
    "manage.py": "import sys\nfrom django.conf import settings\n"
                 "from django.core.management import execute_from_command_line\n\n"
                 "urlpatterns = []\nif __name__ == '__main__':\n"
                 "    settings.configure(DEBUG=True, ROOT_URLCONF='manage', SECRET_KEY='x')\n"
                 "    execute_from_command_line(sys.argv)\n",
    "Procfile": "web: %s billing.py\n" % PYTHON,
    "supervisord.conf": "[supervisord]\nlogfile=/dev/null\nlogfile_maxbytes=0\n"
                        "pidfile=%(here)s/supervisord.pid\n"
                        "[program:web]\ncommand=" + PYTHON + " billing.py\n",
    "project/pyproject.toml": "[project]\nname = 'project'\nversion = '1'\n"
                              "requires-python = '>=3.9'\n[tool.poetry]\npackage-mode = false\n"
                              "[tool.poe.tasks.serve]\ncmd = '%s ../billing.py'\n" % PYTHON,
}


def tree(pid):
    """The pids of a process and all below it."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for task in os.listdir("/proc/%d/task" % one):
                path = pathlib.Path("/proc/%d/task/%s/children" % (one, task))
                found += [int(child) for child in path.read_text().split() if int(child) not in found]
    return found


@contextlib.contextmanager
def started(command, folder, variables=None):
    """A tree of processes that ends with the block."""
    options = {**QUIET, "cwd": folder, "env": {**os.environ, **(variables or {})}}
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        for _ in range(3):
            for pid in reversed(tree(process.pid)):
                with contextlib.suppress(OSError):
                    os.kill(pid, 9)
        process.wait(20)


def make_folder(path):
    """A folder with a program of every kind."""
    path.mkdir(parents=True)
    for name, text in FILES.items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text(text)
    subprocess.run([PYTHON, "-m", "zipapp", "prices_package", "-p", PYTHON, "-o", "prices.pyz"],
                   cwd=path, check=True)
    scripts = path / "venv" / "bin"
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", path / "venv"], check=True)
    for name in ("prices-api", "hass"):  # as pip writes them; Home Assistant itself takes minutes
        (scripts / name).write_text("#!%s/python\nimport runpy, sys\nsys.path.insert(0, %r)\n"
                                    "runpy.run_module('prices_package.__main__', run_name='__main__')\n"
                                    % (scripts, str(path)))
        (scripts / name).chmod(0o755)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("srv") / "shop")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """Sees every program begin."""
    port = free_port()
    command = [LOOPSIGHT, "run", "--web.listen-address", "127.0.0.1:%d" % port]
    with running(command, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL):
        wait_for_port(port, 60)
        assert wait_until(lambda: http_get(port, "/-/ready")[0] == 200, 60)
        yield port


def loops(port, pids):
    return [one for one in json.loads(http_get(port, "/api/v1/loops")[1]) if one["pid"] in pids]


def checked(pids):
    """The names that one gives who comes when all runs already, by pid."""
    got = subprocess.run([LOOPSIGHT, "check", "--format", "json"], stdout=subprocess.PIPE, timeout=60)
    return {one["pid"]: one["workload"] for one in json.loads(got.stdout)["processes"]
            if one["pid"] in pids}


def command_of(shape, folder):
    where, text, *rest = shape
    ports = {"port": free_port(), "port2": free_port()}
    bin = environment(where)
    code = "import asyncio, main; asyncio.run(main.serve())"
    words = []
    for word in text.split(" "):
        if word == "{code}":
            words.append(code)
        else:
            words.append(word.format(bin=bin, folder=folder, python=PYTHON, code=code, **ports))
    while any(word.startswith("'") for word in words):  # one argument with blanks
        first = next(i for i, word in enumerate(words) if word.startswith("'"))
        last = next(i for i in range(first, len(words)) if words[i].endswith("'"))
        words[first:last + 1] = [" ".join(words[first:last + 1])[1:-1]]
    return words, ports, rest


def prepare(name, folder):
    if name == "pex" and not (folder / "prices.pex").exists():
        subprocess.run([environment("servers") / "pex", "-o", "prices.pex", "-P", "prices_package",
                        "-m", "prices_package.__main__"], cwd=folder, check=True, **QUIET)
    if name == "ipykernel":
        ports = {key + "_port": free_port() for key in ("shell", "iopub", "stdin", "control", "hb")}
        (folder / "kernel-1.json").write_text(json.dumps(
            {**ports, "ip": "127.0.0.1", "transport": "tcp", "key": "k",
             "signature_scheme": "hmac-sha256"}))


@pytest.mark.parametrize("name", SHAPES)
def test_every_process_of_a_program_has_its_name(daemon, folder, name):
    prepare(name, folder)
    command, ports, (workload, least) = command_of(SHAPES[name], folder)
    with started(command, folder, {"PORT": str(ports["port"])}) as process:
        def seen():
            if name in ("daphne",):
                with contextlib.suppress(OSError):
                    http_get(ports["port"], timeout=2)
            return len({one["pid"] for one in loops(daemon, tree(process.pid))}) >= least
        assert wait_until(lambda: seen() or process.poll() is not None, 40), command
        assert process.poll() is None, command
        if name == "celery":
            assert wait_until(lambda: len(tree(process.pid)) == 3, 40)
        elif least == 0:
            wait_for_port(ports["port"], 40)
        pids = tree(process.pid)
        found = loops(daemon, pids)
        assert {one["workload"] for one in found} == ({workload} if least else set())
        assert {one["workload_source"] for one in found} <= {"argv"}
        names = checked(pids)
        ours = {pid: one for pid, one in names.items() if one != "debugpy/adapter"}
        assert len(ours) >= max(least, 1) and set(ours.values()) == {workload}, names
        # Workers are told apart by their numbers.
        workers = {(one["pid"], one["worker"]) for one in found}
        assert len({worker for _, worker in workers}) == len({pid for pid, _ in workers})


@pytest.mark.parametrize("name", PARENTS)
def test_a_program_that_another_started_has_its_own_name(daemon, folder, name):
    command, _, _ = command_of(PARENTS[name], folder)
    with started(command, folder) as process:
        assert wait_until(lambda: "billing.py" in
                          {one["workload"] for one in loops(daemon, tree(process.pid))}, 40), command
        pids = tree(process.pid)
        names = checked(pids)
        assert "billing.py" in names.values() and not set(names.values()) & NEVER
        assert len([one for one in names.values() if one == "billing.py"]) <= 2, names


def test_a_script_from_standard_input(daemon, folder):
    with open(folder / "billing.py") as script:
        with running([PYTHON, "-"], stdin=script, cwd=folder, stdout=subprocess.DEVNULL) as process:
            assert wait_until(lambda: loops(daemon, [process.pid]), 30)
            assert {one["workload"] for one in loops(daemon, [process.pid])} == {"billing.py"}
    with running([PYTHON, "-"], stdin=subprocess.PIPE, cwd=folder, stdout=subprocess.DEVNULL) as process:
        process.stdin.write(b"import asyncio, main; asyncio.run(main.serve())\n")
        process.stdin.close()
        assert wait_until(lambda: loops(daemon, [process.pid]), 30)
        assert {one["workload"] for one in loops(daemon, [process.pid])} == {"shop/<stdin>"}
        process.stdin = None


def one_name(daemon, command, cwd):
    with running(command, cwd=cwd, **QUIET) as process:
        assert wait_until(lambda: loops(daemon, [process.pid]), 30), command
        (name,) = {one["workload"] for one in loops(daemon, [process.pid])}
        assert checked([process.pid])[process.pid] == name or "poller" in command[-1]
        return name


@pytest.mark.parametrize("command", (
    ["main.py"], ["poller.py"], ["-m", "app"], ["-c", "import asyncio, main; asyncio.run(main.serve())"]))
def test_two_folders_are_two_workloads_in_a_stable_way(daemon, tmp_path, command):
    names = {}
    for folder in ("orders", "stock"):
        where = tmp_path / folder
        where.mkdir()
        for name in ("main.py", "poller.py", "app.py"):
            (where / name).write_text(MAIN)
    for folder in ("orders", "stock", "stock", "orders", "stock"):
        name = one_name(daemon, [PYTHON, *command], tmp_path / folder)
        assert names.setdefault(folder, name) == name
    assert names["orders"] != names["stock"]
    assert not set(names.values()) & NEVER


def test_a_process_that_execs_itself_is_the_same_workload(daemon, folder):
    (folder / "reloads.py").write_text(
        "import os, sys\nif len(sys.argv) < 4:\n"
        "    os.execv(sys.executable, [sys.executable, *sys.argv, 'again'])\n" + MAIN)
    assert one_name(daemon, [PYTHON, "reloads.py"], folder) == "reloads.py"


def test_a_title_and_a_folder_that_change_later_change_nothing(daemon, folder):
    (folder / "titled").mkdir(exist_ok=True)
    (folder / "titled" / "main.py").write_text(
        "import os, setproctitle\nos.chdir('/')\nsetproctitle.setproctitle('idle: --token=s3cret')\n"
        + MAIN)
    python = str(environment("servers") / "python")
    with running([python, "main.py"], cwd=folder / "titled", **QUIET) as process:
        assert wait_until(lambda: loops(daemon, [process.pid]), 30)
        assert {one["workload"] for one in loops(daemon, [process.pid])} == {"titled/main.py"}
        assert checked([process.pid]) == {process.pid: "idle"}  # who comes later has the title alone


def test_the_configuration_names_workloads(tmp_path, folder):
    config = tmp_path / "loopsight.yml"
    config.write_text(
        "workloads:\n"
        "  - {match: '--port 8001', name: front, threshold: 10s}\n"
        "  - {match: 'spawn$', name: crowd}\n"
        "  - {match: 'billing[.]py', cwd: '/shop$', user: root, exe: python, name: bills}\n")
    port = free_port()
    script = [PYTHON, "-u", "billing.py"]
    with contextlib.ExitStack() as stack:
        programs = {
            "front": stack.enter_context(started([*script, "--port", "8001"], folder)),
            "crowd": stack.enter_context(started([PYTHON, "children.py", "spawn"], folder)),
            "bills": stack.enter_context(started(script, folder)),
            "billing.py": stack.enter_context(started([PYTHON, folder / "billing.py"], tmp_path)),
        }
        command = [LOOPSIGHT, "run", "--config", config, "--web.listen-address", "127.0.0.1:%d" % port]
        daemon = stack.enter_context(running(command, stderr=subprocess.DEVNULL))
        wait_for_port(port, 60)

        def names():
            return {name: {(one["workload"], one["workload_source"])
                           for one in loops(port, tree(process.pid))}
                    for name, process in programs.items()}

        wanted = {name: {(name, "configuration")} for name in programs}
        wanted["billing.py"] = {("billing.py", "argv")}
        assert wait_until(lambda: names() == wanted, 40), names()
        front = loops(port, tree(programs["front"].pid))[0]
        assert front["threshold_seconds"] == 10
        config.write_text("workloads: [{match: '--port 8001', name: gate}]\n")
        daemon.send_signal(1)
        wanted = {name: {(name, "argv")} for name in programs}
        wanted["front"] = {("gate", "configuration")}
        wanted["crowd"] = {("children.py", "argv")}
        wanted["bills"] = {("billing.py", "argv")}
        assert wait_until(lambda: names() == wanted, 40), names()
        assert loops(port, tree(programs["front"].pid))[0]["threshold_seconds"] == 0.05
