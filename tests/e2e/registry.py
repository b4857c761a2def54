"""Virtual environments with packages from a package registry, made once and kept in the build folder.

What cannot be had there skips the test with the reason.
"""
import fcntl
import hashlib
import pathlib
import shutil
import subprocess

import pytest
from conftest import ROOT

VENVS = ROOT / "build" / "venvs"
# The releases of one day, so that a test of today is the same test tomorrow.
PINNED = {
    name: version
    for name, version in (
        line.split("==")
        for line in """
aiohttp==3.14.5
aiosqlite==0.22.1
fastapi==0.165.0
gevent==26.9.0
greenlet==3.5.6
gunicorn==27.0.1
hypercorn==0.18.0
polars==2.1.0
pycurl==7.49.0
pyinstaller==6.22.3
pyzmq==27.3.0
sqlalchemy==2.1.9
tornado==6.6.1
trio==0.35.0
twisted==26.10.0
uvicorn==0.54.0
uvloop==0.23.0
""".split()
    )
}


def interpreter(version):
    """An interpreter of a minor version that can make virtual environments."""
    found = sorted(pathlib.Path.home().glob(f".pyenv/versions/{version}.*/bin/python3"))
    for python in [*found, shutil.which(f"python{version}")]:
        if python and subprocess.run([python, "-c", "import venv, ensurepip, ssl"],
                                     capture_output=True).returncode == 0:
            return str(python)
    pytest.skip(f"there is no Python {version} that can make a virtual environment")


def venv(version, *packages):
    """The folder of an environment that has these packages."""
    python = interpreter(version)
    wanted = [f"{name}=={PINNED[name]}" for name in sorted(packages)]
    digest = hashlib.sha256(" ".join([python, *wanted]).encode()).hexdigest()[:12]
    folder = VENVS / f"{version}-{digest}"
    VENVS.mkdir(parents=True, exist_ok=True)
    with open(VENVS / f"{folder.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([python, "-m", "venv", folder], check=True, capture_output=True)
            if wanted:
                made = subprocess.run(
                    [folder / "bin" / "pip", "install", "-q", "--disable-pip-version-check",
                     *wanted],
                    capture_output=True, text=True, timeout=900)
                if made.returncode != 0:
                    shutil.rmtree(folder, ignore_errors=True)
                    reason = (made.stderr.strip().splitlines() or ["no reason given"])[-1]
                    pytest.skip(f"{' '.join(wanted)} cannot be installed: {reason[:200]}")
            (folder / "ready").touch()
    return folder


def site_packages(folder):
    (found,) = (folder / "lib").glob("python3.*/site-packages")
    return found
