"""The dashboard of all hosts, in the order in which its questions come up."""
from panels import RED, YELLOW, row, stat, steps, table, timeseries
from queries import (
    ANY_STEPS,
    BUSY_STEPS,
    FROM_CELL,
    FROM_SERIES,
    HOST,
    ONE,
    STALLS,
    STALL_STEPS,
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
    GIL,
    HOSTS_SHARE,
    ITERATIONS,
    LATENESS,
    STALLED_NOW,
    STALLS_BY_CAUSE,
)

PANELS = [
    row("Is any loop on any host in trouble?"),
    stat(
        "Alerts firing",
        "Alerts of deploy/prometheus that fire now. Each has a runbook.",
        'count(ALERTS{alertname=~"Loopsight.+",alertstate="firing"}) or vector(0)',
        thresholds=ANY_STEPS,
    ),
    stat(
        "Loops stalled now",
        "Loops that are inside one callback for longer than the threshold at this moment.",
        "count(loopsight_loop_stalled_seconds{%s} > 0) or vector(0)" % ONE,
        thresholds=ANY_STEPS,
    ),
    stat(
        "Busiest loop",
        "The share of time for which the busiest worker does not wait for work. At 100 % everything "
        "queues.",
        "max(%s)" % utilisation("instance, workload, worker"),
        unit="percentunit",
        thresholds=BUSY_STEPS,
    ),
    stat(
        "Most stalled workload",
        "The largest share of time that any workload spends in iterations over the threshold.",
        "max(%s) or vector(0)" % stalls_per_time("instance, workload"),
        unit="percentunit",
        thresholds=STALL_STEPS,
    ),
    stat(
        "Loops watched",
        "Event loops that are alive.",
        "sum(loopsight_loops{%s})" % ONE,
    ),
    stat(
        "Hosts that do not answer",
        "Targets of this job that Prometheus cannot scrape: their loops are watched by nobody.",
        "count(up{%s} == 0) or vector(0)" % HOST,
        thresholds=ANY_STEPS,
    ),
    row("Which workload?"),
    table(
        "Workloads",
        "One line for each workload and host. Busy: of its busiest worker. p99: what one event in a "
        "hundred waits behind. In stalls: the share of time over the threshold. A click on the name "
        "leads to its own dashboard.",
        [
            "max by (instance, workload) (%s)" % utilisation("instance, workload, worker"),
            quantile(0.99, "loopsight_loop_iteration_seconds", "instance, workload"),
            stalls_per_time("instance, workload"),
            "sum by (instance, workload) (%s)" % STALLS,
            "sum by (instance, workload) (loopsight_loops{%s})" % ONE,
        ],
        [
            ("workload", "Workload", None, None, FROM_CELL),
            ("instance", "Host", None, None, ()),
            ("Value #A", "Busy", "percentunit", BUSY_STEPS, ()),
            ("Value #B", "p99", "s", steps((0.05, YELLOW), (0.25, RED)), ()),
            ("Value #C", "In stalls", "percentunit", STALL_STEPS, ()),
            ("Value #D", "Stalls", "ops", None, ()),
            ("Value #E", "Loops", "short", None, ()),
        ],
        width=12,
        sort="In stalls",
    ),
    STALLED_NOW,
    timeseries(
        "Busy, by workload",
        "The share of time that the loops of a workload do not wait for work.",
        ("topk(15, %s)" % utilisation("workload"), "{{workload}}"),
        unit="percentunit",
        thresholds=BUSY_STEPS,
        height=9,
        links=FROM_SERIES,
    ),
    ITERATIONS,
    row("What blocks it?"),
    BY_CAUSE,
    STALLS_BY_CAUSE,
    row("Whose code?"),
    CULPRITS,
    row("What does it cost?"),
    DELAYED,
    DELAY,
    LATENESS,
    GIL,
    HOSTS_SHARE,
    row("Is the fix working?"),
    timeseries(
        "Time in stalls, by workload",
        "The share of the loops' time that passed in iterations over the threshold. A fix shows as "
        "a step down.",
        ("topk(15, %s)" % stalls_per_time("workload"), "{{workload}}"),
        unit="percentunit",
        thresholds=STALL_STEPS,
        links=FROM_SERIES,
    ),
    timeseries(
        "Time in stalls, by culprit",
        "The same by function, in seconds a second: the line of what was fixed must end, and no new "
        "one begin.",
        ("topk(15, sum by (culprit) (rate(loopsight_stall_seconds_total{%s}[$__rate_interval])))" % ONE,
         "{{culprit}}"),  # fmt: skip
        unit="s",
    ),
    row("What loopsight itself costs"),
    timeseries(
        "CPU",
        "CPU time of the daemon and of its programs in the kernel, in seconds a second (cores).",
        ("sum by (instance) (rate(process_cpu_seconds_total{%s}[$__rate_interval]))" % HOST,
         "{{instance}} daemon"),
        ("sum by (instance) (rate(loopsight_bpf_run_seconds_total{%s}[$__rate_interval]))" % HOST,
         "{{instance}} kernel"),  # fmt: skip
        unit="s",
        width=6,
    ),
    timeseries(
        "Memory",
        "Resident memory of the daemon.",
        ("sum by (instance) (process_resident_memory_bytes{%s})" % HOST, "{{instance}}"),
        unit="bytes",
        width=6,
    ),
    timeseries(
        "Cost of a run",
        "Time that one run of each program in the kernel takes.",
        ("sum by (program) (rate(loopsight_bpf_run_seconds_total{%s}[$__rate_interval]))"
         " / (sum by (program) (rate(loopsight_bpf_runs_total{%s}[$__rate_interval])) > 0)" % (HOST, HOST),
         "{{program}}"),  # fmt: skip
        unit="s",
        width=6,
    ),
    timeseries(
        "Lost and left out",
        "Kernel records that were lost, and what was left out on purpose (labels over the limits, "
        "threads that poll and are no loop), a second.",
        ("sum by (reason) (rate(loopsight_events_lost_total{%s}[$__rate_interval]))" % HOST,
         "lost: {{reason}}"),
        ("sum by (reason) (rate(loopsight_discarded_total{%s}[$__rate_interval]))" % HOST,
         "left out: {{reason}}"),  # fmt: skip
        unit="ops",
        width=6,
    ),
    stat(
        "Probes not attached",
        "Probes that the kernels of these hosts do not take. `loopsight check` says why, and what "
        "is missed without.",
        "count(loopsight_probe_attached{%s} == 0) or vector(0)" % HOST,
        thresholds=steps((1, YELLOW)),
        width=6,
    ),
    stat(
        "Scrape",
        "Time that the slowest daemon takes to gather its metrics.",
        "max(loopsight_scrape_duration_seconds{%s})" % HOST,
        unit="s",
        thresholds=steps((1, YELLOW), (5, RED)),
        width=6,
    ),
    table(
        "Versions",
        "What runs where.",
        ["loopsight_build_info{%s}" % HOST],
        [
            ("instance", "Host", None, None, ()),
            ("version", "loopsight", None, None, ()),
            ("kernel", "Kernel", None, None, ()),
        ],
        width=12,
        height=4,
    ),
]
