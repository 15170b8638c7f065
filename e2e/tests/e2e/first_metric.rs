//! The basic path: a POST becomes a point that every query returns, visible only to its own project.

use crate::support::batch;
use e2e::{Client, Installation, Project, Result, client, wait};
use reqwest::StatusCode;
use serde_json::{Value, json};

/// Waits until a metric has `expected` points; returns them.
async fn points(client: &Client, project: &Project, metric: &str, expected: usize) -> Result<Vec<Value>> {
    let path = format!("/api/v1/metrics/{metric}/points");
    wait::until(&format!("{metric} has {expected} points"), async || {
        let response = client.get(&path, &project.manage_key).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let page = client::expect(response, StatusCode::OK).await?;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        Ok((items.len() == expected).then_some(items))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn post_becomes_a_point_that_every_query_returns() -> Result<()> {
    let installation = Installation::start("first_metric", 2, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    assert_eq!(project.webhook_url, client.webhook(0));

    let body = json!({"projectId": project.project_id, "metrics": [
        {"metricId": "daily_signups", "metricName": "Daily Signups", "value": 42, "unit": "count"}]});
    let response = client.send(0, &project.api_key, body.to_string()).await?;
    let accepted = client::expect(response, StatusCode::OK).await?;
    assert_eq!((&accepted["success"], &accepted["accepted"]), (&json!(true), &json!(1)));

    let items = points(&client, &project, "daily_signups", 1).await?;
    assert_eq!(items[0]["value"], json!(42.0));
    assert_eq!(items[0]["receivedAt"], accepted["receivedAt"]);
    assert_eq!(items[0]["timestamp"], accepted["receivedAt"], "the default is the time of receipt");

    // The flat form, through the other gateway.
    let flat = batch(&project, "daily_signups", 8);
    client::expect(client.send(1, &project.api_key, flat).await?, StatusCode::OK).await?;
    points(&client, &project, "daily_signups", 2).await?;

    let metric = client.get_json("/api/v1/metrics/daily_signups", &project.manage_key).await?;
    assert_eq!(metric["metricName"], "Daily Signups", "a later point without a name keeps the name");
    assert_eq!(metric["unit"], "count");
    assert_eq!(metric["points"], 2);
    assert_eq!(metric["lastValue"], json!(8.0));
    let list = client.get_json("/api/v1/metrics", &project.manage_key).await?;
    assert_eq!(list["items"][0]["metricId"], "daily_signups");

    for (aggregation, value) in
        [("avg", 25.0), ("sum", 50.0), ("min", 8.0), ("max", 42.0), ("count", 2.0), ("last", 8.0)]
    {
        let path =
            format!("/api/v1/metrics/daily_signups/timeseries?interval=month&aggregation={aggregation}");
        let series = client.get_json(&path, &project.manage_key).await?;
        let buckets = series["points"].as_array().cloned().unwrap_or_default();
        // There are two buckets if the month changed between the two points.
        if let [bucket] = buckets.as_slice() {
            assert_eq!((&bucket["value"], &bucket["count"]), (&json!(value), &json!(2)), "{aggregation}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn key_is_limited_to_its_project_and_scopes() -> Result<()> {
    let installation = Installation::start("scopes", 1, 1).await?;
    let client = installation.client();
    let (ours, theirs) = (client.project("unlimited").await?, client.project("free").await?);
    let body = batch(&ours, "secret", 1);
    client::expect(client.send(0, &ours.api_key, body.clone()).await?, StatusCode::OK).await?;
    points(&client, &ours, "secret", 1).await?;

    let foreign = client.get("/api/v1/metrics/secret/points", &theirs.manage_key).await?;
    assert_eq!(foreign.status(), StatusCode::NOT_FOUND);
    let mismatch = client.send(0, &theirs.api_key, body.clone()).await?;
    assert_eq!(client::expect(mismatch, StatusCode::FORBIDDEN).await?["error"], "project_mismatch");
    let without_ingest = client.send(0, &ours.manage_key, body.clone()).await?;
    assert_eq!(client::expect(without_ingest, StatusCode::FORBIDDEN).await?["error"], "insufficient_scope");
    let without_read = client.get("/api/v1/metrics", &ours.api_key).await?;
    assert_eq!(client::expect(without_read, StatusCode::FORBIDDEN).await?["error"], "insufficient_scope");
    let mut unknown = ours.api_key.clone();
    unknown.replace_range(unknown.len() - 4.., "0000");
    let unknown = client.send(0, &unknown, body).await?;
    assert_eq!(client::expect(unknown, StatusCode::UNAUTHORIZED).await?["error"], "invalid_key");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_that_spans_decades_is_stored_completely() -> Result<()> {
    let installation = Installation::start("decades", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let day_ms = 86_400_000_i64;
    // 2000-01-01, the earliest time that is accepted.
    let first_ms = 946_684_800_000_i64;
    let metrics: Vec<Value> = (0..100)
        .map(|index| json!({"metricId": "old", "value": index, "timestamp": first_ms + index * 90 * day_ms}))
        .collect();
    let body = json!({"projectId": project.project_id, "metrics": metrics}).to_string();
    client::expect(client.send(0, &project.api_key, body).await?, StatusCode::OK).await?;
    wait::until("all hundred points can be read", async || {
        let response =
            client.get("/api/v1/metrics/old/points?startDate=0&limit=1000", &project.manage_key).await?;
        let page: Value = response.json().await?;
        Ok((page["items"].as_array().map(Vec::len) == Some(100)).then_some(()))
    })
    .await
}
