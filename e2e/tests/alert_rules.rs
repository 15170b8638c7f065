//! What Prometheus and Grafana are told of, judged without deploying them: the alert rules fire on what they are for, and
//! rules and dashboards ask only for metrics that `docs/metrics.md` has.

use e2e::Result;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path)
}

fn promtool(arguments: &[&str]) -> Result<()> {
    let program = std::env::var("PROMTOOL").map_err(|_| "PROMTOOL is not set: run deploy/local/test")?;
    let output = Command::new(program).args(arguments).current_dir(deploy("prometheus")).output()?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(()) } else { Err(said.into()) }
}

/// The names of our series in a text of PromQL.
fn series(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("tidemark_")).map(str::to_owned).collect()
}

/// The series of the metrics in the catalogue's tables.
fn documented() -> BTreeSet<String> {
    let rows = include_str!("../../docs/metrics.md").lines().filter_map(|line| line.strip_prefix("| `"));
    let metrics = rows.filter_map(|row| row.split_once("` | "));
    let series = metrics.flat_map(|(name, rest)| {
        let endings: &[&str] =
            if rest.starts_with("histogram") { &["_bucket", "_sum", "_count"] } else { &[""] };
        endings.iter().map(move |ending| format!("{name}{ending}"))
    });
    series.collect()
}

/// The PromQL of all alerts, by alert.
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

/// The queries of all dashboards, by dashboard and panel.
fn panels() -> Result<Vec<(String, String)>> {
    let mut queries = Vec::new();
    for dashboard in ["gateway", "worker", "reads"] {
        let text = fs::read_to_string(deploy(&format!("grafana/dashboards/{dashboard}.json")))?;
        let dashboard_of: Value = serde_json::from_str(&text)?;
        for panel in dashboard_of["panels"].as_array().into_iter().flatten() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let query = target["expr"].as_str().ok_or_else(|| format!("{dashboard}: a query is none"))?;
                queries.push((format!("{dashboard}: {}", panel["title"]), query.to_owned()));
            }
        }
    }
    Ok(queries)
}

#[test]
fn each_alert_fires_on_what_it_is_for_and_keeps_quiet_on_the_ordinary() -> Result<()> {
    promtool(&["check", "rules", "alerts.yml"])?;
    promtool(&["test", "rules", "alerts.test.yml"])?;
    let cases = fs::read_to_string(deploy("prometheus/alerts.test.yml"))?;
    let alerts = alerts()?;
    assert!(alerts.len() > 20, "the form of alerts.yml has changed");
    for (alert, _) in alerts {
        for case in ["fires", "keeps quiet"] {
            assert!(cases.contains(&format!("- name: {alert} {case}\n")), "no case in which {alert} {case}");
        }
    }
    Ok(())
}

#[test]
fn each_alert_has_a_section_in_the_runbook() -> Result<()> {
    let runbook = include_str!("../../docs/runbook.md");
    let sections: BTreeSet<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let alerts = alerts()?;
    let named: BTreeSet<&str> = alerts.iter().map(|(alert, _)| alert.as_str()).collect();
    assert_eq!(named, sections, "alerts, and sections of docs/runbook.md");
    Ok(())
}

#[test]
fn alerts_and_dashboards_ask_for_metrics_that_exist() -> Result<()> {
    let documented = documented();
    assert!(documented.len() > 40, "the form of docs/metrics.md has changed");
    let queries = [alerts()?, panels()?].concat();
    for (place, query) in queries {
        let asked = series(&query);
        assert!(!asked.is_empty(), "{place} asks for none of our metrics: {query}");
        let unknown: Vec<&String> = asked.difference(&documented).collect();
        assert!(unknown.is_empty(), "{place}: docs/metrics.md does not have {unknown:?}");
    }
    Ok(())
}
