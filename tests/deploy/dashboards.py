"""Reading the committed dashboards: their panels, and their queries as Grafana would send them."""
import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
GRAFANA = ROOT / "deploy" / "grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))


def load(path):
    return json.loads(path.read_text())


def panels(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def substituted(expression, **values):
    """With every variable replaced; a variable without a value is an error."""
    return re.sub(r"\$(\w+)", lambda found: values[found[1]], expression)
