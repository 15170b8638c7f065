//! What lies in the topic of metrics.

use crate::{Installation, Result};
use proto::Message as _;
use proto::v1::MetricBatch;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
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
