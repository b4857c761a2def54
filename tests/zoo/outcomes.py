"""What loopsight made of a run of the zoo, set against what the zoo says it did."""
import dataclasses
import json

SLACK = 0.002  # seconds between what the program and the kernel call the same moment


@dataclasses.dataclass
class Outcome:
    kind: str
    causes: list  # those that are right, the expected one first
    stalls: list  # that contain the blocking call; one where all is well
    true_seconds: float
    exact: bool  # true_seconds is the whole busy phase, not the blocking call alone

    @property
    def stall(self):
        return self.stalls[0] if len(self.stalls) == 1 else None

    @property
    def cause(self):
        return self.stall["cause"] if self.stall else "missed"

    @property
    def cause_is_right(self):
        """Where the host was too busy to run the program, and the report says so, what the program
        did is the largest of the rest."""
        if not self.stall or self.cause in self.causes:
            return self.cause in self.causes
        if self.cause not in ("run_queue", "throttled"):
            return False
        rest = {k: v for k, v in self.stall["causes"].items() if k not in ("run_queue", "throttled")}
        return max(rest, key=rest.get, default=None) in self.causes

    @property
    def culprit_is_right(self):
        """The kind's own function, nothing of the library that it called; of an import the module
        that runs."""
        culprit = self.stall and self.stall["culprit"]
        if not culprit:
            return False
        if self.kind == "slow_import":
            return culprit["function"] == "<module>" and "zoo_slow_module" in culprit["file"]
        return culprit["function"] == self.kind and culprit["file"].endswith("/kinds.py")


def parse_lines(text):
    """The JSON objects of a text that may hold other lines too."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def around(stalls, start, end):
    """The stalls that contain this span of CLOCK_MONOTONIC seconds."""
    return [
        stall
        for stall in stalls
        if stall["monotonic_ns"] / 1e9 <= start + SLACK
        and stall["monotonic_ns"] / 1e9 + stall["duration_seconds"] >= end - SLACK
    ]


def compare(truth, stalls):
    """`truth`: the zoo's lines; `stalls`: loopsight's, those in progress left out."""
    found = []
    for one in truth:
        if "skipped" in one:
            continue
        exact = one["busy_end"] is not None
        begin, end = ("busy_start", "busy_end") if exact else ("start", "end")
        found.append(
            Outcome(
                kind=one["kind"],
                causes=one["causes"],
                stalls=around(stalls, one["start"], one["end"]),
                true_seconds=one[end] - one[begin],
                exact=exact,
            )
        )
    return found
