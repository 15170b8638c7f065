//! A record as it was fetched from Kafka, before its payload is decoded.

use opentelemetry::trace::SpanContext;
use proto::topics::{RecordPosition, dead_letter_header};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use service::traces::{TRACEPARENT, Traces};
use std::time::Instant;
use tokio::sync::OwnedSemaphorePermit;

/// Older records start no span: a replay of the log is not part of the request that sent a record.
const TRACE_MAX_AGE_MS: i64 = 3_600_000;

#[derive(Debug)]
pub struct FetchedRecord {
    pub offset: i64,
    /// Value of the record; empty if it had none.
    pub payload: Vec<u8>,
    /// Offset at which the record stood first, in the same partition, if it is a retried dead letter.
    pub origin: Option<i64>,
    /// Span that sent the record, if it is traced.
    pub trace: Option<SpanContext>,
    pub arrived_at: Instant,
    /// Share of the partition's memory budget; dropping it returns the share.
    pub budget: Option<OwnedSemaphorePermit>,
}

impl FetchedRecord {
    /// Copies the payload and the headers of a message. The budget is not reserved yet.
    pub fn from_message(message: &BorrowedMessage<'_>, traces: &Traces) -> Self {
        Self {
            offset: message.offset(),
            payload: message.payload().unwrap_or_default().to_vec(),
            origin: origin(message),
            trace: header(message, TRACEPARENT)
                .filter(|_| is_recent(message))
                .and_then(|traceparent| traces.record_context(traceparent)),
            arrived_at: Instant::now(),
            budget: None,
        }
    }
}

/// Returns the origin of a retried dead letter. An origin in another partition is ignored, because repeats are detected
/// within one partition only.
fn origin(message: &BorrowedMessage<'_>) -> Option<i64> {
    let position =
        RecordPosition::parse(std::str::from_utf8(header(message, dead_letter_header::ORIGIN)?).ok()?)?;
    (position.topic == message.topic() && position.partition == message.partition())
        .then_some(position.offset)
}

fn header<'a>(message: &'a BorrowedMessage<'_>, key: &str) -> Option<&'a [u8]> {
    message.headers()?.iter().find(|header| header.key == key)?.value
}

fn is_recent(message: &BorrowedMessage<'_>) -> bool {
    message.timestamp().to_millis().is_some_and(|at| at > service::clock::now_ms() - TRACE_MAX_AGE_MS)
}
