//! Kafka clients: common properties, creation and checks of topics, and clients that recover from lost
//! metadata.

pub mod reader;
pub mod writer;

use proto::topics::Topics;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Timeout of an administrative request.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Delay between attempts to create the topics.
const RETRY: Duration = Duration::from_secs(1);

/// Failure to create topics, or topics that are unfit for use.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// A request to Kafka failed.
    #[error("the request to Kafka failed: {0}")]
    Kafka(#[from] KafkaError),
    /// Kafka rejected the creation of a topic.
    #[error("Kafka rejected the creation of topic {0}: {1}")]
    Rejected(String, RDKafkaErrorCode),
    /// An acknowledgement would guarantee a single copy, although the cluster has several brokers.
    #[error(
        "topic {0} acknowledges with {1} in-sync replica(s) on a cluster of {2} brokers, so the loss of one broker may \
         lose acknowledged data: set min.insync.replicas of the topic to 2 or more, or start with --allow-single-replica"
    )]
    TooFewReplicas(String, i32, usize),
}

/// Addresses of a Kafka cluster, with the properties for TLS and authentication. Clones share the data.
#[derive(Clone)]
pub struct KafkaBrokers {
    addresses: Arc<str>,
    properties: Arc<[(&'static str, String)]>,
}

impl KafkaBrokers {
    /// Returns the brokers at `addresses` (`host:port[,host:port…]`), to be reached without TLS and authentication.
    pub fn plaintext(addresses: &str) -> Self {
        Self::with_properties(addresses, Vec::new())
    }

    /// Returns the brokers at `addresses`, to be reached with these properties of librdkafka.
    pub fn with_properties(addresses: &str, properties: Vec<(&'static str, String)>) -> Self {
        Self { addresses: addresses.into(), properties: properties.into() }
    }

    /// Returns the properties for TLS and authentication.
    pub fn properties(&self) -> &[(&'static str, String)] {
        &self.properties
    }
}

/// Shows the addresses only: the properties contain a password.
impl fmt::Debug for KafkaBrokers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KafkaBrokers({})", self.addresses)
    }
}

/// Returns the properties common to all clients, including TLS and authentication.
pub fn client(brokers: &KafkaBrokers, client_id: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in brokers.properties() {
        config.set(*name, value);
    }
    config
        .set("bootstrap.servers", &*brokers.addresses)
        .set("client.id", client_id)
        // Reconnect soon after a broker failed: clients get 503 until then.
        .set("reconnect.backoff.max.ms", "1000")
        .set("socket.connection.setup.timeout.ms", "5000");
    config
}

/// Creates the missing topics, and retries until it succeeds or until `stop`. Returns whether all topics exist.
pub async fn create_topics(brokers: &KafkaBrokers, topics: &Topics, stop: &CancellationToken) -> bool {
    loop {
        let created = tokio::select! {
            created = try_create_topics(brokers, topics) => created,
            () = stop.cancelled() => return false,
        };
        match created {
            Ok(()) => return true,
            Err(error) => tracing::warn!(%error, "creating topics failed; retrying"),
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = stop.cancelled() => return false,
        }
    }
}

/// Creates the missing topics. On a cluster of several brokers, a topic gets up to three replicas, of which
/// two must acknowledge.
async fn try_create_topics(brokers: &KafkaBrokers, topics: &Topics) -> Result<(), TopicError> {
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
            Ok(name) => tracing::info!(topic = name, "created topic"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => return Err(TopicError::Rejected(name, code)),
        }
    }
    Ok(())
}

/// Rejects a topic whose acknowledgement guarantees a single copy, although the cluster has several brokers.
pub async fn check_replicas(brokers: &KafkaBrokers, topic: &str) -> Result<(), TopicError> {
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

/// Returns an admin client and the number of brokers. The metadata request blocks, so it runs on a blocking
/// thread.
async fn admin(brokers: &KafkaBrokers) -> Result<(AdminClient<DefaultClientContext>, usize), KafkaError> {
    let config = client(brokers, "tidemark-admin");
    let connect = move || {
        let admin: AdminClient<DefaultClientContext> = config.create()?;
        let nodes = admin.inner().fetch_metadata(None, ADMIN_TIMEOUT)?.brokers().len();
        Ok((admin, nodes))
    };
    tokio::task::spawn_blocking(connect).await.unwrap_or(Err(KafkaError::Canceled))
}
