//! Partition layout: the number of partitions that the keyed records of a topic are distributed over.
//!
//! It is declared once in the control log and never changes, so partitions that are added later move no key. A caller
//! that finds no declaration publishes one. If several do so at once, the first declaration in the log counts.

use crate::control_log::{self, ControlReader, ControlWriter, LogError, PUBLISH_TIMEOUT};
use proto::Message as _;
use proto::topics::Topics;
use proto::v1::{Entity, TopicLayout, entity::Kind};
use service::kafka::KafkaBrokers;

/// Returns the declared number of partitions for the keyed records of `topic`. Declares `partitions`, the topic's
/// current number, if there is no declaration.
pub async fn keyed_partitions(
    brokers: &KafkaBrokers,
    topics: &Topics,
    topic: &str,
    partitions: u32,
) -> Result<u32, LogError> {
    let end = control_log::end_offset(brokers, topics).await?;
    if let Some(declared) = first_declaration(brokers, topics, topic, end).await? {
        return Ok(declared);
    }
    let layout = TopicLayout {
        topic: topic.to_owned(),
        declaration_id: uuid::Uuid::new_v4().to_string(),
        keyed_partitions: partitions,
    };
    let writer = ControlWriter::new(brokers, topics, PUBLISH_TIMEOUT)?;
    let event = writer.publish(&Entity { kind: Some(Kind::TopicLayout(layout)) }).await?;
    tracing::info!(topic, partitions, "declared the partition layout");
    Ok(first_declaration(brokers, topics, topic, event.offset + 1).await?.unwrap_or(partitions))
}

/// Returns the first declaration before `end`. Unless `end` is 0, the log has a record directly before it.
async fn first_declaration(
    brokers: &KafkaBrokers,
    topics: &Topics,
    topic: &str,
    end: i64,
) -> Result<Option<u32>, LogError> {
    if end == 0 {
        return Ok(None);
    }
    let reader = ControlReader::starting_at(brokers, topics, 0)?;
    loop {
        let event = reader.next().await?;
        if let Some(value) = &event.value {
            let entity = Entity::decode(value.as_slice())
                .map_err(|error| LogError::Undecodable(event.offset, error))?;
            if let Some(Kind::TopicLayout(layout)) = entity.kind
                && layout.topic == topic
            {
                return Ok(Some(layout.keyed_partitions));
            }
        }
        if event.offset + 1 >= end {
            return Ok(None);
        }
    }
}
