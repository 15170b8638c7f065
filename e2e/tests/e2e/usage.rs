//! The usage report while workers are killed.
//!
//! Invariant: every answered request is in the report exactly once, under its connection and its outcome.

use e2e::{Client, Installation, Project, Result, client, wait};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Number of requests by connection, if it is known, and outcome.
type Counts = BTreeMap<(Option<String>, String), u64>;

const ROUNDS: usize = 4;
const REQUESTS: usize = 42;

fn batch(project: &str) -> String {
    json!({"projectId": project, "metrics": [{"metricId": "a", "value": 1}, {"metricId": "b", "value": 2}]})
        .to_string()
}

/// Returns a key with the same public id and another secret.
fn wrong_secret(key: &str) -> String {
    let (public, secret) = key.rsplit_once('_').unwrap_or((key, ""));
    let other: String = secret.chars().map(|c| if c == 'a' { 'b' } else { 'a' }).collect();
    format!("{public}_{other}")
}

/// Sends requests with every outcome that a client can cause; counts them by the outcome that the client saw.
async fn send(client: &Client, project: &Project, connection: &str, counts: &mut Counts) -> Result<()> {
    let valid = batch(&project.project_id);
    let cases = [
        (project.api_key.clone(), valid.clone(), Some(connection)),
        (project.api_key.clone(), "{".to_owned(), Some(connection)),
        (project.api_key.clone(), r#"{"projectId": 5}"#.to_owned(), Some(connection)),
        (project.api_key.clone(), batch("prj_of_another"), Some(connection)),
        (wrong_secret(&project.api_key), valid.clone(), Some(connection)),
        (project.manage_key.clone(), valid, None),
    ];
    for request in 0..REQUESTS {
        let (key, body, connection) = cases[request % cases.len()].clone();
        let response = client.send(request, &key, body).await?;
        let outcome = match response.status() {
            StatusCode::OK => "accepted".to_owned(),
            _ => client::text(&response.json().await?, "error")?,
        };
        *counts.entry((connection.map(str::to_owned), outcome)).or_default() += 1;
    }
    Ok(())
}

fn reported(report: &Value) -> Result<Counts> {
    let items = report["items"].as_array().ok_or("no items")?;
    let mut counts = Counts::new();
    for item in items {
        let connection = item["connectionId"].as_str().map(str::to_owned);
        let requests = item["requests"].as_u64().ok_or("`requests` is not a number")?;
        *counts.entry((connection, client::text(item, "outcome")?)).or_default() += requests;
    }
    Ok(counts)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_reported_once_while_workers_are_killed() -> Result<()> {
    let mut installation = Installation::start("usage", 2, 1).await?;
    let client = installation.client();
    let project = client.project("free").await?;
    let created = client.post("/api/v1/connections", &project.manage_key, &json!({"name": "Second"})).await?;
    let second = client::expect(created, StatusCode::CREATED).await?;
    let connection = client::text(&second, "connectionId")?;
    let project = Project { api_key: client::text(&second, "apiKey")?, ..project };

    let mut sent = Counts::new();
    for _ in 0..ROUNDS {
        send(&client, &project, &connection, &mut sent).await?;
        installation.workers[0].kill()?;
        installation.workers[0].restart()?;
    }
    // If the clock hour changed meanwhile, there is more quota to use up.
    while !sent.keys().any(|(_, outcome)| outcome == "quota_exceeded") {
        send(&client, &project, &connection, &mut sent).await?;
    }
    let outcomes: Vec<&str> = sent.keys().map(|(_, outcome)| outcome.as_str()).collect();
    for outcome in [
        "accepted",
        "invalid_json",
        "invalid_batch",
        "project_mismatch",
        "invalid_key",
        "quota_exceeded",
        "insufficient_scope",
    ] {
        assert!(outcomes.contains(&outcome), "no request had the outcome {outcome}: {sent:?}");
    }
    // Gateways publish their remaining counts when they shut down.
    for gateway in &mut installation.gateways {
        assert!(gateway.terminate().await?.success());
    }
    let total = |counts: &Counts| counts.values().sum::<u64>();
    let report = wait::until("every request is reported", async || {
        let report = client.get_json("/api/v1/usage", &project.manage_key).await?;
        Ok((total(&reported(&report)?) >= total(&sent)).then_some(report))
    })
    .await?;
    assert_eq!(reported(&report)?, sent);
    let accepted = sent.get(&(Some(connection.clone()), "accepted".to_owned())).copied();
    let metrics: u64 =
        report["items"].as_array().into_iter().flatten().filter_map(|item| item["metrics"].as_u64()).sum();
    assert_eq!(Some(metrics), accepted.map(|accepted| accepted * 2));

    let connections = report["connections"].as_array().into_iter().flatten();
    let found: Vec<&Value> = connections.filter(|it| it["connectionId"] == *connection).collect();
    let [found] = found.as_slice() else {
        return Err(format!("the connection must be listed once: {report}").into());
    };
    assert_eq!((&found["name"], &found["addresses"]), (&json!("Second"), &json!(1)));
    assert_eq!(report["quota"]["limit"], 100);
    let kinds: Vec<&str> = report["notices"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|notice| notice["kind"].as_str())
        .collect();
    assert_eq!(kinds, ["refused_keys"], "twenty wrong secrets within minutes must cause a notice");
    Ok(())
}
