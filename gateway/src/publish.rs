//! Records into Kafka, each of them acknowledged by all in-sync replicas or reported as not.
//!
//! A keyed record goes to a partition that is chosen here: the first eight bytes of the SHA-256 of its key, modulo a
//! number of partitions that is fixed when the publisher is opened, and was declared when the topic was made: partitions
//! that are added later move no key. A record without a key goes where the producer fills a batch.
//!
//! A record is handed to the producer once. What the producer does with it, it does idempotently: a record that was
//! acknowledged is in the topic once.

use crate::metrics::Metrics;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureRecord, Producer};
use service::kafka::writer::Writer;
use service::traces::{TRACEPARENT, Trace};
use sha2::{Digest, Sha256};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How much longer than the producer's own timeout a delivery is waited for. Only a producer that is stuck needs it.
pub const SLACK: Duration = Duration::from_secs(2);

/// A record to be.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// The project that it belongs to.
    pub project_id: &'a str,
    /// The client's key for the request: records with the same one go to the same partition.
    pub idempotency_key: Option<&'a str>,
    /// An encoded `MetricBatch`.
    pub payload: &'a [u8],
    /// The request's span, if it is traced.
    pub trace: Option<&'a Trace>,
}

/// Why a record was not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotPublished {
    /// Kafka was not reached since the start. Nothing was sent.
    #[error("not connected to Kafka yet")]
    NotConnected,
    /// Too much waits for Kafka already. Nothing was sent.
    #[error("the producer's queue is full")]
    QueueFull,
    /// The producer did not take the record. Nothing was sent.
    #[error("the producer did not take the record")]
    Refused,
    /// No acknowledgement in time. The record may be stored.
    #[error("Kafka did not acknowledge in time")]
    TimedOut,
    /// Kafka refused the record, or the producer failed. The record may be stored.
    #[error("Kafka did not take the record")]
    Failed,
}

impl NotPublished {
    /// Whether Kafka cannot have the record, now or later.
    pub fn surely_not_sent(self) -> bool {
        match self {
            Self::NotConnected | Self::QueueFull | Self::Refused => true,
            Self::TimedOut | Self::Failed => false,
        }
    }

    fn cause(self) -> &'static str {
        match self {
            Self::NotConnected => "not_connected",
            Self::QueueFull => "queue_full",
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::Failed => "failed",
        }
    }
}

/// Where records go.
pub trait Publish: Send + Sync + 'static {
    /// Returns once the record is acknowledged by all in-sync replicas, or it is known or assumed that it will not be.
    fn publish(&self, record: Record<'_>) -> impl Future<Output = Result<(), NotPublished>> + Send;
}

/// The publisher that writes to Kafka.
pub struct KafkaPublisher {
    writer: Writer,
    topic: String,
    /// Over how many partitions keyed records are spread; unset until Kafka was reached and found fit.
    spread: OnceLock<u32>,
    deadline: Duration,
    /// How many deliveries were reported.
    reports: AtomicU64,
    metrics: Metrics,
}

impl KafkaPublisher {
    /// A publisher that refuses everything until it is [opened](Self::open).
    pub fn new(
        brokers: &str,
        topic: String,
        timeout: Duration,
        metrics: Metrics,
    ) -> Result<Self, KafkaError> {
        let mut config = service::kafka::client(brokers, "tidemark-gateway");
        config
            .set("acks", "all")
            // What may have arrived is never sent again. An idempotent producer would, and numbers its records anew once
            // one of them has timed out: a broker that had only stood still then takes the old and the new one.
            // What was surely not sent is tried again all the same.
            .set("enable.idempotence", "false")
            .set("message.send.max.retries", "0")
            .set("compression.type", "lz4")
            // Too short to be felt; at 2 ms librdkafka's thread polls so often that a request costs half as much CPU again.
            .set("linger.ms", "5")
            .set("sticky.partitioning.linger.ms", "10")
            .set("message.timeout.ms", timeout.as_millis().to_string())
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", "131072");
        let deadline = timeout + SLACK;
        Ok(Self {
            writer: Writer::new(&config)?,
            topic,
            spread: OnceLock::new(),
            deadline,
            reports: AtomicU64::new(0),
            metrics,
        })
    }

    /// From here on records are taken; keyed ones are spread over `partitions`.
    pub fn open(&self, partitions: u32) {
        let _ = self.spread.set(partitions.max(1));
    }

    /// How many partitions the topic has, asked of Kafka; blocks for up to `timeout`.
    pub fn partitions(&self, timeout: Duration) -> Result<u32, KafkaError> {
        let metadata = self.writer.producer().client().fetch_metadata(Some(&self.topic), timeout)?;
        let topic = metadata.topics().first().filter(|topic| topic.name() == self.topic);
        let count = topic.map_or(0, |topic| topic.partitions().len());
        match topic.and_then(|topic| topic.error()) {
            Some(error) => Err(KafkaError::MetadataFetch(error.into())),
            None if count == 0 => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopic)),
            None => Ok(u32::try_from(count).unwrap_or(u32::MAX)),
        }
    }

    /// How many records wait for Kafka, and how many deliveries were reported so far: what waits for long while nothing
    /// is reported is stuck. For a moment an event of the producer's own, such as a lost connection, counts as a record.
    pub fn progress(&self) -> (i32, u64) {
        (self.writer.producer().in_flight_count(), self.reports.load(Ordering::Relaxed))
    }

    /// Waits until nothing is under way; blocks for up to `timeout`.
    pub fn flush(&self, timeout: Duration) -> Result<(), KafkaError> {
        self.writer.producer().flush(timeout)
    }

    /// Publishes `payload` to another topic, its key `key`; returns once it is acknowledged by all in-sync replicas, or it
    /// is known or assumed that it will not be.
    pub async fn publish_to(&self, topic: &str, key: &str, payload: &[u8]) -> Result<(), NotPublished> {
        // The topics are made before it is opened.
        self.spread.get().ok_or(NotPublished::NotConnected)?;
        let delivery = self.send(FutureRecord::to(topic).key(key).payload(payload))?;
        self.delivered(delivery).await
    }

    async fn deliver(&self, record: Record<'_>) -> Result<(), NotPublished> {
        let spread = *self.spread.get().ok_or(NotPublished::NotConnected)?;
        let span = record.trace.and_then(|trace| trace.send(&self.topic));
        let traceparent = span.as_ref().and_then(Trace::traceparent);
        let delivery = self.enqueue(record, traceparent, spread)?;
        let delivered = self.delivered(delivery).await;
        if let (Some(span), Err(error)) = (span, &delivered) {
            span.failed(error.to_string());
        }
        delivered
    }

    async fn delivered(&self, delivery: DeliveryFuture) -> Result<(), NotPublished> {
        match tokio::time::timeout(self.deadline, delivery).await {
            Ok(report) => {
                self.reports.fetch_add(1, Ordering::Relaxed);
                match report {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err((error, _))) => Err(Self::not_delivered(&error)),
                    Err(_) => Err(NotPublished::Failed),
                }
            }
            Err(_) => Err(NotPublished::TimedOut),
        }
    }

    fn enqueue(
        &self,
        record: Record<'_>,
        traceparent: Option<String>,
        spread: u32,
    ) -> Result<DeliveryFuture, NotPublished> {
        let key = record.idempotency_key.map(|key| format!("{}/{key}", record.project_id));
        let mut message = FutureRecord::to(&self.topic).payload(record.payload);
        if let Some(traceparent) = &traceparent {
            let header = Header { key: TRACEPARENT, value: Some(traceparent) };
            message = message.headers(OwnedHeaders::new().insert(header));
        }
        if let Some(key) = &key {
            message = message.key(key.as_str()).partition(partition_of(key, spread));
        }
        self.send(message)
    }

    fn send(&self, message: FutureRecord<'_, str, [u8]>) -> Result<DeliveryFuture, NotPublished> {
        self.writer.producer().send_result(message).map_err(|(error, _)| Self::not_taken(&error))
    }

    /// The producer's verdict on a record before it queued it.
    fn not_taken(error: &KafkaError) -> NotPublished {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => NotPublished::QueueFull,
            _ => {
                tracing::warn!(%error, "the producer did not take a record");
                NotPublished::Refused
            }
        }
    }

    /// The report on a record that was queued: it may have been sent.
    fn not_delivered(error: &KafkaError) -> NotPublished {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageTimedOut) => NotPublished::TimedOut,
            _ => {
                tracing::warn!(%error, "Kafka did not take a record");
                NotPublished::Failed
            }
        }
    }

    /// Goes on with a new producer; may block for a moment. What the old one still had was not acknowledged, and is
    /// answered so.
    pub fn replace(&self) {
        self.writer.replace();
    }
}

impl<P: Publish> Publish for std::sync::Arc<P> {
    fn publish(&self, record: Record<'_>) -> impl Future<Output = Result<(), NotPublished>> + Send {
        P::publish(self, record)
    }
}

impl Publish for KafkaPublisher {
    async fn publish(&self, record: Record<'_>) -> Result<(), NotPublished> {
        let began = Instant::now();
        let result = self.deliver(record).await;
        self.metrics.publish_seconds.observe(began.elapsed().as_secs_f64());
        result.inspect_err(|error| self.metrics.publish_failed(error.cause()))
    }
}

/// The partition of a keyed record among `spread`.
fn partition_of(key: &str, spread: u32) -> i32 {
    let digest = Sha256::digest(key.as_bytes());
    let hash = digest.iter().take(8).fold(0u64, |hash, &byte| hash << 8 | u64::from(byte));
    i32::try_from(hash % u64::from(spread)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_of_a_key_never_changes() {
        // Changing these numbers would separate repeats of a request from the first one.
        let of = |key| partition_of(key, 4);
        assert_eq!([of("prj_a/1"), of("prj_a/2"), of("prj_a/3"), of("prj_b/1")], [2, 0, 0, 1]);
    }

    #[tokio::test]
    async fn before_kafka_was_reached_nothing_is_taken() {
        let publisher =
            KafkaPublisher::new("127.0.0.1:9", "t".into(), Duration::from_secs(1), Metrics::default())
                .expect("the settings are good");
        let record = Record { project_id: "prj_a", idempotency_key: None, payload: b"x", trace: None };
        assert_eq!(publisher.publish(record).await, Err(NotPublished::NotConnected));
    }
}
