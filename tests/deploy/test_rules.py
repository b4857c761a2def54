"""Recording rules, alerts, runbooks and scrape examples: what promtool says of them, and that they
speak of the same things."""
import pathlib
import re
import shutil
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = [PROMETHEUS / "loopsight.rules.yml", PROMETHEUS / "loopsight.alerts.yml"]
RULES_TEST = pathlib.Path(__file__).with_name("rules_test.yml")


@pytest.fixture(autouse=True)
def _promtool():
    if not shutil.which("promtool"):
        pytest.skip("promtool (Debian package prometheus) is not installed")


def promtool(*arguments):
    return subprocess.run(
        ["promtool", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def rules():
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


def alerts():
    return [rule for rule in rules() if "alert" in rule]


def test_promtool_accepts_the_rules():
    got = promtool("check", "rules", *RULES)
    assert got.returncode == 0, got.stdout


def test_each_alert_fires_and_recovers():
    got = promtool("test", "rules", RULES_TEST)
    assert got.returncode == 0, got.stdout
    seen = {True: set(), False: set()}
    for test in yaml.safe_load(RULES_TEST.read_text())["tests"]:
        for one in test.get("alert_rule_test", []):
            seen[bool(one["exp_alerts"])].add(one["alertname"])
    names = {alert["alert"] for alert in alerts()}
    assert seen[True] == seen[False] == names


def test_each_alert_says_what_to_do():
    for alert in alerts():
        assert alert["labels"]["severity"] in ("critical", "warning", "info"), alert["alert"]
        annotations = alert["annotations"]
        assert set(annotations) == {"summary", "description", "runbook_url"}, alert["alert"]
        assert "{{" not in annotations["summary"] and "{{" in annotations["description"]
        assert annotations["runbook_url"] == "deploy/runbooks/%s.md" % alert["alert"]
        runbook = (ROOT / annotations["runbook_url"]).read_text()
        titles = re.findall(r"^#+ (.*)$", runbook, re.M)
        assert titles == [alert["alert"], "Meaning", "Impact", "Diagnosis", "Mitigation"]


def test_each_runbook_belongs_to_an_alert():
    have = {path.stem for path in (ROOT / "deploy" / "runbooks").glob("*.md")}
    assert have == {alert["alert"] for alert in alerts()}


def test_recorded_names_say_level_metric_and_operation():
    recorded = [rule["record"] for rule in rules() if "record" in rule]
    assert len(recorded) == len(set(recorded)) > 0
    for name in recorded:
        assert re.fullmatch(r"instance(_[a-z]+)*:loopsight_[a-z_]+:[a-z0-9_]*rate5m", name), name
    used = set()
    for rule in rules():
        used |= set(re.findall(r"[a-z_]+:[a-z_]+:[a-z0-9_]+", rule["expr"]))
    assert used <= set(recorded)


def test_promtool_accepts_the_scrape_examples(tmp_path):
    for name in ("static.yml", "file.yml"):
        got = promtool("check", "config", PROMETHEUS / name)
        assert got.returncode == 0, got.stdout
    # Debian builds Prometheus without Kubernetes: what is not that service discovery is checked.
    config = yaml.safe_load((PROMETHEUS / "kubernetes.yml").read_text())
    (job,) = config["scrape_configs"]
    assert job.pop("kubernetes_sd_configs")[0]["role"] == "pod"
    for path in RULES:
        shutil.copy(path, tmp_path)
    checked = tmp_path / "kubernetes.yml"
    checked.write_text(yaml.safe_dump(config))
    got = promtool("check", "config", checked)
    assert got.returncode == 0, got.stdout
