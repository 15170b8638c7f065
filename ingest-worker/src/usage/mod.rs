//! Copies the outcomes of requests from `outcomes.v1` to the table `usage_1m`, for the usage report.
//!
//! A record holds the states of counters that only grow, and the table keeps the greatest state of each counter
//! (`migrations/usage/`). So nothing is counted twice if a batch is stored twice, by two workers, or after a newer one.
//! Committing Kafka offsets after the insert is therefore sufficient. No other part of the system relies on this table.

mod consumer;
mod metrics;
mod record;
mod table;

use crate::dead_letter::DeadLetterWriter;
use crate::migrations;
use clickhouse::Client;
use consumer::{Batch, Consumer, RejectedRecord};
use metrics::Metrics;
use prometheus_client::registry::Registry;
use proto::topics::Topics;
use rdkafka::error::KafkaError;
use service::backoff::Backoff;
use service::kafka::KafkaBrokers;
use std::fmt::Display;
use std::future::ready;
use std::time::Duration;
use table::Table;
use tokio_util::sync::CancellationToken;

/// Delay before a failed request is retried.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(5));

/// Stores the outcomes of requests.
pub struct Usage {
    brokers: KafkaBrokers,
    topic: String,
    database: String,
    client: Client,
    dead_letters: DeadLetterWriter,
    metrics: Metrics,
}

impl Usage {
    /// Prepares the consumer and registers its metrics; connects to nothing yet.
    pub fn new(
        brokers: &KafkaBrokers,
        namespace: &str,
        topics: &Topics,
        client: &Client,
        registry: &mut Registry,
    ) -> Result<Self, KafkaError> {
        Ok(Self {
            brokers: brokers.clone(),
            topic: topics.outcomes.clone(),
            database: service::clickhouse::usage_database(namespace),
            client: client.clone(),
            dead_letters: DeadLetterWriter::new(brokers, &topics.dead, &topics.outcomes)?,
            metrics: Metrics::new(registry),
        })
    }

    /// Runs until `stop`. The topics must exist.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = self.consume() => {}
            // The next worker stores an interrupted batch again, which changes nothing.
            () = stop.cancelled() => {}
        }
    }

    async fn consume(&self) {
        let migrate = || migrations::apply_usage(&self.client, &self.database);
        self.retry_until_ok("migrate the usage database", migrate).await;
        let group = format!("tidemark-usage-{}", self.database);
        let join = || ready(Consumer::join(&self.brokers, &self.topic, &group));
        let table = Table::new(&self.client, &self.database);
        loop {
            let consumer = self.retry_until_ok("join the consumer group", join).await;
            while let Some(batch) = consumer.next_batch().await {
                self.store(&table, &batch).await;
                consumer.commit(&batch);
            }
        }
    }

    async fn store(&self, table: &Table, batch: &Batch) {
        for RejectedRecord { partition, offset, payload, reason } in &batch.rejected {
            let write = || self.dead_letters.write(*partition, *offset, None, payload, reason);
            self.retry_until_ok("write a dead letter", write).await;
            self.metrics.dead_letters.inc();
            tracing::warn!(partition, offset, %reason, "record of outcomes written to the dead-letter topic");
        }
        self.retry_until_ok("store usage", || table.insert(&batch.rows)).await;
        self.metrics.rows.inc_by(batch.rows.len() as u64);
    }

    async fn retry_until_ok<T, E, F>(&self, operation: &'static str, request: impl Fn() -> F) -> T
    where
        E: Display,
        F: Future<Output = Result<T, E>>,
    {
        let on_failure = |_, error: &E| {
            tracing::warn!(operation, %error, "usage request failed; retrying");
            self.metrics.retries.inc();
        };
        BACKOFF.retry(request, on_failure).await
    }
}
