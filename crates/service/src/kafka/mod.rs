//! Kafka's basics: client settings that all services share, topics made with what they need, and clients that find
//! their way again.

pub mod reader;
pub mod writer;

use proto::topics::Topics;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long an administrative request may take.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two tries to make the topics.
const RETRY: Duration = Duration::from_secs(1);

/// Why topics could not be made or are not fit for use.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// Kafka could not be asked.
    #[error("Kafka did not answer: {0}")]
    Kafka(#[from] KafkaError),
    /// Kafka refused to make the topic.
    #[error("Kafka refused to make topic {0}: {1}")]
    Refused(String, RDKafkaErrorCode),
    /// An acknowledgement would mean one copy on a cluster that could hold more.
    #[error(
        "topic {0} acknowledges with {1} in-sync replica(s) on a cluster of {2} brokers, so one lost broker may lose \
         acknowledged data: set min.insync.replicas to 2 or more, or allow it with --allow-single-replica"
    )]
    TooFewReplicas(String, i32, usize),
}

/// Settings that every client begins with, TLS and authentication among them.
pub fn client(brokers: &str, client_id: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in crate::connections::current().kafka() {
        config.set(*name, value);
    }
    config
        .set("bootstrap.servers", brokers)
        .set("client.id", client_id)
        // A broker that went away is tried again soon: people are waiting behind a 503.
        .set("reconnect.backoff.max.ms", "1000")
        .set("socket.connection.setup.timeout.ms", "5000");
    config
}

/// Makes the topics that are missing, for as long as it takes or until `stop`; tells whether they are there.
pub async fn make_topics(brokers: &str, topics: &Topics, stop: &CancellationToken) -> bool {
    loop {
        let made = tokio::select! {
            made = ensure_topics(brokers, topics) => made,
            () = stop.cancelled() => return false,
        };
        match made {
            Ok(()) => return true,
            Err(error) => tracing::warn!(%error, "the topics cannot be made yet; trying again"),
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = stop.cancelled() => return false,
        }
    }
}

/// Makes the topics that are missing; on a cluster with three copies of which two must acknowledge.
async fn ensure_topics(brokers: &str, topics: &Topics) -> Result<(), TopicError> {
    let (admin, nodes) = admin(brokers).await?;
    let replicas = i32::try_from(nodes.min(3)).unwrap_or(3);
    let minimum = if nodes > 1 { "2" } else { "1" };
    let specs = topics.specs();
    let topics: Vec<NewTopic<'_>> = specs
        .iter()
        .map(|spec| {
            let topic = NewTopic::new(&spec.name, spec.partitions, TopicReplication::Fixed(replicas))
                .set("min.insync.replicas", minimum);
            spec.config.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
        })
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(ADMIN_TIMEOUT));
    for result in admin.create_topics(&topics, &options).await? {
        match result {
            Ok(name) => tracing::info!(topic = name, "made the topic"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => return Err(TopicError::Refused(name, code)),
        }
    }
    Ok(())
}

/// Refuses a topic whose acknowledgement means a single copy although the cluster has several brokers.
pub async fn check_replicas(brokers: &str, topic: &str) -> Result<(), TopicError> {
    let (admin, nodes) = admin(brokers).await?;
    let options = AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT));
    let resources = [ResourceSpecifier::Topic(topic)];
    let minimum = admin
        .describe_configs(resources.iter(), &options)
        .await?
        .into_iter()
        .filter_map(Result::ok)
        .find_map(|resource| resource.get("min.insync.replicas").and_then(|entry| entry.value.clone()))
        .and_then(|value| value.parse().ok())
        .unwrap_or(1);
    if nodes > 1 && minimum < 2 {
        return Err(TopicError::TooFewReplicas(topic.to_owned(), minimum, nodes));
    }
    Ok(())
}

/// A client for administration, and how many brokers there are. The client blocks while it asks, so no task waits
/// behind it.
async fn admin(brokers: &str) -> Result<(AdminClient<DefaultClientContext>, usize), KafkaError> {
    let config = client(brokers, "tidemark-admin");
    let ask = move || {
        let admin: AdminClient<DefaultClientContext> = config.create()?;
        let nodes = admin.inner().fetch_metadata(None, ADMIN_TIMEOUT)?.brokers().len();
        Ok((admin, nodes))
    };
    tokio::task::spawn_blocking(ask).await.unwrap_or(Err(KafkaError::Canceled))
}
