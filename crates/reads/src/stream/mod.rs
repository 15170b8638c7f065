//! Live streams of points. One reader of the log serves all listeners.
//!
//! [`tail`] reads `metrics.v1` from its end, once per process, and hands each batch to the listeners that
//! receive it through bounded queues ([`listeners`]). The position of a listener is a [`cursor`], which is
//! sent as the event id. A client that reconnects with it, to any process, first gets the records that it
//! missed ([`replay`]) and then continues without gap or repetition. A listener that is too slow is
//! disconnected and reconnects with its cursor. Only stored points are sent: duplicates of a record with an
//! idempotency key are dropped by the ingest worker's rule ([`deduplication`]).
//!
//! Points of one Kafka partition are sent in its order; across partitions, in the order of their arrival.

pub mod cursor;
pub mod deduplication;
pub mod listeners;
pub mod replay;
pub mod session;
pub mod tail;

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

/// Returns whether the offset or partition to read does not exist, so that retrying is pointless.
fn is_fatal(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::OffsetOutOfRange
                | Code::AutoOffsetReset
                | Code::UnknownTopicOrPartition
                | Code::UnknownPartition
                | Code::UnknownTopic
        )
    )
}
