//! A block: the decoded records that one insert stores.

use crate::chain::BlockRange;
use crate::fetched_record::FetchedRecord;
use crate::idempotency::{Candidate, KeyedRequest, ReceiptQuery, Receipts};
use crate::record::{self, RejectReason};
use opentelemetry::trace::SpanContext;
use proto::v1::MetricBatch;
use std::time::Instant;
use tokio::sync::OwnedSemaphorePermit;

/// Maximum number of rows in a block. Below the size at which the engine would split an insert.
pub const MAX_ROWS: usize = 100_000;
/// Maximum size of a block, in bytes of Kafka records.
pub const MAX_BYTES: usize = 16 << 20;
/// Maximum number of records whose receipts are looked up; one query looks up all of them.
const MAX_LOOKUPS: usize = 10_000;
/// Rows left free for the next batch. Gateways accept at most 100 metrics per batch; [`record::decode`] accepts 10,000.
const RESERVED_ROWS: usize = 10_000;

/// A batch that the block stores.
#[derive(Debug)]
pub struct BlockEntry {
    pub candidate: Candidate,
    pub batch: MetricBatch,
}

/// A record that the block covers and does not store, with the reason.
pub type RejectedRecord = (FetchedRecord, RejectReason);

/// Consecutive records, decoded.
#[derive(Debug)]
pub struct Block {
    pub range: BlockRange,
    /// Batches to store, in offset order.
    pub entries: Vec<BlockEntry>,
    /// Number of metrics in all entries.
    pub samples: usize,
    /// Latest time of receipt of any batch, Unix milliseconds.
    pub newest_ms: i64,
    bytes: usize,
    /// Number of records whose receipts must be looked up.
    lookups: usize,
    /// Traced records: offset, span that sent the record, time of arrival.
    pub traced: Vec<(i64, SpanContext, Instant)>,
    /// Arrival of the first record.
    arrived_at: Instant,
    /// Shares of the partition's memory budget, returned when the block is dropped.
    budget: Vec<OwnedSemaphorePermit>,
}

impl Block {
    /// Creates an empty block that begins at `first`.
    pub fn new(first: i64, arrived_at: Instant) -> Self {
        Self {
            range: BlockRange { first, last: first - 1, identity: uuid::Uuid::nil() },
            entries: Vec::new(),
            samples: 0,
            newest_ms: 0,
            bytes: 0,
            lookups: 0,
            traced: Vec::new(),
            arrived_at,
            budget: Vec::new(),
        }
    }

    /// Adds a record. A record that cannot be stored is covered too, and is returned.
    pub fn push(&mut self, record: FetchedRecord) -> Option<RejectedRecord> {
        let decoded = record::decode(&record.payload);
        self.push_decoded(record, decoded)
    }

    /// Adds a record that ClickHouse rejects: it is covered, not stored, and returned.
    pub fn push_rejected(&mut self, record: FetchedRecord, error: String) -> Option<RejectedRecord> {
        self.push_decoded(record, Err(RejectReason::RejectedByClickHouse(error)))
    }

    fn push_decoded(
        &mut self,
        mut record: FetchedRecord,
        decoded: Result<MetricBatch, RejectReason>,
    ) -> Option<RejectedRecord> {
        self.range.last = record.offset;
        self.bytes += record.payload.len();
        self.budget.extend(record.budget.take());
        match decoded {
            Ok(batch) => {
                self.range.identity = proto::batch_id(&batch.batch_id).unwrap_or_default();
                self.samples += batch.samples.len();
                self.newest_ms = self.newest_ms.max(batch.received_at_ms);
                let candidate = candidate(record.offset, record.origin, &batch);
                self.lookups += usize::from(candidate.keyed.is_some() || candidate.origin.is_some());
                self.entries.push(BlockEntry { candidate, batch });
                let arrived_at = record.arrived_at;
                self.traced.extend(record.trace.take().map(|trace| (record.offset, trace, arrived_at)));
                None
            }
            Err(reason) => {
                self.range.identity = record::identity(&record.payload);
                Some((record, reason))
            }
        }
    }

    /// Returns whether another record might exceed a limit.
    pub fn is_full(&self) -> bool {
        // An entry has up to two receipts; the third row per entry is slack.
        self.samples + 3 * self.entries.len() + RESERVED_ROWS >= MAX_ROWS
            || self.bytes >= MAX_BYTES
            || self.lookups >= MAX_LOOKUPS
    }

    /// Removes the records of all projects but one. They stay covered.
    pub fn keep_only(&mut self, project: &str) {
        self.entries.retain(|entry| entry.batch.project_id == project);
        self.count_samples();
    }

    /// Keeps the first half of the entries; the block then ends at the last of them. Returns false, and changes nothing,
    /// if there are fewer than two entries.
    pub fn halve(&mut self) -> bool {
        let half = self.entries.len() / 2;
        let Some(last) = half.checked_sub(1).and_then(|last| self.entries.get(last)) else { return false };
        self.range.last = last.candidate.offset;
        self.range.identity = proto::batch_id(&last.batch.batch_id).unwrap_or_default();
        self.entries.truncate(half);
        self.traced.retain(|(offset, ..)| *offset <= self.range.last);
        self.count_samples();
        true
    }

    /// Returns the receipts of earlier blocks that decide which entries are repeats.
    pub fn receipt_query(&self) -> ReceiptQuery {
        if self.lookups == 0 {
            ReceiptQuery::default()
        } else {
            ReceiptQuery::for_candidates(self.candidates())
        }
    }

    /// Removes the entries that repeat a stored record, and returns their number. They stay covered.
    pub fn drop_repeats(&mut self, mut receipts: Receipts) -> usize {
        let before = self.entries.len();
        self.entries.retain(|entry| receipts.admit(entry.candidate.clone()));
        self.count_samples();
        before - self.entries.len()
    }

    pub fn candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.entries.iter().map(|entry| &entry.candidate)
    }

    /// Arrival of the first record.
    pub fn arrived_at(&self) -> Instant {
        self.arrived_at
    }

    fn count_samples(&mut self) {
        self.samples = self.entries.iter().map(|entry| entry.batch.samples.len()).sum();
    }
}

fn candidate(offset: i64, origin: Option<i64>, batch: &MetricBatch) -> Candidate {
    let keyed = (!batch.idempotency_key.is_empty()).then(|| KeyedRequest {
        project_id: batch.project_id.clone(),
        key: batch.idempotency_key.clone(),
        body_hash: batch.body_hash.iter().map(|byte| format!("{byte:02x}")).collect(),
    });
    Candidate { offset, received_at_ms: batch.received_at_ms, keyed, origin }
}
