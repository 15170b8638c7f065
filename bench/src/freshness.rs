//! Time from the answer to a POST until a query returns the point.

use crate::statistics::quantile;
use e2e::{Installation, Result};
use serde_json::json;
use std::time::Instant;

/// Prints p50 and p99 of `points` points.
pub async fn run(points: u32) -> Result<()> {
    let installation = Installation::start("bench", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let mut visible = Vec::new();
    let mut answered = Vec::new();
    for value in 0..points {
        let body =
            json!({"projectId": project.project_id, "metricId": "freshness", "value": value}).to_string();
        let sent = Instant::now();
        let response = client.send(0, &project.api_key, body).await?;
        e2e::client::expect(response, reqwest::StatusCode::OK).await?;
        let accepted = Instant::now();
        answered.push((accepted - sent).as_secs_f64() * 1e3);
        e2e::wait::until("the point is queryable", async || {
            let response =
                client.get("/api/v1/metrics/freshness/points?limit=1", &project.manage_key).await?;
            let page: serde_json::Value = response.json().await?;
            Ok((page["items"][0]["value"] == json!(f64::from(value))).then_some(()))
        })
        .await?;
        visible.push(accepted.elapsed().as_secs_f64() * 1e3);
    }
    println!("freshness: {points} points, one after the other, with a query every 10 ms");
    println!("| | p50 ms | p99 ms |\n|---|---|---|");
    for (name, values) in [("POST to 200", &mut answered), ("200 to queryable", &mut visible)] {
        println!("| {name} | {:.0} | {:.0} |", quantile(values, 0.5), quantile(values, 0.99));
    }
    Ok(())
}
