//! `docs/metrics.md` lists exactly the metrics that the services expose, each with its type and its labels.

use crate::support::send;
use e2e::kafka_log::LogWriter;
use e2e::{Client, Installation, Project, Result, wait};
use reqwest::StatusCode;
use std::collections::{BTreeMap, BTreeSet};

/// Exposed only after their first event, which this test does not cause.
const AFTER_FIRST_EVENT: [&str; 2] =
    ["tidemark_gateway_publish_failures_total", "tidemark_alerts_deliveries_total"];

/// Type and labels by name.
type Catalogue = BTreeMap<String, (String, BTreeSet<String>)>;

/// Parses the tables of `docs/metrics.md`.
fn documented() -> Catalogue {
    let page = include_str!("../../../docs/metrics.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `tidemark_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_end_matches(['|', ' ']).split('|').map(str::trim).collect();
        let [name, kind, unit, labels, description] = cells[..] else { panic!("not five columns: {row}") };
        assert!(!unit.is_empty() && description.len() > 10, "no unit or no description: {row}");
        let labels = labels.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (format!("tidemark_{}", name.trim_end_matches('`')), (kind.to_owned(), labels))
    })
    .collect()
}

/// Parses a page in Prometheus text format.
fn exposed(page: &str) -> Catalogue {
    let mut found = Catalogue::new();
    for line in page.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            found.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if let Some((name, labels)) = line.split_once('{').filter(|_| !line.starts_with('#')) {
            let name = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix))
                .unwrap_or(name);
            let labels = labels.rsplit_once('}').map_or("", |(labels, _)| labels);
            let labels = labels.split("\",").filter_map(|label| label.split_once('=')).map(|(name, _)| name);
            let labels: BTreeSet<String> = labels.filter(|name| *name != "le").map(str::to_owned).collect();
            if let Some((_, known)) = found.get_mut(name) {
                known.extend(labels);
            }
        }
    }
    found
}

/// Causes the events that most metrics count: an accepted batch, a dead letter, a read.
async fn generate_traffic(installation: &Installation, client: &Client, project: &Project) -> Result<()> {
    send(client, project, "m", 1).await?;
    LogWriter::new(installation)?.write_raw(0, b"no batch", &[]).await?;
    wait::until("the time series can be read", async || {
        let response = client.get("/api/v1/metrics/m/timeseries", &project.manage_key).await?;
        Ok((response.status() == StatusCode::OK).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_page_lists_what_is_exposed() -> Result<()> {
    let installation = Installation::start("metrics_page", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    generate_traffic(&installation, &client, &project).await?;
    let documented = documented();
    assert!(documented.len() > 40, "cannot parse docs/metrics.md any more");

    let expected: BTreeSet<&str> =
        documented.keys().map(String::as_str).filter(|name| !AFTER_FIRST_EVENT.contains(name)).collect();
    let services = [&installation.gateways[0], &installation.workers[0], &installation.query];
    let served = wait::until("every documented metric is exposed", async || {
        // Before the query API knows how far the store covers the log, it caches nothing, and cache metrics
        // stay absent.
        client.get_json("/api/v1/metrics/m/timeseries", &project.manage_key).await?;
        let mut found = Catalogue::new();
        for process in services {
            found.extend(exposed(&process.metrics_page().await?));
        }
        let missing: Vec<&&str> = expected.iter().filter(|name| !found.contains_key(**name)).collect();
        if missing.is_empty() { Ok(Some(found)) } else { Err(format!("missing: {missing:?}").into()) }
    })
    .await?;
    for (name, (kind, labels)) in &served {
        let Some((documented_kind, known)) = documented.get(name) else {
            panic!("docs/metrics.md lacks {name}")
        };
        assert_eq!(documented_kind, kind, "type of {name}");
        assert!(labels.is_subset(known), "undocumented labels of {name}: {labels:?}");
    }
    Ok(())
}
