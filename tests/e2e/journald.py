"""A journal that is a test's own."""
import contextlib
import os
import pathlib
import shutil
import subprocess

import pytest
from conftest import running, wait_until

JOURNALD = "/lib/systemd/systemd-journald"


@contextlib.contextmanager
def journal():
    """A journal of its own, in its own mount namespace; yields what puts a command into that."""
    if not os.access(JOURNALD, os.X_OK) or not shutil.which("journalctl"):
        pytest.skip("systemd's journald is not installed")
    machine = pathlib.Path("/etc/machine-id")
    if not machine.exists() or not machine.read_text().strip():
        pytest.skip("no /etc/machine-id, which journald needs")
    script = "mount -t tmpfs tmpfs /run && mkdir -p /run/log/journal && exec " + JOURNALD
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
    with running(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as journald:
        inside = ["nsenter", "--mount=/proc/%d/ns/mnt" % journald.pid]
        root = pathlib.Path("/proc/%d/root" % journald.pid)
        ready = wait_until(
            lambda: (root / "run/systemd/journal/socket").exists() or journald.poll() is not None,
            30,
        )
        if not ready or journald.poll() is not None:
            pytest.skip("journald does not run here: status %s" % journald.poll())
        yield inside
