//! Publishes records to Kafka. Every record is either acknowledged by all in-sync replicas or reported as
//! failed.
//!
//! A record with an idempotency key goes to a partition that is computed here: the first eight bytes of the
//! SHA-256 of project and key, modulo the number of keyed partitions. That number was declared when the topic
//! was created and never changes, so partitions that are added later do not move any key. A record without a
//! key goes to the partition whose batch the producer is filling.
//!
//! The producer sends each record at most once, so an acknowledged record is in the topic exactly once.

use crate::metrics::Metrics;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureRecord, Producer};
use service::kafka::KafkaBrokers;
use service::kafka::writer::Writer;
use service::traces::{ActiveSpan, TRACEPARENT};
use sha2::{Digest, Sha256};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time added to the producer's own timeout when waiting for a delivery report. Only a stuck producer needs
/// it.
pub const DEADLINE_MARGIN: Duration = Duration::from_secs(2);

/// A record to publish.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    pub project_id: &'a str,
    /// Records of a project with the same idempotency key go to the same partition.
    pub idempotency_key: Option<&'a str>,
    /// An encoded `MetricBatch`.
    pub payload: &'a [u8],
    /// The request's span, if it is traced.
    pub trace: Option<&'a ActiveSpan>,
}

/// The reason why a record was not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Kafka has not been reached since startup. Nothing was sent.
    #[error("not connected to Kafka yet")]
    NotConnected,
    /// Nothing was sent.
    #[error("the producer's queue is full")]
    QueueFull,
    /// Nothing was sent.
    #[error("the producer rejected the record")]
    Refused,
    /// The record may be stored.
    #[error("Kafka did not acknowledge the record in time")]
    TimedOut,
    /// Kafka rejected the record, or the producer failed. The record may be stored.
    #[error("Kafka rejected the record")]
    Failed,
}

impl PublishError {
    /// Returns whether Kafka neither has the record nor can receive it later.
    pub fn definitely_not_sent(self) -> bool {
        match self {
            Self::NotConnected | Self::QueueFull | Self::Refused => true,
            Self::TimedOut | Self::Failed => false,
        }
    }

    /// Returns the value of the metric label `cause`.
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

/// Publishes records.
pub trait Publish: Send + Sync + 'static {
    /// Returns once all in-sync replicas have acknowledged the record, or once no acknowledgement can be
    /// expected any more.
    fn publish(&self, record: Record<'_>) -> impl Future<Output = Result<(), PublishError>> + Send;
}

/// Publishes records to Kafka.
pub struct KafkaPublisher {
    writer: Writer,
    topic: String,
    /// Number of partitions over which keyed records are spread; unset until the topic was checked.
    keyed_partitions: OnceLock<u32>,
    /// Maximum wait for a delivery report.
    deadline: Duration,
    /// Number of delivery reports so far.
    reports: AtomicU64,
    metrics: Metrics,
}

impl KafkaPublisher {
    /// Creates a publisher that rejects every record until it is [opened](Self::open).
    pub fn new(
        brokers: &KafkaBrokers,
        topic: String,
        timeout: Duration,
        metrics: Metrics,
    ) -> Result<Self, KafkaError> {
        let mut config = service::kafka::client(brokers, "tidemark-gateway");
        config
            .set("acks", "all")
            // A record that may have arrived is never sent again. An idempotent producer would send it again,
            // and after a timeout it renumbers its records: a broker that was only paused would then accept
            // the old and the new copy. Records that were definitely not sent are retried even so.
            .set("enable.idempotence", "false")
            .set("message.send.max.retries", "0")
            .set("compression.type", "lz4")
            // Short enough not to matter for latency. At 2 ms, librdkafka's thread polls so often that a
            // request costs 50 % more CPU.
            .set("linger.ms", "5")
            .set("sticky.partitioning.linger.ms", "10")
            .set("message.timeout.ms", timeout.as_millis().to_string())
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", "131072");
        let deadline = timeout + DEADLINE_MARGIN;
        Ok(Self {
            writer: Writer::new(&config)?,
            topic,
            keyed_partitions: OnceLock::new(),
            deadline,
            reports: AtomicU64::new(0),
            metrics,
        })
    }

    /// Starts accepting records, and spreads keyed records over `keyed_partitions`.
    pub fn open(&self, keyed_partitions: u32) {
        let _ = self.keyed_partitions.set(keyed_partitions.max(1));
    }

    /// Asks Kafka for the number of partitions of the topic. Blocks for up to `timeout`.
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

    /// Returns the number of records in flight and the number of delivery reports so far. Deliveries are
    /// stuck if records stay in flight while the number of reports does not grow. An internal event of the
    /// producer, such as a lost connection, briefly counts as a record in flight.
    pub fn progress(&self) -> (i32, u64) {
        (self.writer.producer().in_flight_count(), self.reports.load(Ordering::Relaxed))
    }

    /// Waits until no record is in flight. Blocks for up to `timeout`.
    pub fn flush(&self, timeout: Duration) -> Result<(), KafkaError> {
        self.writer.producer().flush(timeout)
    }

    /// Publishes a record with `key` and `payload` to another topic. Returns as [`Publish::publish`] does.
    pub async fn publish_to(&self, topic: &str, key: &str, payload: &[u8]) -> Result<(), PublishError> {
        // All topics exist once the publisher is open.
        self.keyed_partitions.get().ok_or(PublishError::NotConnected)?;
        let delivery = self.send(FutureRecord::to(topic).key(key).payload(payload))?;
        self.wait_for_report(delivery).await
    }

    async fn deliver(&self, record: Record<'_>) -> Result<(), PublishError> {
        let keyed_partitions = *self.keyed_partitions.get().ok_or(PublishError::NotConnected)?;
        let span = record.trace.and_then(|trace| trace.send(&self.topic));
        let traceparent = span.as_ref().and_then(ActiveSpan::traceparent);
        let delivery = self.enqueue(record, traceparent, keyed_partitions)?;
        let delivered = self.wait_for_report(delivery).await;
        if let (Some(span), Err(error)) = (span, &delivered) {
            span.failed(error.to_string());
        }
        delivered
    }

    async fn wait_for_report(&self, delivery: DeliveryFuture) -> Result<(), PublishError> {
        match tokio::time::timeout(self.deadline, delivery).await {
            Ok(report) => {
                self.reports.fetch_add(1, Ordering::Relaxed);
                match report {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err((error, _))) => Err(Self::delivery_error(&error)),
                    Err(_) => Err(PublishError::Failed),
                }
            }
            Err(_) => Err(PublishError::TimedOut),
        }
    }

    fn enqueue(
        &self,
        record: Record<'_>,
        traceparent: Option<String>,
        keyed_partitions: u32,
    ) -> Result<DeliveryFuture, PublishError> {
        let key = record.idempotency_key.map(|key| format!("{}/{key}", record.project_id));
        let mut message = FutureRecord::to(&self.topic).payload(record.payload);
        if let Some(traceparent) = &traceparent {
            let header = Header { key: TRACEPARENT, value: Some(traceparent) };
            message = message.headers(OwnedHeaders::new().insert(header));
        }
        if let Some(key) = &key {
            message = message.key(key.as_str()).partition(partition_of(key, keyed_partitions));
        }
        self.send(message)
    }

    fn send(&self, message: FutureRecord<'_, str, [u8]>) -> Result<DeliveryFuture, PublishError> {
        self.writer.producer().send_result(message).map_err(|(error, _)| Self::enqueue_error(&error))
    }

    /// Maps an error of the producer on a record that it did not queue.
    fn enqueue_error(error: &KafkaError) -> PublishError {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => PublishError::QueueFull,
            _ => {
                tracing::warn!(%error, "record rejected by the Kafka producer");
                PublishError::Refused
            }
        }
    }

    /// Maps the failed delivery of a queued record. The record may have been sent.
    fn delivery_error(error: &KafkaError) -> PublishError {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageTimedOut) => PublishError::TimedOut,
            _ => {
                tracing::warn!(%error, "record not delivered to Kafka");
                PublishError::Failed
            }
        }
    }

    /// Replaces the producer. May block for a moment. Records that are still queued in the old producer are
    /// reported as failed.
    pub fn replace(&self) {
        self.writer.replace();
    }
}

impl<P: Publish> Publish for std::sync::Arc<P> {
    fn publish(&self, record: Record<'_>) -> impl Future<Output = Result<(), PublishError>> + Send {
        P::publish(self, record)
    }
}

impl Publish for KafkaPublisher {
    async fn publish(&self, record: Record<'_>) -> Result<(), PublishError> {
        let started = Instant::now();
        let result = self.deliver(record).await;
        self.metrics.publish_seconds.observe(started.elapsed().as_secs_f64());
        result.inspect_err(|error| self.metrics.publish_failed(error.cause()))
    }
}

/// Returns the partition of a record with this Kafka key.
fn partition_of(key: &str, keyed_partitions: u32) -> i32 {
    let digest = Sha256::digest(key.as_bytes());
    let hash = digest.iter().take(8).fold(0u64, |hash, &byte| hash << 8 | u64::from(byte));
    i32::try_from(hash % u64::from(keyed_partitions)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_of_a_key_never_changes() {
        // Other numbers here would send retries to another partition than the first request.
        let of = |key| partition_of(key, 4);
        assert_eq!([of("prj_a/1"), of("prj_a/2"), of("prj_a/3"), of("prj_b/1")], [2, 0, 0, 1]);
    }

    #[tokio::test]
    async fn records_are_rejected_before_kafka_is_reached() {
        let publisher = KafkaPublisher::new(
            &KafkaBrokers::plaintext("127.0.0.1:9"),
            "t".into(),
            Duration::from_secs(1),
            Metrics::default(),
        )
        .expect("valid settings");
        let record = Record { project_id: "prj_a", idempotency_key: None, payload: b"x", trace: None };
        assert_eq!(publisher.publish(record).await, Err(PublishError::NotConnected));
    }
}
