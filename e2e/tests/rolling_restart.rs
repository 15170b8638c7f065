//! Every service is replaced under load, as an upgrade does it: SIGTERM, and a new process when the old one has ended.
//!
//! What may never happen: a metric that was answered 200 is lost or stored twice; a service does not end by itself in the
//! time that it has; a client is answered 5xx, except by at most [`FEW`] 503. A client whose connection is refused or cut
//! goes to the other gateway with the same idempotency key, as the load balancers of `deploy/` and our examples do.

use e2e::{Client, Installation, Project, Result, wait};
use reqwest::StatusCode;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

const SENDERS: u64 = 8;
const SIZE: u64 = 10;
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(10);
/// How many batches are accepted between two restarts.
const BETWEEN: usize = 200;
/// How many 503 there may be in all: keys that are looked up while a new gateway's first connection to Redis comes up.
const FEW: usize = 8;

/// What the clients saw.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    accepted: AtomicUsize,
    reads: AtomicUsize,
    unavailable: AtomicUsize,
    /// Any other answer that is no success: the number of the first, or 0.
    other: AtomicU64,
}

impl Seen {
    fn answered(&self, status: StatusCode) -> bool {
        if status == StatusCode::SERVICE_UNAVAILABLE {
            self.unavailable.fetch_add(1, Ordering::Relaxed);
        } else if !status.is_success() {
            self.other.store(u64::from(status.as_u16()), Ordering::Relaxed);
        }
        status.is_success()
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Sends batches with values that nobody else sends, each until it is accepted; tells how many.
async fn send(sender: u64, client: Client, project: Project, seen: Arc<Seen>) -> u64 {
    for batch in 0.. {
        if seen.stopped() {
            return batch;
        }
        let first = (sender << 32) + batch * SIZE;
        let metrics: Vec<_> =
            (first..first + SIZE).map(|value| json!({"metricId": "m", "value": value})).collect();
        let body = json!({"projectId": project.project_id, "metrics": metrics}).to_string();
        let key = format!("sender-{sender}-batch-{batch}");
        for attempt in sender as usize.. {
            let answer = client.send_once(attempt, &project.api_key, &key, body.clone()).await;
            if answer.is_ok_and(|answer| seen.answered(answer.status())) {
                seen.accepted.fetch_add(1, Ordering::Relaxed);
                break;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
    0
}

/// Reads without an end. There is one query API, so that nobody answers while it is replaced.
async fn read(client: Client, project: Project, seen: Arc<Seen>) {
    while !seen.stopped() {
        if let Ok(answer) = client.get("/api/v1/projects", &project.manage_key).await
            && seen.answered(answer.status())
        {
            seen.reads.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Waits until the clients have got on since.
async fn under_load(seen: &Seen) -> Result<()> {
    let (accepted, reads) = (seen.accepted.load(Ordering::Relaxed), seen.reads.load(Ordering::Relaxed));
    wait::until("the clients get on", async || {
        let sent = seen.accepted.load(Ordering::Relaxed) - accepted >= BETWEEN;
        Ok((sent && seen.reads.load(Ordering::Relaxed) > reads).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_is_replaced_under_load_and_nothing_is_lost_doubled_or_refused() -> Result<()> {
    let mut installation = Installation::start("rolling", 2, 2).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let seen = Arc::new(Seen::default());
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| tokio::spawn(send(sender, client.clone(), project.clone(), seen.clone())))
        .collect();
    let reader = tokio::spawn(read(client.clone(), project.clone(), seen.clone()));

    under_load(&seen).await?;
    let Installation { gateways, workers, query, .. } = &mut installation;
    for process in gateways.iter_mut().chain(workers).chain(std::iter::once(query)) {
        let status = process.terminate().await?;
        assert!(status.success(), "it ended with {status}; its log: {}", process.log());
        process.restart()?;
        process.ready().await?;
        under_load(&seen).await?;
    }

    seen.stop.store(true, Ordering::Relaxed);
    let mut sent = Vec::new();
    for (sender, task) in (0u64..).zip(senders) {
        sent.push((sender, task.await?));
    }
    reader.await?;
    let (few, other) = (seen.unavailable.load(Ordering::Relaxed), seen.other.load(Ordering::Relaxed));
    println!("{} batches accepted, {few} answers of 503", seen.accepted.load(Ordering::Relaxed));
    assert_eq!(other, 0, "a client was answered {other}");
    assert!(few <= FEW, "{few} answers of 503");

    let clickhouse = installation.clickhouse()?;
    let accepted: u64 = sent.iter().map(|(_, batches)| batches * SIZE).sum();
    wait::until("all accepted metrics are stored", async || {
        let stored: u64 = clickhouse.query("SELECT count() FROM points").fetch_one().await?;
        Ok((stored >= accepted).then_some(()))
    })
    .await?;
    let (count, places, values): (u64, u64, u64) = clickhouse
        .query("SELECT count(), uniqExact(partition, offset, index), uniqExact(value) FROM points")
        .fetch_one()
        .await?;
    assert_eq!((count, places, values), (accepted, accepted, accepted), "lost or stored twice");
    let by_sender: Vec<(u64, u64)> = clickhouse
        .query("SELECT bitShiftRight(toUInt64(value), 32) AS sender, count() FROM points GROUP BY sender ORDER BY sender")
        .fetch_all()
        .await?;
    let expected: Vec<(u64, u64)> = sent.iter().map(|&(sender, batches)| (sender, batches * SIZE)).collect();
    assert_eq!(by_sender, expected);
    Ok(())
}
