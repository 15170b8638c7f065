//! What a store that is away may never do: make a service grow with the backlog, make it refuse what Kafka can keep, or
//! lose or double anything when it is back.
//!
//! `TIDEMARK_BACKPRESSURE_BATCHES` sets how many batches are sent while ClickHouse is away, for a longer run: each is
//! about 40 KB in the log. The ceilings are the same however many they are.

use e2e::{Client, Installation, OwnStore, Project, Result, client, wait};
use reqwest::StatusCode;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Together far more than a worker has room for: 32 MiB of each of the 4 partitions.
const BATCHES: u64 = 10_000;
const METRICS: u64 = 100;
const SENDERS: usize = 4;
const MIB: u64 = 1 << 20;
/// How far the worker may grow: the rooms of its partitions, which hold records, then the blocks that are made of them.
const WORKER: u64 = 450 * MIB;
/// How far the gateway may grow: it holds requests in flight alone.
const GATEWAY: u64 = 100 * MIB;

fn batches() -> u64 {
    let wanted = std::env::var("TIDEMARK_BACKPRESSURE_BATCHES").ok();
    wanted.and_then(|number| number.parse().ok()).unwrap_or(BATCHES)
}

/// A batch whose values are numbers of its own. Its texts are as long as they may be, but for those of the first metric.
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

/// Sends the batches up to `end`; every one must be accepted.
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
        let answer = client.send(gateway, &project.api_key, batch(&project, number)).await?;
        client::expect(answer, StatusCode::OK).await?;
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
async fn while_clickhouse_is_away_kafka_holds_the_backlog_and_no_service_grows_with_it() -> Result<()> {
    let mut engine = OwnStore::clickhouse().await?;
    let url = format!("http://{}", engine.address());
    let mut installation =
        Installation::start_with("backpressure", 1, 1, &[("CLICKHOUSE_URL", &url)]).await?;
    let store = clickhouse::Client::default().with_url(&url).with_database(installation.database());
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let counts = async || -> Result<(u64, u64, u64)> {
        let sql = "SELECT count(), uniqExact(partition, offset, index), uniqExact(value) FROM points";
        Ok(store.query(sql).fetch_one().await?)
    };
    const FIRST: u64 = 100;
    send_all(&client, &project, 0..FIRST).await?;
    wait::until("the first are stored", async || Ok((counts().await?.0 == FIRST * METRICS).then_some(())))
        .await?;

    engine.kill()?;
    let [worker, gateway] = [&installation.workers[0], &installation.gateways[0]].map(e2e::Process::pid);
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
    let mut last = 0;
    while last < all * METRICS {
        let known = last;
        last = wait::until("more of the backlog is stored", async || {
            let stored = counts().await?.0;
            Ok((stored > known).then_some(stored))
        })
        .await?;
    }
    assert_eq!(counts().await?, (all * METRICS, all * METRICS, all * METRICS));
    let short = client.read("/api/v1/metrics/short", &project.manage_key).await?;
    assert_eq!(short["points"], all);
    for process in installation.workers.iter_mut().chain(&mut installation.gateways) {
        process.ready().await?;
    }
    assert_eq!(
        [&installation.workers[0], &installation.gateways[0]].map(e2e::Process::pid),
        [worker, gateway],
        "nobody had to start anything again"
    );
    let peaks = [installation.workers[0].peak_memory()?, installation.gateways[0].peak_memory()?];
    println!("peaks: worker {} MiB, gateway {} MiB", peaks[0] / MIB, peaks[1] / MIB);
    assert!(peaks[0] < before[0] + WORKER, "the worker grew from {} to {} bytes", before[0], peaks[0]);
    assert!(peaks[1] < before[1] + GATEWAY, "the gateway grew from {} to {} bytes", before[1], peaks[1]);
    Ok(())
}

/// Sends the batches up to `end`; each must be told to come again later.
async fn refused(client: Client, project: Project, next: Arc<AtomicU64>, end: u64) -> Result<()> {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= end {
            return Ok(());
        }
        let answer = client.send(0, &project.api_key, batch(&project, number)).await?;
        assert!(answer.headers().contains_key("retry-after"), "{} without Retry-After", answer.status());
        let body = client::expect(answer, StatusCode::SERVICE_UNAVAILABLE).await?;
        assert_eq!(body["error"], "unavailable");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_kafka_is_away_every_request_is_told_to_come_again_and_the_gateway_stays_small() -> Result<()> {
    const REQUESTS: u64 = 2_000;
    const AT_ONCE: usize = 200;
    let mut kafka = OwnStore::kafka().await?;
    let shared = [("KAFKA_BROKERS", kafka.address()), ("DELIVERY_TIMEOUT", "1s")];
    let mut installation = Installation::start_with("no_kafka_load", 1, 1, &shared).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    send_all(&client, &project, 0..20).await?;
    let before = installation.gateways[0].memory()?;

    kafka.kill()?;
    let next = Arc::new(AtomicU64::new(20));
    let senders: Vec<_> = (0..AT_ONCE)
        .map(|_| refused(client.clone(), project.clone(), next.clone(), 20 + REQUESTS))
        .map(tokio::spawn)
        .collect();
    for sender in senders {
        sender.await??;
    }
    let peak = installation.gateways[0].peak_memory()?;
    println!("the gateway's peak: {} MiB, {} before", peak / MIB, before / MIB);
    assert!(peak < before + GATEWAY, "the gateway grew from {before} to {peak} bytes");

    kafka.restart().await?;
    installation.gateways[0].ready().await?;
    wait::until("batches are accepted again", async || {
        let answer = client.send(0, &project.api_key, batch(&project, 20 + REQUESTS)).await?;
        Ok((answer.status() == StatusCode::OK).then_some(()))
    })
    .await
}
