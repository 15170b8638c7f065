//! What lies in an installation's log: read, and written straight into it, as a gateway would.

use crate::{Installation, Result};
use proto::Message as _;
use proto::encode::{BatchRef, SampleRef};
use proto::v1::MetricBatch;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

/// All batches that the log holds now, each with its partition, in the order of their partitions.
pub fn batches(installation: &Installation) -> Result<Vec<(i32, MetricBatch)>> {
    let topic = installation.topics().metrics;
    let consumer: BaseConsumer = service::kafka::client(&crate::installation::part("KAFKA_BROKERS")?, "e2e")
        .set("group.id", "e2e")
        .set("enable.auto.commit", "false")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(&topic), TIMEOUT)?;
    let partitions: Vec<i32> = metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions())
        .map(|partition| partition.id())
        .collect();
    let mut batches = Vec::new();
    for partition in partitions {
        let (begin, end) = consumer.fetch_watermarks(&topic, partition, TIMEOUT)?;
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(&topic, partition, Offset::Offset(begin))?;
        consumer.assign(&place)?;
        let mut next = begin;
        while next < end {
            let message = consumer.poll(TIMEOUT).ok_or("Kafka gives no records")??;
            next = message.offset() + 1;
            batches.push((partition, MetricBatch::decode(message.payload().unwrap_or_default())?));
        }
    }
    Ok(batches)
}

/// When every record was received that does not say otherwise, Unix milliseconds.
pub const RECEIVED_AT_MS: i64 = 1_790_000_000_000;

/// A batch of one metric, of project `prj_test`.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// The metric's value.
    pub value: f64,
    /// Unix milliseconds.
    pub received_at_ms: i64,
    /// Idempotency key, and a number that the body's hash is made of.
    pub keyed: Option<(&'a str, u8)>,
}

impl Given<'_> {
    /// A batch without a key.
    pub fn plain(value: f64) -> Self {
        Self { value, received_at_ms: RECEIVED_AT_MS, keyed: None }
    }

    /// As the log holds it.
    pub fn encode(&self) -> Vec<u8> {
        let sample = SampleRef {
            metric_id: "m",
            metric_name: None,
            value: self.value,
            unit: None,
            timestamp_ms: RECEIVED_AT_MS,
        };
        BatchRef {
            batch_id: uuid::Uuid::now_v7(),
            project_id: "prj_test",
            connection_id: "con_test",
            received_at_ms: self.received_at_ms,
            idempotency: self.keyed.map(|(key, hash)| (key, [hash; 32])),
            samples: std::iter::once(sample),
        }
        .encode()
    }
}

/// Writes to an installation's topics.
pub struct LogWriter {
    producer: FutureProducer,
    topic: String,
}

impl LogWriter {
    /// A writer of metrics.
    pub fn new(installation: &Installation) -> Result<Self> {
        Self::to(&installation.topics().metrics)
    }

    /// A writer of `topic`.
    pub fn to(topic: &str) -> Result<Self> {
        let brokers = crate::installation::part("KAFKA_BROKERS")?;
        let config =
            service::kafka::client(&brokers, "e2e").set("acks", "all").set("linger.ms", "20").to_owned();
        Ok(Self { producer: config.create()?, topic: topic.to_owned() })
    }

    /// Writes records one after the other, so quickly that they share a block if the worker is not at work yet.
    pub async fn write(&self, partition: i32, records: &[Given<'_>]) -> Result<Vec<i64>> {
        let payloads: Vec<Vec<u8>> = records.iter().map(Given::encode).collect();
        let sent: Vec<_> = payloads
            .iter()
            .map(|payload| FutureRecord::<(), _>::to(&self.topic).partition(partition).payload(payload))
            .map(|record| self.producer.send_result(record).map_err(|(error, _)| error))
            .collect::<std::result::Result<_, _>>()?;
        let mut offsets = Vec::new();
        for delivery in sent {
            offsets.push(delivery.await?.map_err(|(error, _)| error)?.offset);
        }
        Ok(offsets)
    }

    /// Writes bytes with headers; tells their offset.
    pub async fn raw(&self, partition: i32, payload: &[u8], headers: &[(&str, &str)]) -> Result<i64> {
        let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(*value) })
        });
        let record =
            FutureRecord::<(), _>::to(&self.topic).partition(partition).payload(payload).headers(headers);
        let delivery = self.producer.send(record, Duration::ZERO).await.map_err(|(error, _)| error)?;
        Ok(delivery.offset)
    }
}
