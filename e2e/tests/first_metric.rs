//! The main job: a POST becomes a point that a query returns.

use e2e::{Client, Installation, Project, Result, client, wait};
use reqwest::StatusCode;
use serde_json::{Value, json};

/// The items of a page once there are as many as expected.
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
async fn a_post_becomes_a_point_that_every_query_returns() -> Result<()> {
    let installation = Installation::start("first_metric", 2, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    assert_eq!(project.webhook_url, client.webhook(0));

    let body = json!({"projectId": project.project_id, "metrics": [
        {"metricId": "daily_signups", "metricName": "Daily Signups", "value": 42, "unit": "count"}]});
    let answer = client.send(0, &project.api_key, body.to_string()).await?;
    let answer = client::expect(answer, StatusCode::OK).await?;
    assert_eq!((&answer["success"], &answer["accepted"]), (&json!(true), &json!(1)));

    let items = points(&client, &project, "daily_signups", 1).await?;
    assert_eq!(items[0]["value"], json!(42.0));
    assert_eq!(items[0]["receivedAt"], answer["receivedAt"]);
    assert_eq!(items[0]["timestamp"], answer["receivedAt"], "the time of receipt is the default");

    // The flat form, through the other gateway.
    let flat = json!({"projectId": project.project_id, "metricId": "daily_signups", "value": 8});
    client::expect(client.send(1, &project.api_key, flat.to_string()).await?, StatusCode::OK).await?;
    points(&client, &project, "daily_signups", 2).await?;

    let metric = client.read("/api/v1/metrics/daily_signups", &project.manage_key).await?;
    assert_eq!(
        metric["metricName"], "Daily Signups",
        "a later point without a name does not take the name away"
    );
    assert_eq!(metric["unit"], "count");
    assert_eq!(metric["points"], 2);
    assert_eq!(metric["lastValue"], json!(8.0));
    let list = client.read("/api/v1/metrics", &project.manage_key).await?;
    assert_eq!(list["items"][0]["metricId"], "daily_signups");

    for (aggregation, value) in
        [("avg", 25.0), ("sum", 50.0), ("min", 8.0), ("max", 42.0), ("count", 2.0), ("last", 8.0)]
    {
        let path =
            format!("/api/v1/metrics/daily_signups/timeseries?interval=month&aggregation={aggregation}");
        let series = client.read(&path, &project.manage_key).await?;
        let buckets = series["points"].as_array().cloned().unwrap_or_default();
        // The two points may lie on both sides of a month's turn.
        if let [bucket] = buckets.as_slice() {
            assert_eq!((&bucket["value"], &bucket["count"]), (&json!(value), &json!(2)), "{aggregation}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_sees_its_own_project_only_and_does_only_what_it_may() -> Result<()> {
    let installation = Installation::start("scopes", 1, 1).await?;
    let client = installation.client();
    let (ours, theirs) = (client.project("unlimited").await?, client.project("free").await?);
    let body = |project: &Project| {
        json!({"projectId": project.project_id, "metricId": "secret", "value": 1}).to_string()
    };
    client::expect(client.send(0, &ours.api_key, body(&ours)).await?, StatusCode::OK).await?;
    points(&client, &ours, "secret", 1).await?;

    let foreign = client.get("/api/v1/metrics/secret/points", &theirs.manage_key).await?;
    assert_eq!(foreign.status(), StatusCode::NOT_FOUND);
    let mismatch = client.send(0, &theirs.api_key, body(&ours)).await?;
    assert_eq!(client::expect(mismatch, StatusCode::FORBIDDEN).await?["error"], "project_mismatch");
    let reading = client.send(0, &ours.manage_key, body(&ours)).await?;
    assert_eq!(client::expect(reading, StatusCode::FORBIDDEN).await?["error"], "insufficient_scope");
    let ingesting = client.get("/api/v1/metrics", &ours.api_key).await?;
    assert_eq!(client::expect(ingesting, StatusCode::FORBIDDEN).await?["error"], "insufficient_scope");
    let mut unknown = ours.api_key.clone();
    unknown.replace_range(unknown.len() - 4.., "0000");
    let unknown = client.send(0, &unknown, body(&ours)).await?;
    assert_eq!(client::expect(unknown, StatusCode::UNAUTHORIZED).await?["error"], "invalid_key");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_spans_decades_is_stored_whole() -> Result<()> {
    let installation = Installation::start("decades", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let day = 86_400_000_i64;
    let first = 946_684_800_000_i64;
    let metrics: Vec<Value> = (0..100)
        .map(|month| json!({"metricId": "old", "value": month, "timestamp": first + month * 90 * day}))
        .collect();
    let body = json!({"projectId": project.project_id, "metrics": metrics}).to_string();
    client::expect(client.send(0, &project.api_key, body).await?, StatusCode::OK).await?;
    wait::until("all hundred points are there", async || {
        let response =
            client.get("/api/v1/metrics/old/points?startDate=0&limit=1000", &project.manage_key).await?;
        let page: Value = response.json().await?;
        Ok((page["items"].as_array().map(Vec::len) == Some(100)).then_some(()))
    })
    .await
}
