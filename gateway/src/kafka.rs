//! Prepares the Kafka topics at startup, then monitors Kafka.

use crate::publish::KafkaPublisher;
use control::control_log::LogError;
use control::partition_layout;
use proto::topics::Topics;
use rdkafka::error::KafkaError;
use service::health::{Condition, Watch};
use service::kafka::KafkaBrokers;
use service::kafka::{TopicError, check_replicas, create_topics};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Maximum time for Kafka to describe a topic.
const METADATA_TIMEOUT: Duration = Duration::from_secs(3);
/// Interval between two checks of Kafka.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// Number of failed checks in a row after which the producer is replaced: it may be stuck while Kafka is
/// reachable.
const FAILURES_BEFORE_REPLACEMENT: u32 = 3;
/// Interval between two attempts to prepare the topics.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Parameters for preparing the topics.
#[derive(Debug, Clone)]
pub struct TopicSetup {
    pub brokers: KafkaBrokers,
    pub topics: Topics,
    /// Accepts a cluster on which a single replica can acknowledge.
    pub allow_single_replica: bool,
}

/// The reason why batches cannot be published to Kafka.
#[derive(Debug, thiserror::Error)]
pub enum KafkaSetupError {
    /// A topic could not be created, or its replication does not keep what an acknowledgement promises.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The declared number of keyed partitions could not be read or written.
    #[error(transparent)]
    Layout(#[from] LogError),
    /// The topic was recreated with fewer partitions than keyed records are spread over.
    #[error(
        "topic {topic} has {partitions} partitions, but its keyed records are spread over {declared}: add the missing partitions"
    )]
    TooFewPartitions {
        topic: String,
        partitions: u32,
        /// Number of partitions when the topic was first created.
        declared: u32,
    },
}

impl KafkaSetupError {
    /// Returns whether retrying cannot help.
    fn is_permanent(&self) -> bool {
        match self {
            Self::Topic(TopicError::TooFewReplicas(..)) | Self::TooFewPartitions { .. } => true,
            Self::Topic(_) | Self::Layout(_) => false,
        }
    }
}

/// Creates and checks the topics and opens the publisher, retrying until Kafka is reachable. Fails only with
/// a permanent error: the topics cannot keep what an acknowledgement promises.
pub async fn prepare(setup: TopicSetup, publisher: &Arc<KafkaPublisher>) -> Result<(), KafkaSetupError> {
    let TopicSetup { brokers, topics, allow_single_replica } = setup;
    // Never cancelled: this wait ends with the process.
    create_topics(&brokers, &topics, &CancellationToken::new()).await;
    loop {
        match check(&brokers, &topics, allow_single_replica, publisher).await {
            Ok(keyed_partitions) => {
                publisher.open(keyed_partitions);
                tracing::info!(topic = topics.metrics, keyed_partitions, "publishing to Kafka");
                return Ok(());
            }
            Err(error) if error.is_permanent() => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "Kafka topics not ready; retrying");
                sleep(RETRY_INTERVAL).await;
            }
        }
    }
}

/// Checks the topic of metrics. Returns the number of partitions over which its keyed records are spread.
async fn check(
    brokers: &KafkaBrokers,
    topics: &Topics,
    allow_single_replica: bool,
    publisher: &Arc<KafkaPublisher>,
) -> Result<u32, KafkaSetupError> {
    if !allow_single_replica {
        check_replicas(brokers, &topics.metrics).await?;
    }
    let partitions = count_partitions(publisher).await?;
    let topic = topics.metrics.clone();
    match partition_layout::keyed_partitions(brokers, topics, &topic, partitions).await? {
        declared if declared > partitions => {
            Err(KafkaSetupError::TooFewPartitions { topic, partitions, declared })
        }
        declared => Ok(declared),
    }
}

/// Checks forever that Kafka is reachable and that deliveries make progress, and replaces a stuck producer.
pub async fn monitor(publisher: Arc<KafkaPublisher>, reachable: Condition, deliveries: Watch) -> Infallible {
    let (mut was_reachable, mut last_reports, mut failures) = (false, None, 0);
    loop {
        let partitions = count_partitions(&publisher).await;
        match &partitions {
            Ok(_) if !was_reachable => tracing::info!("Kafka reachable"),
            Err(error) if was_reachable => tracing::warn!(%error, "Kafka unreachable"),
            _ => {}
        }
        was_reachable = partitions.is_ok();
        reachable.set(was_reachable);
        failures = if was_reachable { 0 } else { failures + 1 };
        if failures == FAILURES_BEFORE_REPLACEMENT {
            failures = 0;
            tracing::warn!("Kafka unreachable; replacing the producer");
            let replaced = publisher.clone();
            // If the replacement panics, the old producer stays in use.
            let _ = spawn_blocking(move || replaced.replace()).await;
        }
        match publisher.progress() {
            (0, _) => {
                last_reports = None;
                deliveries.idle();
            }
            (_, reports) if last_reports != Some(reports) => {
                last_reports = Some(reports);
                deliveries.progress();
            }
            _ => {}
        }
        sleep(CHECK_INTERVAL).await;
    }
}

/// Asks Kafka for the number of partitions of the publisher's topic.
async fn count_partitions(publisher: &Arc<KafkaPublisher>) -> Result<u32, TopicError> {
    let publisher = publisher.clone();
    let asked = spawn_blocking(move || publisher.partitions(METADATA_TIMEOUT)).await;
    // A panic in the blocking task is logged and counts as no answer; the next check starts afresh.
    Ok(asked.unwrap_or(Err(KafkaError::Canceled))?)
}
