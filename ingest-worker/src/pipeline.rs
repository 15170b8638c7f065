//! The way of the data: the group assigns partitions; for each, records are fetched from where the table ends, gathered
//! into blocks, and inserted by the exactly-once protocol.

use crate::dead_letter::DeadLetters;
use crate::fetch::Fetch;
use crate::generation::{GenerationError, Generator};
use crate::log::Log;
use crate::membership::{Change, Membership};
use crate::metrics::Metrics;
use crate::pace::Pace;
use crate::partition::{Driver, Shared};
use crate::settings::Settings;
use crate::store::Store;
use accounts::control_log::{self, ControlWriter};
use proto::topics::Topics;
use proto::v1::Generation;
use rdkafka::error::KafkaError;
use service::health::{Condition, Health};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const RETRY: Duration = Duration::from_secs(2);
const LAG: Duration = Duration::from_secs(2);

/// Stores metrics until `stop`.
pub struct Pipeline {
    /// The settings.
    pub settings: Settings,
    /// The installation's topics.
    pub topics: Topics,
    /// Writes the control log.
    pub writer: ControlWriter,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// Health.
    pub health: Health,
    /// Holds once the worker knows where to write.
    pub ready: Condition,
}

impl Pipeline {
    /// Runs until `stop`, then brings what has begun to its end.
    pub async fn run(self, stop: CancellationToken) -> Result<(), KafkaError> {
        let Some((generation, log_id)) = self.find_generation(&stop).await else { return Ok(()) };
        self.ready.set(true);
        tracing::info!(
            number = generation.number,
            database = generation.database,
            "writing to this generation"
        );
        let common = &self.settings.common;
        let brokers = &common.kafka_brokers;
        let group = format!("tidemark-ingest-{}", generation.database);
        let (membership, mut changes) =
            Membership::join(brokers, &self.topics.metrics, &group, stop.clone())?;
        // Fetching goes on until the drivers are done.
        let fetching = CancellationToken::new();
        let scope = format!("{}/{log_id}", generation.number);
        let shared = Shared {
            store: Store::new(&self.settings.clickhouse, &generation.database, scope),
            fetch: Fetch::start(brokers, &self.topics.metrics, fetching.clone())?,
            log: Log::new(brokers, &self.topics.metrics),
            membership,
            dead: DeadLetters::new(brokers, &self.topics.dead, &self.topics.metrics)?,
            pace: Pace::default(),
            metrics: self.metrics.clone(),
            health: self.health.clone(),
        };
        tokio::spawn(watch_lag(shared.clone(), stop.clone()));
        let mut owned: HashMap<i32, CancellationToken> = HashMap::new();
        let mut drivers = JoinSet::new();
        loop {
            let change = tokio::select! {
                change = changes.recv() => change,
                () = stop.cancelled() => None,
                Some(ended) = drivers.join_next() => {
                    if let Err(error) = ended {
                        // A bug: no part of the work may stop without a word. Whoever starts us starts anew.
                        tracing::error!(%error, "the driver of a partition died");
                        std::process::exit(70);
                    }
                    continue;
                }
            };
            match change {
                Some(Change::Assigned(partitions)) => {
                    for partition in partitions {
                        let begin = generation.begins.get(&partition).copied().unwrap_or(0);
                        let token = stop.child_token();
                        drivers.spawn(Driver::new(shared.clone(), partition, begin).run(token.clone()));
                        if let Some(earlier) = owned.insert(partition, token) {
                            earlier.cancel();
                        }
                    }
                }
                Some(Change::Revoked(partitions)) => {
                    for partition in partitions {
                        if let Some(token) = owned.remove(&partition) {
                            token.cancel();
                        }
                    }
                }
                None => break,
            }
            shared.pace.set_own(owned.len());
            self.metrics.owned(owned.len());
        }
        while drivers.join_next().await.is_some() {}
        fetching.cancel();
        Ok(())
    }

    /// Finds out which generation to write to; whatever is in the way is said, and tried again.
    async fn find_generation(&self, stop: &CancellationToken) -> Option<(Generation, String)> {
        let common = &self.settings.common;
        let generator = Generator {
            brokers: &common.kafka_brokers,
            topics: &self.topics,
            namespace: &common.namespace,
            writer: &self.writer,
            client: &self.settings.clickhouse,
        };
        loop {
            let attempt = async {
                let log_id = control_log::log_id(&common.kafka_brokers, &self.topics, &self.writer).await?;
                Ok((generator.current().await?, log_id))
            };
            let found: Result<_, GenerationError> = tokio::select! {
                found = attempt => found,
                () = stop.cancelled() => return None,
            };
            match found {
                Ok(found) => return Some(found),
                Err(error @ GenerationError::Refused(_)) => {
                    tracing::error!(%error, "REFUSED: nothing is written")
                }
                Err(error) => tracing::warn!(%error, "cannot begin yet"),
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = stop.cancelled() => return None,
            }
        }
    }
}

async fn watch_lag(shared: Shared, stop: CancellationToken) {
    let mut tick = tokio::time::interval(LAG);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        match shared.log.bounds().await {
            Ok(bounds) => {
                shared.pace.set_all(bounds.len());
                shared.metrics.log_ends(bounds.into_iter().map(|(partition, _, end)| (partition, end)));
            }
            Err(error) => tracing::debug!(%error, "the lag could not be read"),
        }
    }
}
