//! Alerts, from a POST over a threshold to the request that a receiver gets.
//!
//! Invariants: a receiver is notified only of transitions that were recorded; every transition is recorded once
//! and delivered, whichever process fails, freezes or is killed.

mod delivery;
mod evaluation;

use e2e::{Client, Installation, Project, Receiver, Result, client, wait};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A rule resolves after two evaluations without its condition, so their interval is the shortest that is
/// allowed.
const SETTINGS: [(&str, &str); 3] = [
    ("ALERT_INTERVAL", "10s"),
    ("ALLOW_OUTGOING", "127.0.0.0/8"),
    ("PUBLIC_URL", "https://tidemark.example.org"),
];

/// Starts an installation, with a project on a plan that has alerts.
async fn start(name: &str) -> Result<(Installation, Client, Project)> {
    let installation = Installation::start_with(name, 1, 1, &SETTINGS).await?;
    let client = installation.client();
    let project = client.project("pro").await?;
    Ok((installation, client, project))
}

async fn send(client: &Client, project: &Project, metric: &str, value: f64) -> Result<()> {
    let metrics =
        json!([{"metricId": metric, "metricName": "API Response Time", "unit": "ms", "value": value}]);
    let body = json!({"projectId": project.project_id, "metrics": metrics});
    client::expect(client.send(0, &project.api_key, body.to_string()).await?, StatusCode::OK).await?;
    Ok(())
}

/// Creates a channel; returns its id and its signing secret, which is empty for kinds without one.
async fn create_channel(
    client: &Client,
    project: &Project,
    kind: &str,
    url: Option<&str>,
) -> Result<(String, String)> {
    let body = json!({"name": kind, "kind": kind, "url": url});
    let created = client.post("/api/v1/channels", &project.manage_key, &body).await?;
    let created = client::expect(created, StatusCode::CREATED).await?;
    let secret = created["signingSecret"].as_str().unwrap_or_default().to_owned();
    Ok((client::text(&created, "channelId")?, secret))
}

async fn create_rule(client: &Client, project: &Project, body: &Value) -> Result<String> {
    let created = client.post("/api/v1/alerts", &project.manage_key, body).await?;
    client::text(&client::expect(created, StatusCode::CREATED).await?, "alertId")
}

/// Creates a rule that fires when the metric's last value is over 500.
async fn create_threshold_rule(
    client: &Client,
    project: &Project,
    metric: &str,
    channels: &[&str],
) -> Result<String> {
    let body = json!({"name": format!("{metric} is slow"), "metricId": metric, "aggregation": "last", "operator": ">",
        "threshold": 500, "range": "5m", "channels": channels});
    create_rule(client, project, &body).await
}

/// Waits until a rule is in a state; returns the rule.
async fn wait_for_state(client: &Client, project: &Project, rule: &str, state: &str) -> Result<Value> {
    let path = format!("/api/v1/alerts/{rule}");
    wait::until(&format!("the rule is {state}"), async || {
        let found = client.get_json(&path, &project.manage_key).await?;
        Ok((found["state"] == state).then_some(found))
    })
    .await
}

/// Waits until a rule has `count` transitions and no delivery is retried any more; returns the transitions,
/// oldest first.
async fn history(client: &Client, project: &Project, rule: &str, count: usize) -> Result<Vec<Value>> {
    let path = format!("/api/v1/alerts/{rule}/history");
    wait::until(&format!("{rule} has {count} transitions with complete deliveries"), async || {
        let page = client.get_json(&path, &project.manage_key).await?;
        let mut items = page["items"].as_array().cloned().unwrap_or_default();
        items.reverse();
        let is_complete = |item: &Value| {
            let deliveries = item["deliveries"].as_array().map(Vec::as_slice).unwrap_or_default();
            let last: BTreeMap<_, _> =
                deliveries.iter().map(|it| (it["channelId"].as_str(), &it["status"])).collect();
            !last.is_empty() && last.values().all(|status| *status != "retrying")
        };
        Ok((items.len() >= count && items.iter().all(is_complete)).then_some(items))
    })
    .await
}

/// Bodies that a webhook received, by `webhook-id`.
fn notifications(receiver: &Receiver) -> BTreeMap<String, Vec<String>> {
    let mut notifications: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for request in receiver.requests() {
        notifications.entry(request.header("webhook-id").to_owned()).or_default().push(request.text());
    }
    notifications
}
