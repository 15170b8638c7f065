//! Helpers that several tests share.

use e2e::{Client, Process, Project, Result, environment, wait};
use redis::aio::MultiplexedConnection;
use reqwest::StatusCode;
use serde::Serialize;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Root directory of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Body of a batch with one metric, in the flat form.
pub fn batch(project: &Project, metric: &str, value: impl Serialize) -> String {
    json!({"projectId": project.project_id, "metricId": metric, "value": value}).to_string()
}

/// Sends a batch with one metric through gateway 0; it must be accepted.
pub async fn send(client: &Client, project: &Project, metric: &str, value: impl Serialize) -> Result<()> {
    let response = client.send(0, &project.api_key, batch(project, metric, value)).await?;
    e2e::client::expect(response, StatusCode::OK).await?;
    Ok(())
}

/// Waits until the query API knows a metric.
pub async fn wait_for_metric(client: &Client, project: &Project, metric: &str) -> Result<()> {
    let path = format!("/api/v1/metrics/{metric}");
    wait::until(&format!("the metric {metric} can be read"), async || {
        let status = client.get(&path, &project.manage_key).await?.status();
        Ok((status == StatusCode::OK).then_some(()))
    })
    .await
}

/// Waits until a process's metrics page has exactly this line.
pub async fn wait_for_metrics_line(process: &Process, line: &str) -> Result<()> {
    wait::until(&format!("/metrics has the line {line}"), async || {
        Ok(process.metrics_page().await?.lines().any(|found| found == line).then_some(()))
    })
    .await
}

/// Number of stored points, of distinct log positions among them, and of distinct values.
pub async fn point_counts(clickhouse: &clickhouse::Client) -> Result<(u64, u64, u64)> {
    let query = "SELECT count(), uniqExact(partition, offset, index), uniqExact(value) FROM points";
    Ok(clickhouse.query(query).fetch_one().await?)
}

/// Waits until at least `count` points are stored.
pub async fn wait_for_points(clickhouse: &clickhouse::Client, count: u64) -> Result<()> {
    wait::until(&format!("{count} points are stored"), async || {
        Ok((point_counts(clickhouse).await?.0 >= count).then_some(()))
    })
    .await
}

/// Waits until the head of a partition's chain has reached `offset`.
pub async fn wait_for_head(clickhouse: &clickhouse::Client, partition: i32, offset: i64) -> Result<()> {
    wait::until(&format!("the head of partition {partition} has reached offset {offset}"), async || {
        let head: i64 = clickhouse
            .query("SELECT max(last_offset) FROM samples WHERE kind = 'marker' AND partition = ?")
            .bind(partition)
            .fetch_one()
            .await?;
        Ok((head >= offset).then_some(()))
    })
    .await
}

/// Opens a connection to the suite's Redis.
pub async fn redis_connection() -> Result<MultiplexedConnection> {
    let client = redis::Client::open(environment::required("REDIS_URL")?)?;
    Ok(client.get_multiplexed_async_connection().await?)
}
