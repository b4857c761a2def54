"""The bench in miniature: every part leaves its tables, rows and plots. No figure is looked at."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

RUN = pathlib.Path(__file__).resolve().parent / "run"
ROWS = {  # of each table: what its rows begin with, or how many there are
    "servers_uvloop": {"bare", "bare again", "loopsight", "loopsight --audit", "bpftrace script",
                       "asyncio debug mode", "watchdog thread", "py-spy", "austin"},
    "programs": {"sched_switch"},  # the rest depends on the kernel
    "unrelated": 5,
    "pollers": 4,
    "growth_loops": 2,
    "growth_iterations": 1,
    "growth_stalls": 1,
    "growth_sleepers": 1,
    "latency": 4,
    "stopping_interpreters": 1,
    "stopping_loops": 1,
    "frames": 2,
    "scrape": 2,
}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to load BPF programs")
def test_every_part_leaves_its_rows(tmp_path):
    command = [RUN, "--quick", "--output", tmp_path]
    got = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=840
    )
    assert got.returncode == 0, got.stdout
    results = json.loads((tmp_path / "results.json").read_text())
    tables = {table["key"]: table for table in results["tables"]}
    assert set(tables) == set(ROWS), got.stdout
    whole, pasted = ((tmp_path / name).read_text() for name in ("results.md", "README.md"))
    for key, expected in ROWS.items():
        rows = tables[key]["rows"]
        if isinstance(expected, int):
            assert len(rows) == expected, key
        else:
            assert expected <= {next(iter(row.values())) for row in rows}, key
        assert tables[key]["title"] in whole and tables[key]["title"] in pasted
        if shutil.which("gnuplot"):
            assert (tmp_path / (key + ".svg")).read_text().startswith("<?xml"), key
    assert {"processor", "cores", "kernel", "Python", "commit"} <= set(results["machine"])
