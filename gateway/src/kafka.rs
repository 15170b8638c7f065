//! Keeps the publisher's side of Kafka: makes and checks the topics at the start, learns how keyed records are spread, then
//! watches that Kafka is there.

use crate::publish::KafkaPublisher;
use accounts::control_log::LogError;
use accounts::layout;
use proto::topics::Topics;
use service::health::{Condition, Watch};
use service::kafka::{TopicError, check_replicas, make_topics};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How long Kafka may take to describe a topic.
const METADATA_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two looks at Kafka.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// After so many looks without an answer the producer is replaced: it may have lost its way to a Kafka that is there.
const GIVE_UP_AFTER: u32 = 3;
/// Between two tries to prepare the topics.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// What the topics need.
#[derive(Debug, Clone)]
pub struct Preparation {
    /// Kafka.
    pub brokers: String,
    /// The installation's topics.
    pub topics: Topics,
    /// Whether an acknowledgement may mean a single copy on a cluster.
    pub allow_single_replica: bool,
}

/// Why batches cannot go to Kafka.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// A topic could not be made, or is not fit for what an acknowledgement promises.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// How keyed records are spread could not be read or declared.
    #[error(transparent)]
    Layout(#[from] LogError),
    /// The topic was made anew, with fewer partitions than keyed records were spread over before.
    #[error(
        "topic {topic} has {partitions} partitions, but its keyed records are spread over {declared}: add the missing ones"
    )]
    TooFewPartitions {
        /// The topic.
        topic: String,
        /// How many it has.
        partitions: u32,
        /// How many were declared when it was first made.
        declared: u32,
    },
}

impl Unfit {
    /// Whether waiting does not mend it.
    fn is_final(&self) -> bool {
        match self {
            Self::Topic(TopicError::TooFewReplicas(..)) | Self::TooFewPartitions { .. } => true,
            Self::Topic(_) | Self::Layout(_) => false,
        }
    }
}

/// Makes the topics, checks them, and opens the publisher, trying until Kafka is there. The error is one that waiting
/// does not mend: the topics are not fit for what an acknowledgement promises.
pub async fn open(preparation: Preparation, publisher: &Arc<KafkaPublisher>) -> Result<(), Unfit> {
    let Preparation { brokers, topics, allow_single_replica } = preparation;
    // Nobody stops it: what waits here ends with the process.
    make_topics(&brokers, &topics, &CancellationToken::new()).await;
    loop {
        match check(&brokers, &topics, allow_single_replica, publisher).await {
            Ok(spread) => {
                publisher.open(spread);
                tracing::info!(topic = topics.metrics, keyed_partitions = spread, "batches go to Kafka");
                return Ok(());
            }
            Err(error) if error.is_final() => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "the topics are not ready; trying again");
                sleep(TRY_EVERY).await;
            }
        }
    }
}

/// Over how many partitions keyed batches are spread, if the topic is fit.
async fn check(
    brokers: &str,
    topics: &Topics,
    allow_single_replica: bool,
    publisher: &Arc<KafkaPublisher>,
) -> Result<u32, Unfit> {
    if !allow_single_replica {
        check_replicas(brokers, &topics.metrics).await?;
    }
    let publisher = publisher.clone();
    let asked = spawn_blocking(move || publisher.partitions(METADATA_TIMEOUT).map_err(Into::into)).await;
    let partitions = flat(asked)?;
    let topic = topics.metrics.clone();
    match layout::keyed_partitions(brokers, topics, &topic, partitions).await? {
        declared if declared > partitions => Err(Unfit::TooFewPartitions { topic, partitions, declared }),
        declared => Ok(declared),
    }
}

/// For ever: says whether Kafka answers, and whether deliveries move.
pub async fn watch(publisher: Arc<KafkaPublisher>, reachable: Condition, deliveries: Watch) -> Infallible {
    let (mut was_reachable, mut last_reports, mut failures) = (false, None, 0);
    loop {
        let asked = publisher.clone();
        let partitions =
            flat(spawn_blocking(move || asked.partitions(METADATA_TIMEOUT).map_err(Into::into)).await);
        match &partitions {
            Ok(_) if !was_reachable => tracing::info!("Kafka is reached"),
            Err(error) if was_reachable => tracing::warn!(%error, "Kafka is not reached"),
            _ => {}
        }
        was_reachable = partitions.is_ok();
        reachable.set(was_reachable);
        failures = if was_reachable { 0 } else { failures + 1 };
        if failures == GIVE_UP_AFTER {
            failures = 0;
            tracing::warn!("Kafka does not answer: trying with a new producer");
            let replaced = publisher.clone();
            // A panic of ours leaves the old one in its place.
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
        sleep(LOOK_EVERY).await;
    }
}

/// A panic of ours within the blocking part counts as Kafka not answering: it is in the log, and the next try is new.
fn flat<T>(result: Result<Result<T, TopicError>, JoinError>) -> Result<T, TopicError> {
    result.unwrap_or_else(|_| Err(TopicError::Kafka(rdkafka::error::KafkaError::Canceled)))
}
