//! Duration of a rebuild of the store during ingestion and reads. Verifies that both generations are equal
//! afterwards.

use crate::backlog;
use e2e::{Client, Installation, Project, Result, client, wait};
use reqwest::StatusCode;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Interval of reads during the rebuild.
const READ_INTERVAL: Duration = Duration::from_millis(50);
/// Number of metrics per batch sent during the rebuild.
const BATCH: u64 = 100;
/// Maximum time for the worker to store the metrics before the rebuild.
const MAX_STORE_TIME: Duration = Duration::from_secs(300);

/// Prints the rows per second. Fails if a batch or a read fails during the rebuild, or if the generations
/// differ afterwards.
pub async fn run(metrics: u64) -> Result<()> {
    let installation = Installation::start("bench", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    eprintln!("writing {metrics} metrics");
    let (topic, owner) = (installation.topics().metrics, project.project_id.clone());
    tokio::task::spawn_blocking(move || backlog::fill(&topic, &owner, metrics)).await??;
    let started = Instant::now();
    while count(&installation, 1).await? < metrics {
        if started.elapsed() > MAX_STORE_TIME {
            return Err("the worker did not store the metrics within five minutes".into());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    let stop = Arc::new(AtomicBool::new(false));
    let sender = send(client.clone(), project.clone(), stop.clone());
    let reader = read(client, project, stop.clone());
    let started = Instant::now();
    let output = installation.run_command_ok(&["rebuild", "clickhouse"]).await?;
    let seconds = started.elapsed().as_secs_f64();
    if !output.contains("queries read generation 2") {
        return Err(format!("unexpected output of the rebuild: {output}").into());
    }
    stop.store(true, Ordering::Relaxed);
    let (sent, reads) = (sender.await??, reader.await??);
    let total = metrics + sent;
    wait::until("both generations contain all metrics", async || {
        let counts = (count(&installation, 1).await?, count(&installation, 2).await?);
        Ok((counts == (total, total)).then_some(()))
    })
    .await?;
    let (series, different) = compare(&installation).await?;
    if different > 0 {
        return Err(format!("{different} of {series} series differ").into());
    }
    println!(
        "rebuild: {metrics} metrics; {sent} more accepted and {reads} reads answered during the rebuild, none failed"
    );
    println!("| rows/s | seconds | series with equal count, minimum, maximum and sum |\n|---|---|---|");
    println!("| {:.0} | {seconds:.1} | {series} |", metrics as f64 / seconds);
    Ok(())
}

fn database(installation: &Installation, generation: u32) -> String {
    format!("tidemark_{}_g{generation}", installation.namespace)
}

async fn count(installation: &Installation, generation: u32) -> Result<u64> {
    let sql = format!("SELECT count() FROM {}.points", database(installation, generation));
    Ok(installation.clickhouse()?.query(&sql).fetch_one().await?)
}

/// Returns the number of series, and the number of series that differ between the generations. Sums may
/// differ by rounding.
async fn compare(installation: &Installation) -> Result<(u64, u64)> {
    let series_of = |generation| {
        format!(
            "SELECT project_id, metric_id, count() AS n, min(value) AS low, max(value) AS high, sum(value) AS total \
             FROM {}.points GROUP BY project_id, metric_id",
            database(installation, generation)
        )
    };
    let sql = format!(
        "SELECT count(), countIf(a.n != b.n OR a.low != b.low OR a.high != b.high \
         OR abs(a.total - b.total) > 1e-9 * abs(a.total)) \
         FROM ({}) AS a FULL OUTER JOIN ({}) AS b USING (project_id, metric_id)",
        series_of(1),
        series_of(2)
    );
    Ok(installation.clickhouse()?.query(&sql).fetch_one().await?)
}

/// Sends batches until `stop` and returns the number of accepted metrics. Fails if a batch is rejected.
fn send(client: Client, project: Project, stop: Arc<AtomicBool>) -> JoinHandle<Result<u64>> {
    tokio::spawn(async move {
        let metrics: Vec<_> =
            (0..BATCH).map(|index| json!({"metricId": format!("live_{index}"), "value": index})).collect();
        let body = json!({"projectId": project.project_id, "metrics": metrics}).to_string();
        let mut sent = 0;
        while !stop.load(Ordering::Relaxed) {
            let response = client.send(0, &project.api_key, body.clone()).await?;
            client::expect(response, StatusCode::OK).await?;
            sent += BATCH;
        }
        Ok(sent)
    })
}

/// Reads series until `stop` and returns the number of reads. Fails if a read fails or returns nothing.
fn read(client: Client, project: Project, stop: Arc<AtomicBool>) -> JoinHandle<Result<u64>> {
    tokio::spawn(async move {
        let mut reads = 0;
        while !stop.load(Ordering::Relaxed) {
            let path = format!("/api/v1/metrics/metric_{}/timeseries?interval=hour", reads % backlog::SERIES);
            let series = client.get_json(&path, &project.manage_key).await?;
            if series["points"].as_array().is_none_or(Vec::is_empty) {
                return Err(format!("a read returned no points: {series}").into());
            }
            reads += 1;
            tokio::time::sleep(READ_INTERVAL).await;
        }
        Ok(reads)
    })
}
