"""Grafana's JSON for the few kinds of panel that the dashboards use.

Every function returns one panel without its place; `dashboard` gives the places, left to right and
top to bottom. Schema version 38: Grafana 10.0 reads it as it is, later ones migrate it.
"""

SCHEMA_VERSION = 38
COLUMNS = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

GREEN, YELLOW, RED = "green", "yellow", "red"

# A cause has the same colour everywhere: warm for the code's doing, blue and purple for waits,
# grey for the host's.
CAUSE_COLORS = {
    "cpu": "#E0752D",
    "system": "#9E4A12",
    "gc": "#BF1B00",
    "import": "#EAB839",
    "gil": "#890F02",
    "lock": "#F9934E",
    "sleep": "#705DA0",
    "network": "#1F78C1",
    "disk": "#0A50A1",
    "pipe": "#65C5DB",
    "subprocess": "#508642",
    "page_fault": "#6D6D6D",
    "run_queue": "#8E8E8E",
    "throttled": "#B0B0B0",
    "stopped": "#4D4D4D",
    "other": "#CCA300",
    "unknown": "#D0A9E2",
}


def steps(*pairs):
    """steps((0.7, YELLOW), (0.9, RED)): green below the first."""
    first = [{"color": GREEN, "value": None}]
    return first + [{"color": color, "value": value} for value, color in pairs]


def target(expr, legend="__auto", ref="A", instant=False, format="time_series"):
    return {
        "refId": ref,
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": expr,
        "legendFormat": legend,
        "instant": instant,
        "range": not instant,
        "format": format,
    }


def targets(queries, **options):
    """`queries`: pairs of expression and legend."""
    return [
        target(expr, legend, ref=chr(ord("A") + i), **options)
        for i, (expr, legend) in enumerate(queries)
    ]


def panel(kind, title, description, width, height, queries, defaults, options, overrides=()):
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "gridPos": {"w": width, "h": height},
        "targets": queries,
        "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
        "options": options,
    }


def stat(title, description, expr, unit="short", thresholds=None, width=4, links=()):
    defaults = {
        "unit": unit,
        "color": {"mode": "thresholds"},
        "thresholds": {"mode": "absolute", "steps": thresholds or steps()},
        "mappings": [],
        "links": list(links),
    }
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "orientation": "auto",
        "textMode": "auto",
        "colorMode": "background" if thresholds else "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "percentChangeColorMode": "standard",
        "showPercentChange": False,
        "wideLayout": True,
    }
    return panel("stat", title, description, width, 4, targets([(expr, "")]), defaults, options)


def by_name(name, *properties):
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": key, "value": value} for key, value in properties],
    }


def cause_overrides():
    return [
        by_name(cause, ("color", {"mode": "fixed", "fixedColor": color}))
        for cause, color in CAUSE_COLORS.items()
    ]


def timeseries(
    title,
    description,
    *queries,
    unit="short",
    stacked=False,
    thresholds=None,
    maximum=None,
    width=12,
    height=8,
    overrides=(),
    links=(),
):
    defaults = {
        "unit": unit,
        "min": 0,
        "color": {"mode": "palette-classic"},
        "thresholds": {"mode": "absolute", "steps": thresholds or steps()},
        "mappings": [],
        "links": list(links),
        "custom": {
            "drawStyle": "line",
            "lineInterpolation": "linear",
            "lineWidth": 1,
            "fillOpacity": 60 if stacked else 10,
            "gradientMode": "none",
            "showPoints": "auto",
            "pointSize": 5,
            "spanNulls": False,
            "axisPlacement": "auto",
            "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if thresholds else "off"},
        },
    }
    if maximum is not None:
        defaults["max"] = maximum
    options = {
        "legend": {
            "displayMode": "table",
            "placement": "right" if width > 12 else "bottom",
            "showLegend": True,
            "calcs": ["mean", "max"],
            "sortBy": "Max",
            "sortDesc": True,
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel(
        "timeseries", title, description, width, height, targets(queries), defaults, options, overrides
    )


def heatmap(title, description, expr, width=12, height=9):
    """`expr` sums buckets by le; Grafana takes cumulated buckets apart when told that they are."""
    defaults = {"custom": {"scaleDistribution": {"type": "linear"}}}
    options = {
        "calculate": False,
        "rowsFrame": {"layout": "auto"},
        "yAxis": {"axisPlacement": "left", "unit": "s", "reverse": False},
        "cellValues": {"unit": "short"},
        "cellGap": 1,
        "color": {
            "mode": "scheme",
            "scheme": "Spectral",
            "reverse": True,
            "steps": 64,
            "scale": "exponential",
            "exponent": 0.5,
            "fill": "dark-orange",
        },
        "filterValues": {"le": 1e-9},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "legend": {"show": True},
        "showValue": "never",
        "tooltip": {"show": True, "mode": "single", "yHistogram": True},  # until 10.2; since 10.3
    }
    queries = [target(expr, "{{le}}", format="heatmap")]
    return panel("heatmap", title, description, width, height, queries, defaults, options)


def table(title, description, queries, columns, width=24, height=9, sort=None):
    """`queries`: expressions; `columns`: (field, shown name, unit, thresholds, links) in order. The
    n-th query's values are the field "Value #A", "Value #B", …; its labels are fields as well."""
    overrides = []
    for field, name, unit, thresholds, links in columns:
        properties = [("displayName", name)]
        if unit:
            properties.append(("unit", unit))
        if thresholds:
            properties.append(("thresholds", {"mode": "absolute", "steps": thresholds}))
            properties.append(("custom.cellOptions", {"type": "color-text"}))
        if links:
            properties.append(("links", list(links)))
        overrides.append(by_name(field, *properties))
    defaults = {
        "color": {"mode": "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps()},
        "mappings": [],
        "custom": {
            "align": "auto",
            "cellOptions": {"type": "auto"},
            "filterable": True,
            "inspect": False,
        },
    }
    options = {
        "frameIndex": 0,
        "showHeader": True,
        "cellHeight": "sm",
        "footer": {"show": False, "reducer": []},
        "sortBy": [{"displayName": sort, "desc": True}] if sort else [],
    }
    if len(queries) == 1:
        columns = [("Value" if one[0] == "Value #A" else one[0], *one[1:]) for one in columns]
        for override in overrides:
            if override["matcher"]["options"] == "Value #A":
                override["matcher"]["options"] = "Value"
    one = panel(
        "table",
        title,
        description,
        width,
        height,
        targets([(expr, "") for expr in queries], instant=True, format="table"),
        defaults,
        options,
        overrides,
    )
    names = [field for field, *_ in columns]
    one["transformations"] = [
        {"id": "merge", "options": {}},
        {"id": "filterFieldsByName", "options": {"include": {"names": names}}},
        {"id": "organize", "options": {"indexByName": {name: i for i, name in enumerate(names)}}},
    ]
    return one


def row(title):
    return {"type": "row", "title": title, "collapsed": False, "panels": []}


def variable(name, label, query):
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": ["All"], "value": ["$__all"]},
        "options": [],
        "regex": "",
        "hide": 0,
        "skipUrlSync": False,
    }


def datasource_variable():
    return {
        "type": "datasource",
        "name": "datasource",
        "label": "Prometheus",
        "query": "prometheus",
        "refresh": 1,
        "multi": False,
        "includeAll": False,
        "options": [],
        "regex": "",
        "hide": 0,
        "skipUrlSync": False,
    }


def placed(panels):
    """The panels with ids and places: left to right, a new line where one does not fit."""
    x = y = line = 0
    for number, one in enumerate(panels, 1):
        place = {"w": COLUMNS, "h": 1} if one["type"] == "row" else one["gridPos"]
        if x + place["w"] > COLUMNS:
            x, y, line = 0, y + line, 0
        yield {"id": number, **one, "gridPos": {"x": x, "y": y, **place}}
        x, line = x + place["w"], max(line, place["h"])


def dashboard(uid, title, description, variables, annotations, links, panels):
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["loopsight"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "",
        "fiscalYearStartMonth": 0,
        "timepicker": {},
        "templating": {"list": variables},
        "annotations": {"list": annotations},
        "links": links,
        "panels": list(placed(panels)),
    }
