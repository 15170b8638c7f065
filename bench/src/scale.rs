//! The whole pipeline with one, two and four gateways and workers on one machine: the cost of more processes.
//! Verifies that each accepted metric is stored exactly once. It cannot measure how throughput scales with
//! more machines.

use e2e::{Client, Installation, Project, Result, wait};
use reqwest::StatusCode;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Number of metrics per batch.
const SIZE: u64 = 100;
/// Number of concurrent clients.
const CLIENTS: usize = 64;
/// Numbers of gateways and workers.
const COUNTS: [usize; 3] = [1, 2, 4];

/// Prints a line per number of gateways and workers. Fails if a metric is lost or stored twice.
pub async fn run(batches: u64) -> Result<()> {
    println!("scale: {batches} batches of {SIZE} metrics from {CLIENTS} clients, 4 partitions");
    println!(
        "| gateways and workers | requests/s | gateway CPU µs/request | worker CPU µs/row | seconds from the last 200 until all are stored |"
    );
    println!("|---|---|---|---|---|");
    for count in COUNTS {
        measure(count, batches).await?;
    }
    Ok(())
}

async fn measure(count: usize, batches: u64) -> Result<()> {
    let installation = Installation::start("bench", count, count).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    wait_for_partitions(&installation).await?;
    let cpu = || -> Result<(Duration, Duration)> {
        let of = |processes: &[e2e::Process]| processes.iter().map(e2e::Process::cpu).sum::<Result<_>>();
        Ok((of(&installation.gateways)?, of(&installation.workers)?))
    };
    let (before, started) = (cpu()?, Instant::now());
    send(&client, &project, batches).await?;
    let (sent, last) = (started.elapsed(), Instant::now());
    let accepted = batches * SIZE;
    let clickhouse = installation.clickhouse()?;
    let stored = wait::until("all accepted metrics are stored", async || {
        let counts: (u64, u64, u64) = clickhouse
            .query("SELECT count(), uniqExact(partition, offset, index), uniqExact(value) FROM points")
            .fetch_one()
            .await?;
        Ok((counts.0 >= accepted).then_some(counts))
    })
    .await?;
    if stored != (accepted, accepted, accepted) {
        return Err(format!("{accepted} metrics were accepted, {stored:?} are stored").into());
    }
    let (drained, after) = (last.elapsed(), cpu()?);
    let micros = |cpu: Duration, count: u64| cpu.as_secs_f64() * 1e6 / count as f64;
    println!(
        "| {count} | {:.0} | {:.1} | {:.2} | {:.1} |",
        batches as f64 / sent.as_secs_f64(),
        micros(after.0 - before.0, batches),
        micros(after.1 - before.1, accepted),
        drained.as_secs_f64()
    );
    Ok(())
}

/// Waits until every worker owns partitions.
async fn wait_for_partitions(installation: &Installation) -> Result<()> {
    wait::until("every worker has partitions", async || {
        for worker in &installation.workers {
            if worker.metric("tidemark_ingest_partitions").await? < 1.0 {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await
}

/// Sends `batches` batches through all gateways, each metric with a unique value. Fails if a batch is rejected.
async fn send(client: &Client, project: &Project, batches: u64) -> Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let mut senders = JoinSet::new();
    for sender in 0..CLIENTS {
        let (client, project, next) = (client.clone(), project.clone(), next.clone());
        senders.spawn(async move {
            loop {
                let batch = next.fetch_add(1, Ordering::Relaxed);
                if batch >= batches {
                    return Ok::<(), e2e::Error>(());
                }
                let metrics: Vec<_> = (0..SIZE)
                    .map(|index| json!({"metricId": format!("m_{index}"), "value": batch * SIZE + index}))
                    .collect();
                let body = json!({"projectId": project.project_id, "metrics": metrics}).to_string();
                let response = client.send(sender, &project.api_key, body).await?;
                if response.status() != StatusCode::OK {
                    let status = response.status();
                    return Err(
                        format!("a batch was rejected with {status}: {}", response.text().await?).into()
                    );
                }
            }
        });
    }
    while let Some(done) = senders.join_next().await {
        done??;
    }
    Ok(())
}
