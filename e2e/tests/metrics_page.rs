//! `docs/metrics.md` says what `/metrics` serves: each name with its type and its labels, and nothing else.

use e2e::log::LogWriter;
use e2e::{Client, Installation, Process, Project, Result, client, wait};
use reqwest::StatusCode;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Served with the first of their events, which this test does not bring about.
const AFTER_A_FAULT: [&str; 2] =
    ["tidemark_gateway_publish_failures_total", "tidemark_alerts_deliveries_total"];

/// Type and labels by name.
type Catalogue = BTreeMap<String, (String, BTreeSet<String>)>;

/// The page's tables.
fn documented() -> Catalogue {
    let page = include_str!("../../docs/metrics.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `tidemark_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_end_matches(['|', ' ']).split('|').map(str::trim).collect();
        let [name, kind, unit, labels, what] = cells[..] else { panic!("five columns: {row}") };
        assert!(!unit.is_empty() && what.len() > 10, "a unit and what to do: {row}");
        let labels = labels.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (format!("tidemark_{}", name.trim_end_matches('`')), (kind.to_owned(), labels))
    })
    .collect()
}

/// What a page of Prometheus text holds.
fn served(text: &str) -> Catalogue {
    let mut found = Catalogue::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            found.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if let Some((name, labels)) = line.split_once('{').filter(|_| !line.starts_with('#')) {
            let name =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
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

async fn page(process: &Process) -> Result<Catalogue> {
    Ok(served(&reqwest::get(format!("{}/metrics", process.ops_url())).await?.text().await?))
}

async fn traffic(installation: &Installation, client: &Client, project: &Project) -> Result<()> {
    let body = json!({"projectId": project.project_id, "metricId": "m", "value": 1}).to_string();
    client::expect(client.send(0, &project.api_key, body).await?, StatusCode::OK).await?;
    LogWriter::new(installation)?.raw(0, b"no batch", &[]).await?;
    wait::until("the metric can be read", async || {
        let answer = client.get("/api/v1/metrics/m/timeseries", &project.manage_key).await?;
        Ok((answer.status() == StatusCode::OK).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_metrics_says_what_is_served() -> Result<()> {
    let installation = Installation::start("metrics_page", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    traffic(&installation, &client, &project).await?;
    let documented = documented();
    assert!(documented.len() > 40, "the page's form has changed");

    let expected: BTreeSet<&str> =
        documented.keys().map(String::as_str).filter(|name| !AFTER_A_FAULT.contains(name)).collect();
    let services = [&installation.gateways[0], &installation.workers[0], &installation.query];
    let all = wait::until("every documented metric is served", async || {
        // The first read may come before it is known up to where the store has the log: then none is kept, and none counted.
        client.read("/api/v1/metrics/m/timeseries", &project.manage_key).await?;
        let mut all = Catalogue::new();
        for process in services {
            all.extend(page(process).await?);
        }
        let missing: Vec<&&str> = expected.iter().filter(|name| !all.contains_key(**name)).collect();
        if missing.is_empty() { Ok(Some(all)) } else { Err(format!("{missing:?}").into()) }
    })
    .await?;
    for (name, (kind, labels)) in &all {
        let Some((stated, known)) = documented.get(name) else { panic!("docs/metrics.md lacks {name}") };
        assert_eq!(stated, kind, "the type of {name}");
        assert!(labels.is_subset(known), "the labels of {name}: {labels:?}");
    }
    Ok(())
}
