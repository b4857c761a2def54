"""The servers, queues and launchers that the tests start: current releases from PyPI, each at a
pinned version, in virtual environments of their own inside the build folder."""
import functools
import hashlib
import shutil
import subprocess

import pytest
from conftest import PYTHON, ROOT

PACKAGES = {
    "servers": """
        aiohttp==3.14.5 celery==5.7.0 coverage==7.17.5 daphne==4.2.3 ddtrace==4.16.0
        debugpy==1.8.22 Django==5.2.19 Flask==3.1.3 granian==2.8.9 gunicorn==27.0.1
        honcho==2.0.0 Hypercorn==0.18.0 joblib==1.6.0 litestar==2.25.0 newrelic==14.1.0
        opentelemetry-distro==0.66b2 pex==2.105.2 robyn==0.88.0 sanic==25.12.1
        setproctitle==1.3.8 supervisor==4.3.0 uvicorn[standard]==0.54.0 uvicorn-worker==0.4.0
        watchdog==6.0.0 watchfiles==1.3.0
    """,
    "tools": """
        distributed==2026.8.0 ipykernel==7.4.0 jupyter_client==8.10.0 pdm==2.29.4
        poethepoet==0.49.0 poetry==2.5.1 streamlit==1.67.0 uv==0.13.9
    """,
}
MINUTES = 10


@functools.cache
def made(name):
    """The folder of an environment, and why there is none."""
    packages = PACKAGES[name].split()
    digest = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:12]
    folder = ROOT / "build" / "environments" / ("%s-%s" % (name, digest))
    if (folder / "complete").exists():
        return folder, None
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    for command in ([PYTHON, "-m", "venv", folder],
                    [folder / "bin" / "pip", "install", "-q", "--disable-pip-version-check",
                     "--only-binary", ":all:", *packages]):
        try:
            got = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True, timeout=MINUTES * 60)
        except subprocess.TimeoutExpired:
            return None, "not installed within %d minutes" % MINUTES
        if got.returncode != 0:
            return None, got.stdout.strip()[-300:]
    (folder / "complete").touch()
    return folder, None


def environment(name):
    """The bin folder of a virtual environment; skips the test where it cannot be had."""
    folder, why_not = made(name)
    if not folder:
        pytest.skip("no %s from PyPI: %s" % (name, why_not))
    return folder / "bin"
