//! Over how many partitions the keyed records of a topic are spread: declared once, in the control log, and from then on
//! the same for ever, so that partitions that are added move no key.
//!
//! Whoever finds no declaration makes one; of those that meet there, the first to arrive counts.

use crate::commands::PUBLISH_TIMEOUT;
use crate::control_log::{self, ControlReader, ControlWriter, LogError};
use proto::Message as _;
use proto::topics::Topics;
use proto::v1::{Entity, TopicLayout, entity::Kind};
use service::kafka::KafkaBrokers;

/// Over how many partitions keyed records of `topic` are spread. `partitions` is what the topic has, and is declared if
/// nothing was before.
pub async fn keyed_partitions(
    brokers: &KafkaBrokers,
    topics: &Topics,
    topic: &str,
    partitions: u32,
) -> Result<u32, LogError> {
    let end = control_log::end(brokers, topics).await?;
    if let Some(declared) = first(brokers, topics, topic, end).await? {
        return Ok(declared);
    }
    let layout = TopicLayout {
        topic: topic.to_owned(),
        declaration_id: uuid::Uuid::new_v4().to_string(),
        keyed_partitions: partitions,
    };
    let writer = ControlWriter::new(brokers, topics, PUBLISH_TIMEOUT)?;
    let event = writer.publish(&Entity { kind: Some(Kind::TopicLayout(layout)) }).await?;
    tracing::info!(topic, partitions, "declared how keyed records are spread");
    Ok(first(brokers, topics, topic, event.offset + 1).await?.unwrap_or(partitions))
}

/// The first declaration before `end`, which a record precedes unless it is 0.
async fn first(
    brokers: &KafkaBrokers,
    topics: &Topics,
    topic: &str,
    end: i64,
) -> Result<Option<u32>, LogError> {
    if end == 0 {
        return Ok(None);
    }
    let reader = ControlReader::from(brokers, topics, 0)?;
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
