"""The dashboards as far as they can be judged without Grafana: the files are what the script
writes, no panel lies on another, every query is PromQL on metrics that exist, and every link and
variable leads somewhere. tests/e2e/test_grafana.py runs the queries."""
import itertools
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from dashboards import DASHBOARDS, GRAFANA, load, panels, substituted

METRICS = {
    "ALERTS",
    "up",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "loopsight_bpf_run_seconds_total",
    "loopsight_bpf_runs_total",
    "loopsight_build_info",
    "loopsight_delayed_event_seconds_total",
    "loopsight_delayed_events_total",
    "loopsight_discarded_total",
    "loopsight_events_lost_total",
    "loopsight_executor_queued",
    "loopsight_executor_threads",
    "loopsight_gc_pause_seconds_sum",
    "loopsight_gil_wait_seconds_total",
    "loopsight_loop_busy_seconds_total",
    "loopsight_loop_idle_seconds_total",
    "loopsight_loop_iteration_seconds_bucket",
    "loopsight_loop_polls_total",
    "loopsight_loop_stalled_seconds",
    "loopsight_loops",
    "loopsight_probe_attached",
    "loopsight_scrape_duration_seconds",
    "loopsight_stall_seconds_total",
    "loopsight_stalls_total",
    "loopsight_timer_lateness_seconds_bucket",
}
VALUES = {
    "job": "loopsight",
    "instance": ".+",
    "workload": ".+",
    "__rate_interval": "1m",
    "__range": "1h",
}
UNITS = {"short", "s", "ops", "percentunit", "bytes"}

each = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)


def test_the_files_are_what_the_script_writes():
    script = [sys.executable, GRAFANA / "make_dashboards", "--check"]
    got = subprocess.run(script, stderr=subprocess.PIPE, text=True)
    assert got.returncode == 0, got.stderr
    assert [path.stem for path in DASHBOARDS] == ["loopsight-overview", "loopsight-workload"]


@each
def test_identity(path):
    dashboard = load(path)
    assert dashboard["uid"] == path.stem
    assert 36 <= dashboard["schemaVersion"] <= 41  # Grafana 10.0 to 12
    assert "id" not in dashboard and "__inputs" not in dashboard  # not of an export by hand
    assert dashboard["title"] and dashboard["description"] and dashboard["tags"] == ["loopsight"]


@each
def test_every_panel_explains_itself(path):
    everything = load(path)["panels"]
    ids = [panel["id"] for panel in everything]
    assert len(set(ids)) == len(ids) and min(ids) > 0
    assert everything[0]["type"] == "row"
    for panel in panels(load(path)):
        assert panel["title"] and len(panel["description"]) > 10, panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["targets"], panel["title"]
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]
            assert target["instant"] != target["range"]
        defaults = panel["fieldConfig"]["defaults"]
        values = [threshold["value"] for threshold in defaults["thresholds"]["steps"]] if (
            "thresholds" in defaults) else [None]  # fmt: skip
        assert values[0] is None and values[1:] == sorted(values[1:])
        units = {defaults.get("unit", "short")}
        for override in panel["fieldConfig"]["overrides"]:
            units |= {one["value"] for one in override["properties"] if one["id"] == "unit"}
        assert units <= UNITS, panel["title"]


@each
def test_no_two_panels_overlap(path):
    places = [panel["gridPos"] for panel in load(path)["panels"]]
    for place in places:
        assert 0 <= place["x"] and place["x"] + place["w"] <= 24 and place["h"] > 0
    for one, other in itertools.combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


@each
def test_links_and_variables_lead_somewhere(path):
    dashboard = load(path)
    text = path.read_text()
    uids = {other.stem for other in DASHBOARDS}
    linked = set(re.findall(r"/d/([\w-]+)", text))
    assert linked and linked <= uids
    assert linked - {path.stem}  # it leads to the other one
    names = [variable["name"] for variable in dashboard["templating"]["list"]]
    assert names == ["datasource", "job", "instance", "workload"]
    known = set(names) | {"__rate_interval", "__range", "__all", "__url_time_range"}
    for variable in re.findall(r"\$\{?(\w+)", text):
        assert variable in known or variable in ("__data", "__field"), variable
    for variable in dashboard["templating"]["list"][1:]:
        assert variable["query"]["query"].startswith("label_values(")
        assert variable["allValue"] == ".+" and variable["multi"] and variable["includeAll"]


@each
def test_every_query_is_promql_on_metrics_that_exist(path, tmp_path):
    expressions = [target["expr"] for panel in panels(load(path)) for target in panel["targets"]]
    expressions += [one["expr"] for one in load(path)["annotations"]["list"]]
    for expression in expressions:
        metrics = set(re.findall(r"\b([a-zA-Z_:]+)\{", expression))
        assert metrics and metrics <= METRICS, expression
    if not shutil.which("promtool"):
        pytest.skip("promtool (Debian package prometheus) is not installed")
    rules = [
        {"record": "panel:query:%d" % number, "expr": substituted(expression, **VALUES)}
        for number, expression in enumerate(expressions)
    ]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    command = ["promtool", "check", "rules", file]
    got = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert got.returncode == 0, got.stdout


def test_provisioning():
    (source,) = GRAFANA.glob("provisioning/datasources/*.yml")
    (one,) = yaml.safe_load(source.read_text())["datasources"]
    assert one["type"] == "prometheus" and one["uid"] and one["url"].startswith("http://127.0.0.1")
    (provider,) = GRAFANA.glob("provisioning/dashboards/*.yml")
    (one,) = yaml.safe_load(provider.read_text())["providers"]
    assert one["type"] == "file" and one["options"]["path"].endswith("/grafana/dashboards")
