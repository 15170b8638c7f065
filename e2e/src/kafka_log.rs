//! Reads an installation's topics, and writes records to them as a gateway would.

use crate::environment;
use crate::error::Result;
use crate::installation::Installation;
use proto::Message as _;
use proto::encode::{BatchRef, SampleRef};
use proto::v1::MetricBatch;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use service::kafka::KafkaBrokers;
use std::collections::BTreeMap;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Returns all batches of the metrics topic with their partitions, ordered by partition and offset.
pub fn batches(installation: &Installation) -> Result<Vec<(i32, MetricBatch)>> {
    let topic = installation.topics().metrics;
    let consumer: BaseConsumer =
        service::kafka::client(&KafkaBrokers::plaintext(&environment::required("KAFKA_BROKERS")?), "e2e")
            .set("group.id", "e2e")
            .set("enable.auto.commit", "false")
            .create()?;
    let mut assignment = TopicPartitionList::new();
    let mut ends = BTreeMap::new();
    for partition in partitions(&consumer, &topic)? {
        let (begin, end) = consumer.fetch_watermarks(&topic, partition, TIMEOUT)?;
        if begin < end {
            assignment.add_partition_offset(&topic, partition, Offset::Offset(begin))?;
            ends.insert(partition, end);
        }
    }
    consumer.assign(&assignment)?;
    let mut batches: BTreeMap<i32, Vec<MetricBatch>> = BTreeMap::new();
    while !ends.is_empty() {
        let message = consumer.poll(TIMEOUT).ok_or("Kafka returned no record in time")??;
        let (partition, offset) = (message.partition(), message.offset());
        let Some(&end) = ends.get(&partition) else { continue };
        let batch = MetricBatch::decode(message.payload().unwrap_or_default())?;
        batches.entry(partition).or_default().push(batch);
        if offset + 1 >= end {
            ends.remove(&partition);
        }
    }
    let with_partition = |(partition, batches): (i32, Vec<MetricBatch>)| {
        batches.into_iter().map(move |batch| (partition, batch))
    };
    Ok(batches.into_iter().flat_map(with_partition).collect())
}

/// Returns the end offset (that of the next record) of each partition of a topic.
pub fn end_offsets(brokers: &str, topic: &str) -> Result<BTreeMap<i32, i64>> {
    let consumer: BaseConsumer = service::kafka::client(&KafkaBrokers::plaintext(brokers), "e2e").create()?;
    let partitions = partitions(&consumer, topic)?.into_iter();
    partitions.map(|id| Ok((id, consumer.fetch_watermarks(topic, id, TIMEOUT)?.1))).collect()
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Result<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
    Ok(partitions.map(|partition| partition.id()).collect())
}

/// Default `received_at` of a [`TestBatch`] and event time of its metric, Unix milliseconds.
pub const RECEIVED_AT_MS: i64 = 1_790_000_000_000;

/// A batch of one metric `m` of the project `prj_test`.
#[derive(Debug, Clone, Copy)]
pub struct TestBatch<'a> {
    /// Value of the metric.
    pub value: f64,
    /// Time of receipt, Unix milliseconds.
    pub received_at_ms: i64,
    /// Idempotency key, and a byte that fills the hash of the body.
    pub idempotency: Option<(&'a str, u8)>,
}

impl TestBatch<'_> {
    /// Batch without an idempotency key.
    pub fn new(value: f64) -> Self {
        Self { value, received_at_ms: RECEIVED_AT_MS, idempotency: None }
    }

    /// Encodes it as the payload of a record.
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
            idempotency: self.idempotency.map(|(key, hash)| (key, [hash; 32])),
            samples: std::iter::once(sample),
        }
        .encode()
    }
}

/// Writes records to one topic.
pub struct LogWriter {
    producer: FutureProducer,
    topic: String,
}

impl LogWriter {
    /// Creates a writer to the installation's metrics topic.
    pub fn new(installation: &Installation) -> Result<Self> {
        Self::to(&installation.topics().metrics)
    }

    /// Creates a writer to `topic`.
    pub fn to(topic: &str) -> Result<Self> {
        let brokers = environment::required("KAFKA_BROKERS")?;
        let config = service::kafka::client(&KafkaBrokers::plaintext(&brokers), "e2e")
            .set("acks", "all")
            .set("linger.ms", "20")
            .to_owned();
        Ok(Self { producer: config.create()?, topic: topic.to_owned() })
    }

    /// Writes batches in this order and returns their offsets. They are sent without waiting for one another,
    /// so that a worker that is started later stores them in one block.
    pub async fn write(&self, partition: i32, batches: &[TestBatch<'_>]) -> Result<Vec<i64>> {
        let payloads: Vec<Vec<u8>> = batches.iter().map(TestBatch::encode).collect();
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

    /// Writes one record of arbitrary bytes with headers; returns its offset.
    pub async fn write_raw(&self, partition: i32, payload: &[u8], headers: &[(&str, &str)]) -> Result<i64> {
        let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(*value) })
        });
        let record =
            FutureRecord::<(), _>::to(&self.topic).partition(partition).payload(payload).headers(headers);
        let delivery = self.producer.send(record, Duration::ZERO).await.map_err(|(error, _)| error)?;
        Ok(delivery.offset)
    }
}
