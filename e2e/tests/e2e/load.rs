//! Continuous load: clients that send batches of unique values while a test changes the installation.

use crate::support::point_counts;
use e2e::{Client, Project, Result, wait};
use reqwest::StatusCode;
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::task::JoinHandle;

const SENDERS: u64 = 8;
const BATCH_SIZE: u64 = 10;
/// Pause before a client tries again.
pub const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// State that clients and test share.
pub struct Load {
    client: RwLock<Client>,
    project: Project,
    stopped: AtomicBool,
    accepted: AtomicUsize,
    unavailable: AtomicUsize,
    /// Status of a response other than success and 503; 0 if there was none.
    unexpected: AtomicU64,
}

/// The clients of a [`Load`].
pub struct Senders(Vec<JoinHandle<u64>>);

impl Load {
    /// Starts the clients. Each sends a batch, with an idempotency key, to one gateway after the other until it
    /// is accepted.
    pub fn start(client: Client, project: Project) -> (Arc<Self>, Senders) {
        let load = Arc::new(Self {
            client: RwLock::new(client),
            project,
            stopped: AtomicBool::new(false),
            accepted: AtomicUsize::new(0),
            unavailable: AtomicUsize::new(0),
            unexpected: AtomicU64::new(0),
        });
        let senders = (0..SENDERS).map(|sender| tokio::spawn(load.clone().send(sender))).collect();
        (load, Senders(senders))
    }

    /// Makes the clients use other gateways.
    pub fn set_client(&self, client: Client) {
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = client;
    }

    fn client(&self) -> Client {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a response; returns whether it is a success.
    pub fn record(&self, status: StatusCode) -> bool {
        if status == StatusCode::SERVICE_UNAVAILABLE {
            self.unavailable.fetch_add(1, Ordering::Relaxed);
        } else if !status.is_success() {
            self.unexpected.store(u64::from(status.as_u16()), Ordering::Relaxed);
        }
        status.is_success()
    }

    /// Number of accepted batches so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Number of 503 responses so far.
    pub fn unavailable(&self) -> usize {
        self.unavailable.load(Ordering::Relaxed)
    }

    /// Status of a response other than success and 503; 0 if there was none.
    pub fn unexpected(&self) -> u64 {
        self.unexpected.load(Ordering::Relaxed)
    }

    /// Tells the clients to stop after their current batches.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Reports whether [`Self::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Waits until `batches` more batches are accepted.
    pub async fn wait_for_progress(&self, batches: usize) -> Result<()> {
        let before = self.accepted();
        wait::until(&format!("{batches} more batches are accepted"), async || {
            Ok((self.accepted() - before >= batches).then_some(()))
        })
        .await
    }

    /// Sends batches until stopped; returns how many, all of which were accepted. No other sender sends the
    /// same values.
    async fn send(self: Arc<Self>, sender: u64) -> u64 {
        for batch in 0.. {
            if self.is_stopped() {
                return batch;
            }
            let first = (sender << 32) + batch * BATCH_SIZE;
            let metrics: Vec<_> =
                (first..first + BATCH_SIZE).map(|value| json!({"metricId": "m", "value": value})).collect();
            let body = json!({"projectId": self.project.project_id, "metrics": metrics}).to_string();
            let key = format!("sender-{sender}-batch-{batch}");
            for gateway in sender as usize.. {
                let client = self.client();
                let response =
                    client.send_idempotent(gateway, &self.project.api_key, &key, body.clone()).await;
                if response.is_ok_and(|response| self.record(response.status())) {
                    self.accepted.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
        0
    }
}

impl Senders {
    /// Waits for the clients of a stopped load, and checks that every accepted metric is stored exactly once.
    pub async fn check_all_stored_once(self, clickhouse: &clickhouse::Client) -> Result<()> {
        let mut accepted_by_sender = Vec::new();
        for (sender, task) in (0_u64..).zip(self.0) {
            accepted_by_sender.push((sender, task.await? * BATCH_SIZE));
        }
        let accepted: u64 = accepted_by_sender.iter().map(|(_, metrics)| metrics).sum();
        crate::support::wait_for_points(clickhouse, accepted).await?;
        let counts = point_counts(clickhouse).await?;
        assert_eq!(counts, (accepted, accepted, accepted), "metrics were lost or stored twice");
        let stored_by_sender: Vec<(u64, u64)> = clickhouse
            .query(
                "SELECT bitShiftRight(toUInt64(value), 32) AS sender, count() FROM points \
                 GROUP BY sender ORDER BY sender",
            )
            .fetch_all()
            .await?;
        assert_eq!(stored_by_sender, accepted_by_sender);
        Ok(())
    }
}
