//! The rows of the table of samples, as `migrations/` defines it.

use crate::block::{Block, Stored};
use clickhouse::Row;
use serde::Serialize;
use std::borrow::Cow;
use uuid::Uuid;

/// `samples.kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
enum Kind {
    Sample = 1,
    Receipt = 2,
    Marker = 3,
}

/// One row. Times are Unix milliseconds.
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

/// Every row of `block`: samples, then receipts, and the marker last.
pub fn of(block: &Block, partition: i32) -> impl Iterator<Item = SampleRow<'_>> + Send {
    let batches = block.batches.iter();
    let samples = batches.clone().flat_map(move |Stored { claim, batch }| {
        // `record::read` lets no batch pass that has more samples than an index can count.
        (0u16..).zip(&batch.samples).map(move |(index, sample)| SampleRow {
            project_id: &batch.project_id,
            metric_id: &sample.metric_id,
            time: sample.timestamp_ms,
            value: sample.value,
            received_at: batch.received_at_ms,
            offset: claim.offset,
            index,
            metric_name: sample.metric_name.as_deref().unwrap_or_default(),
            unit: sample.unit.as_deref().unwrap_or_default(),
            ..SampleRow::empty(Kind::Sample, partition)
        })
    });
    let receipts = batches.flat_map(move |Stored { claim, batch }| {
        let receipt = SampleRow {
            time: batch.received_at_ms,
            received_at: batch.received_at_ms,
            offset: claim.offset,
            identity: proto::batch_id(&batch.batch_id).unwrap_or_default(),
            ..SampleRow::empty(Kind::Receipt, partition)
        };
        let keyed = claim.keyed.as_ref().map(|keyed| SampleRow {
            project_id: &keyed.project_id,
            idempotency_key: Cow::Borrowed(&keyed.key),
            body_hash: &keyed.body_hash,
            ..receipt.clone()
        });
        let origin =
            claim.origin.map(|origin| SampleRow { idempotency_key: origin_key(origin).into(), ..receipt });
        keyed.into_iter().chain(origin)
    });
    let marker = SampleRow {
        time: block.newest_ms,
        received_at: block.newest_ms,
        offset: block.covers.last,
        first_offset: block.covers.first,
        last_offset: block.covers.last,
        identity: block.covers.identity,
        ..SampleRow::empty(Kind::Marker, partition)
    };
    samples.chain(receipts).chain(std::iter::once(marker))
}

/// What the receipt of a retried dead letter stands under, with no project: no key of a client is ever there.
pub fn origin_key(origin: i64) -> String {
    origin.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_block_ends_in_the_one_marker_that_says_what_it_covers() {
        let mut block = Block::new(5, Instant::now());
        block.covers.last = 7;
        block.covers.identity = Uuid::from_u128(1);
        let rows: Vec<_> = of(&block, 3).collect();
        let [marker] = &rows[..] else { panic!("a block without records is a marker alone: {rows:?}") };
        let said = (marker.kind, marker.partition, marker.first_offset, marker.last_offset, marker.identity);
        assert_eq!(said, (Kind::Marker as i8, 3, 5, 7, Uuid::from_u128(1)));
    }
}
