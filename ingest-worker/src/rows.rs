//! The rows of the table `samples`, as `migrations/` defines it.

use crate::block::{Block, BlockEntry};
use clickhouse::Row;
use serde::Serialize;
use std::borrow::Cow;
use uuid::Uuid;

/// Values of the column `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
enum Kind {
    Sample = 1,
    Receipt = 2,
    Marker = 3,
}

/// A row. Times are Unix milliseconds.
#[derive(Debug, Clone, Row, Serialize)]
pub struct SampleRow<'a> {
    kind: i8,
    project_id: &'a str,
    metric_id: &'a str,
    idempotency_key: Cow<'a, str>,
    time: i64,
    value: f64,
    received_at: i64,
    partition: i32,
    offset: i64,
    index: u16,
    metric_name: &'a str,
    unit: &'a str,
    body_hash: &'a str,
    first_offset: i64,
    last_offset: i64,
    #[serde(with = "clickhouse::serde::uuid")]
    identity: Uuid,
}

impl<'a> SampleRow<'a> {
    fn empty(kind: Kind, partition: i32) -> Self {
        Self {
            kind: kind as i8,
            project_id: "",
            metric_id: "",
            idempotency_key: Cow::Borrowed(""),
            time: 0,
            value: 0.0,
            received_at: 0,
            partition,
            offset: 0,
            index: 0,
            metric_name: "",
            unit: "",
            body_hash: "",
            first_offset: 0,
            last_offset: 0,
            identity: Uuid::nil(),
        }
    }
}

/// Returns the rows of `block`: samples, then receipts, then the marker.
pub fn of(block: &Block, partition: i32) -> impl Iterator<Item = SampleRow<'_>> + Send {
    let entries = block.entries.iter();
    let samples = entries.clone().flat_map(move |BlockEntry { candidate, batch }| {
        // `record::decode` rejects batches with more samples than a `u16` can index.
        (0u16..).zip(&batch.samples).map(move |(index, sample)| SampleRow {
            project_id: &batch.project_id,
            metric_id: &sample.metric_id,
            time: sample.timestamp_ms,
            value: sample.value,
            received_at: batch.received_at_ms,
            offset: candidate.offset,
            index,
            metric_name: sample.metric_name.as_deref().unwrap_or_default(),
            unit: sample.unit.as_deref().unwrap_or_default(),
            ..SampleRow::empty(Kind::Sample, partition)
        })
    });
    let receipts = entries.flat_map(move |BlockEntry { candidate, batch }| {
        let receipt = SampleRow {
            time: batch.received_at_ms,
            received_at: batch.received_at_ms,
            offset: candidate.offset,
            identity: proto::batch_id(&batch.batch_id).unwrap_or_default(),
            ..SampleRow::empty(Kind::Receipt, partition)
        };
        let keyed = candidate.keyed.as_ref().map(|keyed| SampleRow {
            project_id: &keyed.project_id,
            idempotency_key: Cow::Borrowed(&keyed.key),
            body_hash: &keyed.body_hash,
            ..receipt.clone()
        });
        let origin = candidate
            .origin
            .map(|origin| SampleRow { idempotency_key: origin_key(origin).into(), ..receipt });
        keyed.into_iter().chain(origin)
    });
    let marker = SampleRow {
        time: block.newest_ms,
        received_at: block.newest_ms,
        offset: block.range.last,
        first_offset: block.range.first,
        last_offset: block.range.last,
        identity: block.range.identity,
        ..SampleRow::empty(Kind::Marker, partition)
    };
    samples.chain(receipts).chain(std::iter::once(marker))
}

/// Returns the `idempotency_key` of the receipt of a retried dead letter. Its `project_id` is empty, so it never collides
/// with a key of a client.
pub fn origin_key(origin: i64) -> String {
    origin.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn block_ends_with_one_marker_of_its_range() {
        let mut block = Block::new(5, Instant::now());
        block.range.last = 7;
        block.range.identity = Uuid::from_u128(1);
        let rows: Vec<_> = of(&block, 3).collect();
        let [marker] = &rows[..] else { panic!("expected the marker alone: {rows:?}") };
        let found = (marker.kind, marker.partition, marker.first_offset, marker.last_offset, marker.identity);
        assert_eq!(found, (Kind::Marker as i8, 3, 5, 7, Uuid::from_u128(1)));
    }
}
