//! Memory use and refusals during an outage of ClickHouse or Kafka.
//!
//! Invariants: no service's memory grows with the backlog; nothing is refused that Kafka can keep; nothing is
//! lost or stored twice afterwards.
//!
//! `TIDEMARK_BACKPRESSURE_BATCHES` sets the number of batches that are sent while ClickHouse is down, for a
//! longer run. Each takes about 40 KB in the log. The memory limits do not depend on it.

use crate::support::{point_counts, wait_for_points};
use e2e::{Client, Installation, Process, Project, Result, ScratchStore, client, wait};
use reqwest::StatusCode;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// In total far more than the buffers of a worker hold: 32 MiB for each of 4 partitions.
const BATCHES: u64 = 10_000;
const METRICS: u64 = 100;
const SENDERS: usize = 4;
const MIB: u64 = 1 << 20;
/// Limit of a worker's growth: its partitions' buffers, which hold records and then the blocks built from them.
const WORKER_GROWTH: u64 = 450 * MIB;
/// Limit of a gateway's growth: it holds only requests in flight.
const GATEWAY_GROWTH: u64 = 100 * MIB;

fn batches() -> u64 {
    let batches = std::env::var("TIDEMARK_BACKPRESSURE_BATCHES").ok();
    batches.and_then(|number| number.parse().ok()).unwrap_or(BATCHES)
}

/// Body of a batch with unique values. The ids and names are as long as allowed, except those of the first
/// metric.
fn batch(project: &Project, number: u64) -> String {
    let (id, name) = ("i".repeat(124), "n".repeat(200));
    let metric = |index: u64| match index {
        0 => json!({"metricId": "short", "value": number * METRICS}),
        _ => {
            json!({"metricId": format!("{id}.{index:03}"), "metricName": name, "value": number * METRICS + index})
        }
    };
    let metrics: Vec<_> = (0..METRICS).map(metric).collect();
    json!({"projectId": project.project_id, "metrics": metrics}).to_string()
}

/// Sends batches until `next` reaches `end`; every one must be accepted.
async fn send(
    client: Client,
    gateway: usize,
    project: Project,
    next: Arc<AtomicU64>,
    end: u64,
) -> Result<()> {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= end {
            return Ok(());
        }
        let response = client.send(gateway, &project.api_key, batch(&project, number)).await?;
        client::expect(response, StatusCode::OK).await?;
    }
}

async fn send_all(client: &Client, project: &Project, numbers: std::ops::Range<u64>) -> Result<()> {
    let next = Arc::new(AtomicU64::new(numbers.start));
    let senders: Vec<_> = (0..SENDERS)
        .map(|gateway| send(client.clone(), gateway, project.clone(), next.clone(), numbers.end))
        .map(tokio::spawn)
        .collect();
    for sender in senders {
        sender.await??;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn clickhouse_outage_leaves_the_backlog_in_kafka() -> Result<()> {
    let mut engine = ScratchStore::clickhouse().await?;
    let url = format!("http://{}", engine.address());
    let mut installation =
        Installation::start_with("backpressure", 1, 1, &[("CLICKHOUSE_URL", &url)]).await?;
    let clickhouse = clickhouse::Client::default().with_url(&url).with_database(installation.database(1));
    let client = installation.client();
    let project = client.project("unlimited").await?;
    const FIRST: u64 = 100;
    send_all(&client, &project, 0..FIRST).await?;
    wait_for_points(&clickhouse, FIRST * METRICS).await?;

    engine.kill()?;
    let pids = [&installation.workers[0], &installation.gateways[0]].map(Process::pid);
    let before = [installation.workers[0].memory()?, installation.gateways[0].memory()?];
    let all = FIRST + batches();
    let mut sent = FIRST;
    while sent < all {
        let part = (batches() / 10).clamp(1, all - sent);
        send_all(&client, &project, sent..sent + part).await?;
        sent += part;
        let now = [installation.workers[0].memory()?, installation.gateways[0].memory()?];
        println!("{sent} batches: worker {} MiB, gateway {} MiB", now[0] / MIB, now[1] / MIB);
    }

    engine.restart().await?;
    // Every step has its own timeout, because the length of the backlog can be set.
    let mut stored = 0;
    while stored < all * METRICS {
        wait_for_points(&clickhouse, stored + 1).await?;
        stored = point_counts(&clickhouse).await?.0;
    }
    assert_eq!(point_counts(&clickhouse).await?, (all * METRICS, all * METRICS, all * METRICS));
    let short = client.get_json("/api/v1/metrics/short", &project.manage_key).await?;
    assert_eq!(short["points"], all);
    for process in installation.workers.iter_mut().chain(&mut installation.gateways) {
        process.ready().await?;
    }
    assert_eq!(
        [&installation.workers[0], &installation.gateways[0]].map(Process::pid),
        pids,
        "a service was restarted"
    );
    let peaks = [installation.workers[0].peak_memory()?, installation.gateways[0].peak_memory()?];
    println!("peaks: worker {} MiB, gateway {} MiB", peaks[0] / MIB, peaks[1] / MIB);
    assert!(peaks[0] < before[0] + WORKER_GROWTH, "the worker grew from {} to {} bytes", before[0], peaks[0]);
    assert!(
        peaks[1] < before[1] + GATEWAY_GROWTH,
        "the gateway grew from {} to {} bytes",
        before[1],
        peaks[1]
    );
    Ok(())
}

/// Sends batches until `next` reaches `end`; every one must be answered 503 with `Retry-After`.
async fn send_unavailable(client: Client, project: Project, next: Arc<AtomicU64>, end: u64) -> Result<()> {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= end {
            return Ok(());
        }
        let response = client.send(0, &project.api_key, batch(&project, number)).await?;
        let status = response.status();
        assert!(response.headers().contains_key("retry-after"), "{status} without Retry-After");
        let body = client::expect(response, StatusCode::SERVICE_UNAVAILABLE).await?;
        assert_eq!(body["error"], "unavailable");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_outage_gets_503_and_bounded_gateway_memory() -> Result<()> {
    const REQUESTS: u64 = 2_000;
    const CONCURRENT: usize = 200;
    let mut kafka = ScratchStore::kafka().await?;
    let shared = [("KAFKA_BROKERS", kafka.address()), ("DELIVERY_TIMEOUT", "1s")];
    let mut installation = Installation::start_with("no_kafka_load", 1, 1, &shared).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    send_all(&client, &project, 0..20).await?;
    let before = installation.gateways[0].memory()?;

    kafka.kill()?;
    let next = Arc::new(AtomicU64::new(20));
    let senders: Vec<_> = (0..CONCURRENT)
        .map(|_| send_unavailable(client.clone(), project.clone(), next.clone(), 20 + REQUESTS))
        .map(tokio::spawn)
        .collect();
    for sender in senders {
        sender.await??;
    }
    let peak = installation.gateways[0].peak_memory()?;
    println!("the gateway's peak: {} MiB, {} before", peak / MIB, before / MIB);
    assert!(peak < before + GATEWAY_GROWTH, "the gateway grew from {before} to {peak} bytes");

    kafka.restart().await?;
    installation.gateways[0].ready().await?;
    wait::until("batches are accepted again", async || {
        let response = client.send(0, &project.api_key, batch(&project, 20 + REQUESTS)).await?;
        Ok((response.status() == StatusCode::OK).then_some(()))
    })
    .await
}
