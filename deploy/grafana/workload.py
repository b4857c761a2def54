"""The dashboard of one workload."""
from panels import RED, YELLOW, cause_overrides, row, stat, steps, table, timeseries
from queries import (
    BUSY,
    BUSY_STEPS,
    IDLE,
    ONE,
    STALLS,
    STALL_STEPS,
    busy,
    quantile,
    share,
    stalls_per_time,
    utilisation,
)
from shared import (
    BY_CAUSE,
    CULPRITS,
    DELAY,
    DELAYED,
    EXECUTOR,
    GC,
    GIL,
    HOSTS_SHARE,
    ITERATIONS,
    LATENESS,
    STALLS_BY_CAUSE,
)

PANELS = [
    row("Is it in trouble?"),
    stat(
        "Stalled now",
        "The longest that one of its loops has been inside one callback, 0 where none is over the "
        "threshold.",
        "max(loopsight_loop_stalled_seconds{%s})" % ONE,
        unit="s",
        thresholds=steps((0.05, YELLOW), (10, RED)),
    ),
    stat(
        "Busiest worker",
        "The share of time for which its busiest worker does not wait for work.",
        "max(%s)" % utilisation("instance, workload, worker"),
        unit="percentunit",
        thresholds=BUSY_STEPS,
    ),
    stat(
        "Time in stalls",
        "The share of its loops' time over the threshold.",
        "max(%s) or vector(0)" % stalls_per_time("workload"),
        unit="percentunit",
        thresholds=STALL_STEPS,
    ),
    stat(
        "p99 of an iteration",
        "What one event in a hundred waits behind.",
        quantile(0.99, "loopsight_loop_iteration_seconds"),
        unit="s",
        thresholds=steps((0.05, YELLOW), (0.25, RED)),
    ),
    stat("Stalls", "Stalls a second.", "sum(%s)" % STALLS, unit="ops"),
    stat("Loops", "Its event loops that are alive.", "sum(loopsight_loops{%s})" % ONE),
    row("Which worker, and when?"),
    ITERATIONS,
    timeseries(
        "Busy, by worker",
        "The share of time that each worker does not wait for work. Workers far apart: the load is "
        "not spread.",
        ("topk(20, %s)" % utilisation("instance, workload, worker"),
         "{{instance}} {{workload}}[{{worker}}]"),  # fmt: skip
        unit="percentunit",
        thresholds=BUSY_STEPS,
        height=9,
    ),
    timeseries(
        "Length of an iteration",
        "The median, 90th and 99th percentile of the busy phases.",
        (quantile(0.5, "loopsight_loop_iteration_seconds"), "p50"),
        (quantile(0.9, "loopsight_loop_iteration_seconds"), "p90"),
        (quantile(0.99, "loopsight_loop_iteration_seconds"), "p99"),
        unit="s",
    ),
    timeseries(
        "Age of running stalls",
        "How long each worker's present callback has been running while it is over the threshold. A "
        "line that climbs is a loop that does not come back.",
        ("topk(20, loopsight_loop_stalled_seconds{%s})" % ONE,
         "{{instance}} {{workload}}[{{worker}}]"),  # fmt: skip
        unit="s",
        thresholds=steps((10, RED)),
    ),
    row("What blocks it?"),
    BY_CAUSE,
    STALLS_BY_CAUSE,
    timeseries(
        "Shares of the loops' time",
        "Where all of the loops' time goes, idle time included: each cause's share.",
        ("%s / on () group_left () (sum(%s) + sum(%s) > 0)" % (busy("cause"), BUSY, IDLE),
         "{{cause}}"),  # fmt: skip
        unit="percentunit",
        stacked=True,
        maximum=1,
        overrides=cause_overrides(),
    ),
    timeseries(
        "Polls",
        "Calls of the poll function a second: those that found the loop with more to do at once "
        "(no wait) and those that could wait. Nearly none that waits: the loop is saturated.",
        ("sum by (wait) (rate(loopsight_loop_polls_total{%s}[$__rate_interval]))" % ONE,
         "wait: {{wait}}"),  # fmt: skip
        unit="ops",
    ),
    row("Whose code?"),
    CULPRITS,
    GIL,
    GC,
    EXECUTOR,
    HOSTS_SHARE,
    row("What does it cost?"),
    DELAYED,
    DELAY,
    LATENESS,
    row("Is the fix working?"),
    timeseries(
        "Time in stalls, by culprit",
        "In seconds a second: the line of what was fixed must end, and no new one begin.",
        ("topk(15, sum by (culprit, cause) (rate(loopsight_stall_seconds_total{%s}[$__rate_interval])))" % ONE,
         "{{culprit}} ({{cause}})"),  # fmt: skip
        unit="s",
    ),
    table(
        "Interpreters",
        "The loops and the versions of Python that they run on.",
        ["sum by (instance, workload, loop, python) (loopsight_loops{%s})" % ONE],
        [
            ("workload", "Workload", None, None, ()),
            ("instance", "Host", None, None, ()),
            ("loop", "Loop", None, None, ()),
            ("python", "Python", None, None, ()),
            ("Value #A", "Loops", "short", None, ()),
        ],
        width=12,
        height=8,
    ),
]
