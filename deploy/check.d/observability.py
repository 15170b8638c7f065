"""Alerts, dashboards and pages speak of the same things.

Every metric that an alert or a dashboard asks for is in docs/metrics.md; every alert has a section in docs/runbook.md
and, in the tests, a case in which it fires and one in which it keeps quiet; the chart's copy of the rules is the same.
"""

import json
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAME = re.compile(r"\btidemark_[a-z0-9_]+")


def catalogue():
    """Every series that the catalogue's metrics have."""
    for line in (ROOT / "docs/metrics.md").read_text().splitlines():
        row = re.match(r"\| `(tidemark_\w+)` \| (\w+) \|", line)
        if row and row[2] == "histogram":
            yield from (row[1] + suffix for suffix in ("_bucket", "_sum", "_count"))
        elif row:
            yield row[1]


def expressions():
    """(where, PromQL) of every alert and dashboard."""
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    dashboards = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
    for path in dashboards:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{path.name}, {panel['title']}", target["expr"]


def faults():
    known = set(catalogue())
    if not known:
        yield "docs/metrics.md has no metric: its form has changed"
    for where, expression in expressions():
        names = NAME.findall(expression)
        if not names:
            yield f"{where}: asks for no metric of ours"
        yield from (f"{where}: {name} does not exist" for name in names if name not in known)

    text = (ROOT / "deploy/prometheus/alerts.yml").read_text()
    alerts = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    runbook = set(re.findall(r"^## (\w+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE))
    cases = yaml.safe_load((ROOT / "deploy/prometheus/alerts.test.yml").read_text())["tests"]
    tested = {
        (test["alertname"], bool(test["exp_alerts"])) for case in cases for test in case["alert_rule_test"]
    }
    for alert in alerts:
        name = alert["alert"]
        if name not in runbook or alert["annotations"]["runbook"] != f"docs/runbook.md#{name.lower()}":
            yield f"{name}: no section in docs/runbook.md, or its annotation names another"
        for fires in (True, False):
            if (name, fires) not in tested:
                yield f"{name}: no test in which it {'fires' if fires else 'keeps quiet'}"
    for name in runbook - {alert["alert"] for alert in alerts}:
        yield f"docs/runbook.md: {name} is no alert"
    chart = yaml.safe_load((ROOT / "deploy/helm/tidemark/files/alerts.yml").read_text())
    if chart != yaml.safe_load(text):
        yield "deploy/helm/tidemark/files/alerts.yml is not what deploy/prometheus/alerts.yml is"


if __name__ == "__main__":
    found = list(faults())
    print("\n".join(found) or "observability: alerts, dashboards and pages agree")
    sys.exit(1 if found else 0)
