//! What an installation is used for: from `outcomes.v1` into the table `usage_1m`, for the usage report.
//!
//! The records are states that only grow, and the table keeps the greatest of each count (`migrations/usage/`). So a
//! batch may be stored twice, by two workers, or after a newer one, and nothing is counted twice: Kafka's committed
//! offsets, written after the insert, are all that is needed. What is stored here decides nothing elsewhere.

mod consumer;
mod metrics;
mod record;
mod table;

use crate::dead_letter::DeadLetters;
use crate::migrations;
use clickhouse::Client;
use consumer::{Batch, Consumer};
use metrics::Metrics;
use prometheus_client::registry::Registry;
use proto::topics::Topics;
use rdkafka::error::KafkaError;
use service::settings::Common;
use std::fmt::Display;
use std::future::ready;
use std::time::Duration;
use table::Table;
use tokio_util::sync::CancellationToken;

/// Between two attempts at what failed.
const RETRY: Duration = Duration::from_secs(1);

/// Stores how requests ended.
pub struct Usage {
    brokers: String,
    topic: String,
    database: String,
    client: Client,
    dead: DeadLetters,
    metrics: Metrics,
}

impl Usage {
    /// Of the installation of `common`, into the ClickHouse of `client`.
    pub fn new(
        common: &Common,
        topics: &Topics,
        client: &Client,
        registry: &mut Registry,
    ) -> Result<Self, KafkaError> {
        Ok(Self {
            brokers: common.kafka_brokers.clone(),
            topic: topics.outcomes.clone(),
            database: service::clickhouse::usage_database(&common.namespace),
            client: client.clone(),
            dead: DeadLetters::new(&common.kafka_brokers, &topics.dead, &topics.outcomes)?,
            metrics: Metrics::new(registry),
        })
    }

    /// Runs until `stop`. The topics must be there.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = self.store_for_ever() => {}
            // What was begun is stored again by the next worker, which changes nothing.
            () = stop.cancelled() => {}
        }
    }

    async fn store_for_ever(&self) {
        let made = || migrations::apply_usage(&self.client, &self.database);
        self.until_ok("the table of usage cannot be made", made).await;
        let group = format!("tidemark-usage-{}", self.database);
        let joined = || ready(Consumer::join(&self.brokers, &self.topic, &group));
        let table = Table::new(&self.client, &self.database);
        loop {
            let consumer = self.until_ok("the topic of outcomes cannot be read", joined).await;
            while let Some(batch) = consumer.batch().await {
                self.store(&table, &batch).await;
                consumer.commit(&batch);
            }
        }
    }

    async fn store(&self, table: &Table, batch: &Batch) {
        for (partition, offset, payload, poison) in &batch.poison {
            tracing::warn!(partition, offset, %poison, "a record of outcomes cannot be stored");
            let kept = || self.dead.keep(*partition, *offset, None, payload, poison);
            self.until_ok("a record that cannot be stored cannot be kept aside", kept).await;
            self.metrics.dead_letters.inc();
        }
        self.until_ok("usage cannot be stored", || table.insert(&batch.rows)).await;
        self.metrics.rows.inc_by(batch.rows.len() as u64);
    }

    async fn until_ok<T, E, F>(&self, trouble: &str, attempt: impl Fn() -> F) -> T
    where
        E: Display,
        F: Future<Output = Result<T, E>>,
    {
        loop {
            match attempt().await {
                Ok(done) => return done,
                Err(error) => tracing::warn!(%error, "{trouble}; trying again"),
            }
            self.metrics.retries.inc();
            tokio::time::sleep(RETRY).await;
        }
    }
}
