//! Prometheus alert rules and Grafana dashboards of `deploy/`, checked without deploying them: every alert has
//! unit tests and a section in the runbook, and all queries use metrics that `docs/metrics.md` lists.

use crate::support::repository;
use e2e::{Result, environment};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

fn deploy(path: &str) -> PathBuf {
    repository().join("deploy").join(path)
}

fn promtool(arguments: &[&str]) -> Result<()> {
    let program = environment::required("PROMTOOL")?;
    let output = Command::new(program).args(arguments).current_dir(deploy("prometheus")).output()?;
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(()) } else { Err(text.into()) }
}

/// Returns the names of our series in PromQL.
fn series(query: &str) -> BTreeSet<String> {
    let words = query.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("tidemark_")).map(str::to_owned).collect()
}

/// Returns the series of the metrics in `docs/metrics.md`.
fn documented() -> BTreeSet<String> {
    let rows = include_str!("../../../docs/metrics.md").lines().filter_map(|line| line.strip_prefix("| `"));
    let metrics = rows.filter_map(|row| row.split_once("` | "));
    let series = metrics.flat_map(|(name, rest)| {
        let suffixes: &[&str] =
            if rest.starts_with("histogram") { &["_bucket", "_sum", "_count"] } else { &[""] };
        suffixes.iter().map(move |suffix| format!("{name}{suffix}"))
    });
    series.collect()
}

/// Returns name and PromQL of every alert.
fn alerts() -> Result<Vec<(String, String)>> {
    let rules = fs::read_to_string(deploy("prometheus/alerts.yml"))?;
    let mut alerts = Vec::new();
    for line in rules.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("- alert: ") {
            alerts.push((name.to_owned(), String::new()));
        } else if let (Some(query), Some((_, last))) = (line.strip_prefix("expr: "), alerts.last_mut()) {
            *last = query.to_owned();
        }
    }
    Ok(alerts)
}

/// Returns name and PromQL of every dashboard panel.
fn panels() -> Result<Vec<(String, String)>> {
    let mut queries = Vec::new();
    for name in ["gateway", "worker", "reads"] {
        let text = fs::read_to_string(deploy(&format!("grafana/dashboards/{name}.json")))?;
        let dashboard: Value = serde_json::from_str(&text)?;
        for panel in dashboard["panels"].as_array().into_iter().flatten() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let query = target["expr"].as_str().ok_or_else(|| format!("{name}: a target has no expr"))?;
                queries.push((format!("{name}: {}", panel["title"]), query.to_owned()));
            }
        }
    }
    Ok(queries)
}

#[test]
fn every_alert_has_a_firing_and_a_quiet_unit_test() -> Result<()> {
    promtool(&["check", "rules", "alerts.yml"])?;
    promtool(&["test", "rules", "alerts.test.yml"])?;
    let cases = fs::read_to_string(deploy("prometheus/alerts.test.yml"))?;
    let alerts = alerts()?;
    assert!(alerts.len() > 20, "cannot parse alerts.yml any more");
    for (alert, _) in alerts {
        for case in ["fires", "keeps quiet"] {
            assert!(cases.contains(&format!("- name: {alert} {case}\n")), "no case in which {alert} {case}");
        }
    }
    Ok(())
}

#[test]
fn every_alert_has_a_runbook_section() -> Result<()> {
    let runbook = include_str!("../../../docs/runbook.md");
    let sections: BTreeSet<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let alerts = alerts()?;
    let names: BTreeSet<&str> = alerts.iter().map(|(alert, _)| alert.as_str()).collect();
    assert_eq!(names, sections, "alerts, and sections of docs/runbook.md");
    Ok(())
}

#[test]
fn alerts_and_dashboards_use_documented_metrics() -> Result<()> {
    let documented = documented();
    assert!(documented.len() > 40, "cannot parse docs/metrics.md any more");
    let queries = [alerts()?, panels()?].concat();
    for (name, query) in queries {
        let used = series(&query);
        assert!(!used.is_empty(), "{name} uses none of our metrics: {query}");
        let unknown: Vec<&String> = used.difference(&documented).collect();
        assert!(unknown.is_empty(), "{name}: docs/metrics.md lacks {unknown:?}");
    }
    Ok(())
}
