"""What loopsight made of a program in the virtual machine, set against what the program says.

    compare.py zoo|suspended STALLS TRUTH

Prints one line that begins with the first argument: right causes, right culprits and number of the
zoo's stalls; right ones and number of a suspended machine's. What is wrong is said before."""
import datetime
import sys

sys.path.insert(0, "/zoo")
from outcomes import around, compare, parse_lines  # noqa: E402  (found through the path above)


def zoo(stalls, truths):
    found = compare(truths, stalls)
    for one in found:
        if not one.culprit_is_right or not one.cause_is_right:
            print("zoo wrong:", one.kind, one.cause, one.stall and one.stall["culprit"])
    print("zoo", sum(one.cause_is_right for one in found), sum(one.culprit_is_right for one in found),
          len(found))


CAUSES = {"running": "cpu", "sleeping": "sleep", "afterwards": "sleep", "after_an_edit": "sleep"}


def wrong_with(truth, stalls):
    """Why this part of a suspended program is not told right; nothing where it is. Time for which the
    machine was suspended is nobody's: CLOCK_MONOTONIC stands still."""
    kind, length = truth["kind"], truth["end"] - truth["start"]
    if kind in ("idle", "running", "sleeping") and truth["suspended"] < 2:
        return "the machine was not suspended"
    if kind == "idle":  # to freeze and thaw a program takes a moment, in which its loop is stopped
        during = [one for one in stalls
                  if truth["start"] <= one["monotonic_ns"] / 1e9 < truth["end"]]
        if any(one["duration_seconds"] > length for one in during):
            return "a stall longer than %.3f s" % length
        causes = {one["cause"] for one in during} - {"stopped", "run_queue"}
        return "causes %s" % causes if causes else None
    found = around(stalls, truth["start"], truth["end"])
    if len(found) != 1:
        return "%d stalls" % len(found)
    stall = found[0]
    if abs(stall["duration_seconds"] - length) > 0.05:
        return "%.3f s instead of %.3f" % (stall["duration_seconds"], length)
    began = datetime.datetime.fromisoformat(stall["time"]).timestamp()
    if abs(began + length - truth["end_by_wall_clock"]) > 0.3 and truth["suspended"] < 1:
        return "the time %s" % stall["time"]
    shares = {cause: seconds for cause, seconds in stall["causes"].items() if cause not in (
        "stopped", "run_queue")}
    if max(shares, key=shares.get) != CAUSES[kind]:
        return "causes %s" % stall["causes"]
    if stall["culprit"]["function"] != kind:
        return "culprit %s" % stall["culprit"]
    if (stall["culprit"]["expression"] is None) != (kind == "after_an_edit"):
        return "expression %s" % stall["culprit"]["expression"]
    return None


def suspended(stalls, truths):
    right = 0
    for truth in truths:
        wrong = wrong_with(truth, stalls)
        right += wrong is None
        if wrong:
            print("suspended wrong: %s: %s" % (truth["kind"], wrong))
    print("suspended", right, len(truths))


def main():
    what, lines, truth = sys.argv[1:]
    stalls = [one for one in parse_lines(open(lines).read())
              if one["type"] == "stall" and not one["in_progress"]]
    {"zoo": zoo, "suspended": suspended}[what](stalls, parse_lines(open(truth).read()))


main()
