"""Profiles of a recording and what the daemon exports, opened by what reads such files."""
import ast
import collections
import gzip
import json
import re
import shutil
import subprocess

import pytest
from conftest import (
    LOOPSIGHT,
    PYTHON,
    ROOT,
    free_port,
    http_get_bytes,
    running,
    wait_for_port,
    wait_until,
)
from journald import journal

RECORDING = ROOT / "tests" / "replay" / "zoo-asyncio.lsrec"

# Of github.com/google/pprof/proto/profile.proto, what a reader needs.
PROFILE_PROTO = """
syntax = "proto3";
message Profile {
  repeated ValueType sample_type = 1; repeated Sample sample = 2; repeated Location location = 4;
  repeated Function function = 5; repeated string string_table = 6; int64 time_nanos = 9;
  int64 duration_nanos = 10; ValueType period_type = 11; int64 period = 12;
  int64 default_sample_type = 14;
}
message ValueType { int64 type = 1; int64 unit = 2; }
message Sample { repeated uint64 location_id = 1; repeated int64 value = 2;
                 repeated Label label = 3; }
message Label { int64 key = 1; int64 str = 2; }
message Location { uint64 id = 1; repeated Line line = 4; }
message Line { uint64 function_id = 1; int64 line = 2; }
message Function { uint64 id = 1; int64 name = 2; int64 system_name = 3; int64 filename = 4; }
"""


def replay(tmp_path, form):
    path = tmp_path / form
    subprocess.run(
        [LOOPSIGHT, "replay", "--format", form, "--output", path, RECORDING], check=True, timeout=60
    )
    return path.read_bytes()


@pytest.fixture
def stalls(tmp_path):
    lines = [json.loads(line) for line in replay(tmp_path, "json").splitlines()]
    return [line for line in lines if line["type"] == "stall" and not line["in_progress"]]


def seconds_by_cause(stalls):
    sums = collections.Counter()
    for stall in stalls:
        sums.update(stall["causes"])
    return sums


def assert_same_seconds(seconds, stalls):
    expected = seconds_by_cause(stalls)
    assert set(seconds) == set(expected)
    for cause, value in expected.items():
        assert seconds[cause] == pytest.approx(value, abs=2e-4), cause


def test_folded_lines_add_up_to_the_stalled_time(tmp_path, stalls):
    sums = collections.Counter()
    for line in replay(tmp_path, "folded").decode().splitlines():
        # What flamegraph.pl and inferno read: frames, the last blank, a number.
        stack, number = re.fullmatch(r"(\S.*) (\d+)", line).groups()
        frames = stack.split(";")
        assert all(frames) and frames[0] == "stall_zoo.py"
        sums[frames[-1].strip("[]")] += int(number) / 1e6
    assert_same_seconds(sums, stalls)


def test_speedscope_file_keeps_its_schema(tmp_path, stalls):
    file = json.loads(replay(tmp_path, "speedscope"))
    assert file["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    frames = file["shared"]["frames"]
    for frame in frames:
        assert set(frame) <= {"name", "file", "line", "col"} and frame["name"]
    sums = collections.Counter()
    for profile in file["profiles"]:
        assert (profile["type"], profile["unit"]) == ("sampled", "nanoseconds")
        assert len(profile["samples"]) == len(profile["weights"])
        assert profile["endValue"] - profile["startValue"] == sum(profile["weights"])
        for stack, weight in zip(profile["samples"], profile["weights"]):
            assert all(0 <= index < len(frames) for index in stack)
            sums[frames[stack[-1]]["name"].strip("[]")] += weight / 1e9
    assert_same_seconds(sums, stalls)


def decode_pprof(tmp_path, packed):
    """The samples of a profile, by protoc: [(stalls, seconds, labels, functions)], and its text."""
    if not shutil.which("protoc"):
        pytest.skip("protobuf-compiler is not installed")
    (tmp_path / "profile.proto").write_text(PROFILE_PROTO)
    text = subprocess.run(
        ["protoc", "-I", tmp_path, "--decode=Profile", tmp_path / "profile.proto"],
        input=gzip.decompress(packed), stdout=subprocess.PIPE, check=True, timeout=60,
    ).stdout.decode()
    strings = [
        ast.literal_eval('b"%s"' % one).decode()
        for one in re.findall(r'^string_table: "(.*)"$', text, re.M)
    ]
    blocks = collections.defaultdict(list)
    for kind, block in re.findall(r"^(\w+) \{\n(.*?)^\}", text, re.M | re.S):
        blocks[kind].append(block)

    def number(block, key):
        found = re.search(r"\b%s: (\d+)" % key, block)
        return int(found[1]) if found else 0

    types = [(strings[number(b, "type")], strings[number(b, "unit")]) for b in blocks["sample_type"]]
    assert types == [("stalls", "count"), ("stall", "nanoseconds")]
    functions = {number(b, "id"): strings[number(b, "name")] for b in blocks["function"]}
    locations = {number(b, "id"): functions[number(b, "function_id")] for b in blocks["location"]}
    samples = []
    for block in blocks["sample"]:
        labels = {
            strings[int(key)]: strings[int(value)]
            for key, value in re.findall(r"key: (\d+)\s+str: (\d+)", block)
        }
        count, ns = (int(value) for value in re.findall(r"value: (\d+)", block))
        stack = [locations[int(one)] for one in re.findall(r"location_id: (\d+)", block)]
        samples.append((count, ns / 1e9, labels, stack))
    return samples, text


def test_pprof_profile_is_read_by_protoc(tmp_path, stalls):
    samples, _ = decode_pprof(tmp_path, replay(tmp_path, "pprof"))
    assert sum(count for count, _, _, _ in samples) == len(stalls)
    sums = collections.Counter()
    for _, seconds, labels, stack in samples:
        assert stack and labels["workload"] == "stall_zoo.py" and labels["worker"] == "0"
        sums[labels["cause"]] += seconds
    assert_same_seconds(sums, stalls)
    asleep = [one for one in samples if one[2].get("culprit") == "kinds:time_sleep"]
    assert any(one[3][0] == "kinds:time_sleep" and one[2]["cause"] == "sleep" for one in asleep)


MESSAGE_ID = "f1c5ad6d3b8b4ae6a9b0c9d7e2f84c31"
SLEEPER = """
import asyncio, time

def blocking():
    time.sleep(0.2)

async def main():
    while True:
        blocking()
        await asyncio.sleep(0.05)

asyncio.run(main())
"""


def journal_entries(inside):
    listing = subprocess.run(
        [*inside, "journalctl", "-D", "/run/log/journal", "-o", "json", "MESSAGE_ID=" + MESSAGE_ID],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60,
    )
    return [json.loads(line) for line in listing.stdout.splitlines()]


def test_daemon_exports_to_the_journal_a_file_and_pprof(tmp_path):
    program = tmp_path / "sleeper.py"
    program.write_text(SLEEPER)
    path = tmp_path / "stalls.jsonl"
    port = free_port()

    def lines():
        if not path.exists():
            return []
        whole = path.read_text().split("\n")[:-1]
        ours = [json.loads(line) for line in whole]
        return [one for one in ours if one["workload"] == "sleeper.py" and not one["in_progress"]]

    with journal() as inside, running([PYTHON, str(program)]) as target:
        command = [
            *inside, LOOPSIGHT, "run", "--web.listen-address", "127.0.0.1:%d" % port,
            "--export.journal", "--export.json-lines", str(path),
        ]
        with running(command, stderr=subprocess.DEVNULL):
            wait_for_port(port, 60)
            assert wait_until(lambda: len(lines()) >= 3, 60)
            stall = lines()[1]
            start = str(stall["monotonic_ns"] // 1000)

            def entry():
                found = journal_entries(inside)
                return [one for one in found if one["LOOPSIGHT_START_MONOTONIC_USEC"] == start]

            assert wait_until(lambda: entry(), 60)
            fields = entry()[0]
            status, body = http_get_bytes(port, "/debug/pprof/loopstall")
            moved = tmp_path / "moved"
            path.rename(moved)  # as logrotate does
            assert wait_until(lambda: len(lines()) >= 1, 60)
    assert fields["LOOPSIGHT_PID"] == str(target.pid)
    assert fields["LOOPSIGHT_CAUSE"] == stall["cause"]
    assert fields["LOOPSIGHT_WORKLOAD"] == "sleeper.py"
    assert fields["LOOPSIGHT_CULPRIT"].endswith(":blocking")
    assert abs(int(fields["LOOPSIGHT_DURATION_USEC"]) - stall["duration_seconds"] * 1e6) < 2
    assert fields["PRIORITY"] == "4"
    assert status == 200
    samples, _ = decode_pprof(tmp_path, body)
    ours = [one for one in samples if one[2]["workload"] == "sleeper.py"]
    assert sum(count for count, _, _, _ in ours) >= 3
    assert sum(seconds for _, seconds, labels, _ in ours if labels["cause"] == "sleep") > 0.5
