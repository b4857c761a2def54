"""tracefs, for as long as a command runs: systemd mounts it, a bare machine has not."""
import contextlib
import pathlib
import subprocess

PLACE = pathlib.Path("/sys/kernel/tracing")


@contextlib.contextmanager
def mounted_tracefs():
    if (PLACE / "events").exists():
        yield
        return
    subprocess.run(["mount", "-t", "tracefs", "tracefs", PLACE], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", PLACE], check=False)
