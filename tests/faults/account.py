"""What the targets wrote down, set against what the daemon wrote down."""
import bisect
import collections
import time

SLACK = 0.002  # seconds between what the program and the kernel call the same moment
THRESHOLD = 0.06  # the highest that a run sets
WAITS = ("sleep", "lock", "pipe")  # causes that only the targets' own stalls have
# Each stands for at least one stall's record that is not in the file.
LOSSES = ("ring_full", "loop_table_full", "process_table_full", "task_storage_full",
          "export_json_lines")


def losses(watch):
    return sum(
        value
        for name, value in watch.counters.items()
        if any('reason="%s"' % reason in name for reason in LOSSES)
    )


class Account:
    def __init__(self, daemon, targets):
        self.failures = []
        lines, self.broken = daemon.read_lines()
        stalls = [one for one in lines if one["type"] == "stall"]
        self.reported = [one for one in stalls if not one["in_progress"]]
        self.printed = self.watched = self.found = self.lost = 0
        self.by_pid = collections.defaultdict(list)
        for stall in self.reported:
            self.by_pid[stall["pid"]].append(stall)
        for found in self.by_pid.values():
            found.sort(key=lambda one: one["monotonic_ns"])
        for stall in self.reported:
            self.check_form(stall)
        self.check_overlaps()
        self.check_lives(targets)
        missing = collections.Counter()
        for target in targets:
            for one in target.stalls():
                self.match(one, target, daemon.watches, missing)
            self.check_invented(target)
        for number, watch in enumerate(daemon.watches):
            counted = losses(watch)
            self.lost += counted
            if missing[number] > counted:
                self.failures.append("daemon %d lost %d stalls and counted %d"
                                     % (number, missing[number], counted))

    def check_form(self, stall):
        if not stall["workload"].startswith("faults_"):
            self.failures.append("a stall of a program that is none of ours: %s" % stall["workload"])
        total = sum(stall["causes"].values())
        if abs(total - stall["duration_seconds"]) > max(0.0001, stall["duration_seconds"] / 100):
            self.failures.append("causes do not add up to the length: %s" % describe(stall))

    def check_overlaps(self):
        for stalls in self.by_pid.values():
            ends = {}
            for stall in stalls:
                start = stall["monotonic_ns"] / 1e9
                if start < ends.get(stall["tid"], 0) - SLACK:
                    self.failures.append("two stalls of a thread overlap: %s" % describe(stall))
                ends[stall["tid"]] = start + stall["duration_seconds"]

    def check_lives(self, targets):
        """No target stalls before it begins or after its end; a pid may have been another's."""
        now = time.monotonic()
        lives = collections.defaultdict(list)
        for target in targets:
            lives[target.pid].append((target.started - SLACK, (target.ended or now) + SLACK))
        first = min((target.started for target in targets), default=now)
        for pid, spans in lives.items():
            for stall in self.by_pid.get(pid, []):
                start = stall["monotonic_ns"] / 1e9
                end = start + stall["duration_seconds"]
                if start < first or stall["workload"] != "faults_target.py":
                    continue
                if not any(begin <= start and end <= over for begin, over in spans):
                    self.failures.append("a stall of no target alive: %s" % describe(stall))

    def around(self, pid, start, end):
        stalls = self.by_pid.get(pid, [])
        last = bisect.bisect_right([s["monotonic_ns"] for s in stalls], (start + SLACK) * 1e9)
        return [
            stall
            for stall in stalls[max(0, last - 2) : last]
            if stall["monotonic_ns"] / 1e9 + stall["duration_seconds"] >= end - SLACK
        ]

    def match(self, one, target, watches, missing):
        self.printed += 1
        found = self.around(target.pid, one["start"], one["end"])
        watch = next((i for i, w in enumerate(watches) if w.covers(one["start"], one["end"])), None)
        if len(found) > 1:
            self.failures.append("a stall is reported %d times: %s" % (len(found), one))
        self.found += bool(found)
        if watch is None:
            return
        self.watched += 1
        if not found:
            missing[watch] += 1

    def check_invented(self, target):
        begun = sorted(one["begin"] for one in target.lines() if "begin" in one)
        for stall in self.by_pid.get(target.pid, []):
            start = stall["monotonic_ns"] / 1e9
            end = start + stall["duration_seconds"]
            if start > (target.ended or start) or end < target.started:
                continue  # of another process that got the pid
            if sum(stall["causes"].get(cause, 0) for cause in WAITS) < THRESHOLD:
                continue  # the machine's doing
            at = bisect.bisect_left(begun, start - SLACK)
            if at == len(begun) or begun[at] > end + SLACK:
                self.failures.append("a stall that nobody made: %s" % describe(stall))


def describe(stall):
    keys = ("pid", "workload", "monotonic_ns", "duration_seconds", "cause", "causes")
    return {key: stall[key] for key in keys}
