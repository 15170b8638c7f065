"""Checks that alerts, dashboards and documentation agree.

- Every metric that an alert or a dashboard queries is in docs/metrics.md.
- Every alert has a section in docs/runbook.md, and unit tests in which it fires and in which it keeps quiet.
- The Helm chart's copy of the alert rules equals deploy/prometheus/alerts.yml.
"""

import json
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAME = re.compile(r"\btidemark_[a-z0-9_]+")


def documented_series():
    """Yields the series of every metric in docs/metrics.md."""
    for line in (ROOT / "docs/metrics.md").read_text().splitlines():
        row = re.match(r"\| `(tidemark_\w+)` \| (\w+) \|", line)
        if row and row[2] == "histogram":
            yield from (row[1] + suffix for suffix in ("_bucket", "_sum", "_count"))
        elif row:
            yield row[1]


def expressions():
    """Yields (location, PromQL) of every alert and every dashboard panel."""
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
    """Yields a message for each disagreement."""
    known = set(documented_series())
    if not known:
        yield "docs/metrics.md: no metric found; has the format of its tables changed?"
    for location, expression in expressions():
        names = NAME.findall(expression)
        if not names:
            yield f"{location}: queries no tidemark_ metric"
        yield from (f"{location}: {name} is not in docs/metrics.md" for name in names if name not in known)

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
            yield f"{name}: no section in docs/runbook.md, or its annotation `runbook` links to another one"
        for fires in (True, False):
            if (name, fires) not in tested:
                yield f"{name}: no unit test in which it {'fires' if fires else 'keeps quiet'}"
    for name in runbook - {alert["alert"] for alert in alerts}:
        yield f"docs/runbook.md: no alert is named {name}"
    chart = yaml.safe_load((ROOT / "deploy/helm/tidemark/files/alerts.yml").read_text())
    if chart != yaml.safe_load(text):
        yield "deploy/helm/tidemark/files/alerts.yml differs from deploy/prometheus/alerts.yml"


if __name__ == "__main__":
    found = list(faults())
    print("\n".join(found) or "observability: alerts, dashboards and documentation agree")
    sys.exit(1 if found else 0)
