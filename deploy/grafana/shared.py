"""The panels that both dashboards have."""
from panels import RED, YELLOW, cause_overrides, heatmap, steps, table, timeseries
from queries import (
    FROM_CELL,
    FROM_SERIES,
    HOSTS_DOING,
    ONE,
    STALLS,
    STALL_STEPS,
    busy,
    gained,
    quantile,
    share,
)

CULPRITS = table(
    "Culprits",
    "Whose code stalled the loops: the innermost function of your own code, by the time that passed "
    "in its stalls within the time shown. Where the cause is the host's (run_queue, throttled, "
    "stopped, page_fault) the function is only where the loop stood.",
    ["topk(25, sum by (workload, cause, culprit) (%s))" % gained("loopsight_stall_seconds_total")],
    [
        ("workload", "Workload", None, None, FROM_CELL),
        ("culprit", "Culprit", None, None, ()),
        ("cause", "Cause", None, None, ()),
        ("Value #A", "Stalled", "s", steps((1, YELLOW), (10, RED)), ()),
    ],
    sort="Stalled",
)

STALLED_NOW = table(
    "Loops stalled now",
    "Loops that have not come back from one callback for longer than the threshold, and how long by "
    "now. Empty is good. Frames and advice: /api/v1/stalls of that host.",
    ["sort_desc(loopsight_loop_stalled_seconds{%s} > 0)" % ONE],
    [
        ("workload", "Workload", None, None, FROM_CELL),
        ("worker", "Worker", None, None, ()),
        ("instance", "Host", None, None, ()),
        ("Value #A", "Stalled for", "s", steps((1, YELLOW), (10, RED)), ()),
    ],
    width=12,
    sort="Stalled for",
)

ITERATIONS = heatmap(
    "Iteration time",
    "How long the loops were busy in one go, and how often: an event that arrives meanwhile waits "
    "that long. A healthy service is dark below 10 ms; a band higher up is one kind of stall.",
    "sum by (le) (increase(loopsight_loop_iteration_seconds_bucket{%s}[$__rate_interval]))" % ONE,
)

BY_CAUSE = timeseries(
    "Busy time by cause",
    "What the loops did while they answered nobody, in seconds a second over all loops chosen. Grey "
    "is the host's doing, red the interpreter's, blue a wait that an await could have been.",
    (busy("cause"), "{{cause}}"),
    unit="s",
    stacked=True,
    overrides=cause_overrides(),
)

STALLS_BY_CAUSE = timeseries(
    "Stalls by cause",
    "Iterations over the threshold, a second, by what most of their time went to.",
    ("sum by (cause) (%s)" % STALLS, "{{cause}}"),
    unit="ops",
    stacked=True,
    overrides=cause_overrides(),
)

LATENESS = timeseries(
    "Timer lateness",
    "How late timers (asyncio.sleep, timeouts, call_later) fired because the loop was busy: the "
    "median and the 99th percentile.",
    (quantile(0.5, "loopsight_timer_lateness_seconds", "workload"), "{{workload}} p50"),
    (quantile(0.99, "loopsight_timer_lateness_seconds", "workload"), "{{workload}} p99"),
    unit="s",
)

DELAYED = timeseries(
    "Delayed events",
    "Sockets and other descriptors that became ready while a stall lasted, and had to wait for its "
    "end, a second.",
    ("sum by (workload) (rate(loopsight_delayed_events_total{%s}[$__rate_interval]))" % ONE,
     "{{workload}}"),  # fmt: skip
    unit="ops",
    width=6,
)

DELAY = timeseries(
    "Time that events waited",
    "The waits of those events added up, in seconds a second: 2 means that at any moment two "
    "requests waited for a stall to end.",
    ("sum by (workload) (rate(loopsight_delayed_event_seconds_total{%s}[$__rate_interval]))" % ONE,
     "{{workload}}"),  # fmt: skip
    unit="s",
    width=6,
)

GIL = timeseries(
    "Waits for the interpreter lock, by holder",
    "How long loops waited for the interpreter lock, in seconds a second, and the function of the "
    "thread that held it.",
    ("topk(15, sum by (workload, holder) (rate(loopsight_gil_wait_seconds_total{%s}[$__rate_interval])))" % ONE,
     "{{workload}} {{holder}}"),  # fmt: skip
    unit="s",
)

GC = timeseries(
    "Garbage collection",
    "Time that the loops' threads spent in pauses of the collector, in seconds a second, by "
    "generation. Only of interpreters that have the collector's probes (Debian's and Fedora's do).",
    ("sum by (workload, generation) (rate(loopsight_gc_pause_seconds_sum{%s}[$__rate_interval]))" % ONE,
     "{{workload}} generation {{generation}}"),  # fmt: skip
    unit="s",
)

EXECUTOR = timeseries(
    "Executor threads",
    "Threads of thread pools (asyncio.to_thread, run_in_executor, getaddrinfo), busy and idle, and "
    "jobs that wait for one. No idle thread and jobs that wait: it looks like slow DNS.",
    ("sum by (workload, state) (loopsight_executor_threads{%s})" % ONE, "{{workload}} {{state}}"),
    ("sum by (workload) (loopsight_executor_queued{%s})" % ONE, "{{workload}} queued"),
)

HOSTS_SHARE = timeseries(
    "The host's share",
    "The share of the loops' time in which the host kept them from running: no CPU (run_queue), "
    "quota used up (throttled), stopped, memory on disk (page_fault). No change of code helps.",
    (share("workload", HOSTS_DOING), "{{workload}}"),
    unit="percentunit",
    thresholds=STALL_STEPS,
    links=FROM_SERIES,
)
