"""The queries that several panels are made of. They use no recording rule, so that the dashboards
show something wherever loopsight is scraped."""
from panels import RED, YELLOW, steps

OVERVIEW = "loopsight-overview"
WORKLOAD = "loopsight-workload"
HOST = 'job=~"$job",instance=~"$instance"'
ONE = HOST + ',workload=~"$workload"'
HOSTS_DOING = 'cause=~"run_queue|throttled|stopped|page_fault"'

BUSY = "rate(loopsight_loop_busy_seconds_total{%s}[$__rate_interval])" % ONE
IDLE = "rate(loopsight_loop_idle_seconds_total{%s}[$__rate_interval])" % ONE
STALLS = "rate(loopsight_stalls_total{%s}[$__rate_interval])" % ONE
BUCKETS = "rate(loopsight_loop_iteration_seconds_bucket{%s}[$__rate_interval])" % ONE


def busy(by, extra=""):
    metric = "loopsight_loop_busy_seconds_total{%s%s}" % (ONE, extra and "," + extra)
    return "sum by (%s) (rate(%s[$__rate_interval]))" % (by, metric)


def loop_seconds(by):
    """Seconds watched a second; above zero, so that what has gone has no ratio."""
    return "(sum by (%s) (%s) + sum by (%s) (%s) > 0)" % (by, BUSY, by, IDLE)


def utilisation(by):
    return "%s / %s" % (busy(by), loop_seconds(by))


def share(by, extra):
    return "%s / %s" % (busy(by, extra), loop_seconds(by))


def quantile(q, metric, by="", selector=ONE):
    by = by and by + ", "
    return "histogram_quantile(%s, sum by (%sle) (rate(%s_bucket{%s}[$__rate_interval])))" % (
        q, by, metric, selector)  # fmt: skip


def gained(metric, selector=ONE):
    """What a counter gained over the time shown. Prometheus cannot tell what a series had gained
    before its first sample, and a culprit's series begins with its first stall: that counts."""
    one = "%s{%s}" % (metric, selector)
    return "((%s unless %s offset $__range) or increase(%s[$__range]))" % (one, one, one)


def stalls_per_time(by):
    rate = "sum by (%s) (rate(loopsight_stall_seconds_total{%s}[$__rate_interval]))" % (by, ONE)
    return "%s / %s" % (rate, loop_seconds(by))


def drill_down(label):
    query = "&".join("${%s:queryparam}" % name for name in ("datasource", "job", "instance"))
    url = "/d/%s?${__url_time_range}&%s&var-workload=%s" % (WORKLOAD, query, label)
    return [{"title": "This workload in detail", "url": url, "targetBlank": False}]


FROM_CELL = drill_down("${__data.fields.workload:percentencode}")
FROM_SERIES = drill_down("${__field.labels.workload:percentencode}")
BUSY_STEPS = steps((0.7, YELLOW), (0.9, RED))
STALL_STEPS = steps((0.01, YELLOW), (0.05, RED))
ANY_STEPS = steps((1, RED))
