//! Gateways and workers are added and taken away under load, as an autoscaler does it.
//!
//! What may never happen: a metric that was answered 200 is lost or stored twice, whoever looks after its partition and
//! however often that changes; a worker that was added gets no partition while another has several.

use e2e::{Client, Installation, Process, Project, Result, wait};
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

const SENDERS: u64 = 8;
const SIZE: u64 = 10;
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(10);
/// How many batches are accepted between two changes.
const BETWEEN: usize = 300;
const PARTITIONS: usize = 4;

#[derive(Clone)]
struct Load {
    /// Knows the gateways of the moment.
    client: Arc<RwLock<Client>>,
    project: Project,
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicUsize>,
}

impl Load {
    fn client(&self) -> Client {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends batches with values that nobody else sends, each until it is accepted; tells how many.
    async fn send(self, sender: u64) -> u64 {
        for batch in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                return batch;
            }
            let first = (sender << 32) + batch * SIZE;
            let metrics: Vec<_> =
                (first..first + SIZE).map(|value| json!({"metricId": "m", "value": value})).collect();
            let body = json!({"projectId": self.project.project_id, "metrics": metrics}).to_string();
            let key = format!("sender-{sender}-batch-{batch}");
            for gateway in (sender + batch) as usize.. {
                let answer =
                    self.client().send_once(gateway, &self.project.api_key, &key, body.clone()).await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    self.accepted.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
        0
    }

    /// Waits until the clients have got on since.
    async fn goes_on(&self) -> Result<()> {
        let before = self.accepted.load(Ordering::Relaxed);
        wait::until("the clients get on", async || {
            Ok((self.accepted.load(Ordering::Relaxed) - before >= BETWEEN).then_some(()))
        })
        .await
    }
}

/// Waits until the workers share the partitions evenly.
async fn shared_among(workers: &[Process]) -> Result<()> {
    let share = (PARTITIONS / workers.len()) as f64;
    wait::until(&format!("{} workers share the partitions", workers.len()), async || {
        for worker in workers {
            if worker.metric("tidemark_ingest_partitions").await? != share {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_and_workers_that_come_and_go_under_load_lose_and_double_nothing() -> Result<()> {
    let mut installation = Installation::start("scale", 1, 1).await?;
    let client = installation.client();
    let load = Load {
        project: client.project("unlimited").await?,
        client: Arc::new(RwLock::new(client)),
        stop: Arc::default(),
        accepted: Arc::default(),
    };
    let senders: Vec<_> = (0..SENDERS).map(|sender| tokio::spawn(load.clone().send(sender))).collect();
    load.goes_on().await?;

    for count in [2, 4] {
        while installation.workers.len() < count {
            installation.add_worker()?.ready().await?;
            installation.add_gateway(&[])?.ready().await?;
        }
        *load.client.write().unwrap_or_else(PoisonError::into_inner) = installation.client();
        shared_among(&installation.workers).await?;
        load.goes_on().await?;
    }
    for count in [2, 1] {
        while installation.workers.len() > count {
            for mut leaving in [installation.workers.pop(), installation.gateways.pop()].into_iter().flatten()
            {
                let status = leaving.terminate().await?;
                assert!(status.success(), "it ended with {status}; its log: {}", leaving.log());
            }
        }
        shared_among(&installation.workers).await?;
        load.goes_on().await?;
    }

    load.stop.store(true, Ordering::Relaxed);
    let mut accepted = 0;
    for sender in senders {
        accepted += sender.await? * SIZE;
    }
    let clickhouse = installation.clickhouse()?;
    wait::until("all accepted metrics are stored", async || {
        let stored: u64 = clickhouse.query("SELECT count() FROM points").fetch_one().await?;
        Ok((stored >= accepted).then_some(()))
    })
    .await?;
    let counts: (u64, u64, u64) = clickhouse
        .query("SELECT count(), uniqExact(partition, offset, index), uniqExact(value) FROM points")
        .fetch_one()
        .await?;
    assert_eq!(counts, (accepted, accepted, accepted), "lost or stored twice");
    Ok(())
}
