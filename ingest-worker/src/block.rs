//! A block: what one insert stores.

use crate::chain;
use crate::fetch::Record;
use crate::idempotency::{Claim, Keyed, Receipts, Wanted};
use crate::record::{self, Poison};
use opentelemetry::trace::SpanContext;
use proto::v1::MetricBatch;
use std::time::Instant;
use tokio::sync::OwnedSemaphorePermit;

/// How large a block may get. Every bound is below what the engine would split an insert at.
pub const MAX_ROWS: usize = 100_000;
/// Bytes of Kafka records.
pub const MAX_BYTES: usize = 16 << 20;
/// Records whose receipts must be looked up; one query asks for all of them.
const MAX_CLAIMS: usize = 10_000;

/// A record that is stored.
#[derive(Debug)]
pub struct Stored {
    /// Where it stands, and what it is known by.
    pub claim: Claim,
    /// What is in it.
    pub batch: MetricBatch,
}

/// Records that follow on each other, decoded.
#[derive(Debug)]
pub struct Block {
    /// What the protocol needs to know.
    pub covers: chain::Block,
    /// The batches that are stored, in the log's order.
    pub batches: Vec<Stored>,
    /// Metrics in all batches.
    pub samples: usize,
    /// The newest receipt of any batch, Unix milliseconds.
    pub newest_ms: i64,
    bytes: usize,
    /// Records that may be repeats.
    doubtful: usize,
    /// Those of its records that are traced: offset, the span that sent it, when it came.
    pub traced: Vec<(i64, SpanContext, Instant)>,
    /// When the first record came to this process.
    arrived: Instant,
    /// The room that the records take in the partition's budget, given back when the block is stored.
    room: Vec<OwnedSemaphorePermit>,
}

impl Block {
    /// An empty block that begins at `first`; `arrived` is when its first record came.
    pub fn new(first: i64, arrived: Instant) -> Self {
        Self {
            covers: chain::Block { first, last: first - 1, identity: uuid::Uuid::nil() },
            batches: Vec::new(),
            samples: 0,
            newest_ms: 0,
            bytes: 0,
            doubtful: 0,
            traced: Vec::new(),
            arrived,
            room: Vec::new(),
        }
    }

    /// Adds a record. What cannot be stored is covered all the same, and handed back.
    pub fn push(&mut self, record: Record) -> Option<(Record, Poison)> {
        let read = record::read(&record.payload);
        self.push_as(record, read)
    }

    /// Adds a record that ClickHouse refuses: it is covered, and not stored.
    pub fn push_refused(&mut self, record: Record, reason: String) -> Option<(Record, Poison)> {
        self.push_as(record, Err(Poison::Refused(reason)))
    }

    fn push_as(&mut self, mut record: Record, read: Result<MetricBatch, Poison>) -> Option<(Record, Poison)> {
        self.covers.last = record.offset;
        self.bytes += record.payload.len();
        self.room.extend(record.room.take());
        match read {
            Ok(batch) => {
                self.covers.identity = proto::batch_id(&batch.batch_id).unwrap_or_default();
                self.samples += batch.samples.len();
                self.newest_ms = self.newest_ms.max(batch.received_at_ms);
                let claim = claim(record.offset, record.origin, &batch);
                self.doubtful += usize::from(claim.keyed.is_some() || claim.origin.is_some());
                self.batches.push(Stored { claim, batch });
                self.traced.extend(record.trace.take().map(|trace| (record.offset, trace, record.arrived)));
                None
            }
            Err(poison) => {
                self.covers.identity = record::identity(&record.payload);
                Some((record, poison))
            }
        }
    }

    /// Whether another record might make it too large.
    pub fn is_full(&self) -> bool {
        // A batch has a hundred metrics at most as gateways let them in; leave room for one of the largest.
        self.samples + 3 * self.batches.len() + 10_000 >= MAX_ROWS
            || self.bytes >= MAX_BYTES
            || self.doubtful >= MAX_CLAIMS
    }

    /// Lets go of the records of all projects but one. They stay covered.
    pub fn keep_only(&mut self, project: &str) {
        self.batches.retain(|stored| stored.batch.project_id == project);
        self.samples = self.batches.iter().map(|stored| stored.batch.samples.len()).sum();
    }

    /// Keeps the first half of the records that it stores; what follows them is covered no more. False if there are not
    /// two.
    pub fn halve(&mut self) -> bool {
        let half = self.batches.len() / 2;
        let Some(last) = half.checked_sub(1).and_then(|last| self.batches.get(last)) else { return false };
        self.covers.last = last.claim.offset;
        self.covers.identity = proto::batch_id(&last.batch.batch_id).unwrap_or_default();
        self.batches.truncate(half);
        self.traced.retain(|(offset, ..)| *offset <= self.covers.last);
        self.samples = self.batches.iter().map(|stored| stored.batch.samples.len()).sum();
        true
    }

    /// What must be known of the blocks before this one; nothing if none of its records had a key.
    pub fn wanted(&self) -> Wanted {
        if self.doubtful == 0 { Wanted::default() } else { Wanted::by(self.claims()) }
    }

    /// Lets go of the records that repeat what is stored; tells how many. They stay covered.
    pub fn drop_repeats(&mut self, mut receipts: Receipts) -> usize {
        let before = self.batches.len();
        self.batches.retain(|stored| receipts.admit(stored.claim.clone()));
        self.samples = self.batches.iter().map(|stored| stored.batch.samples.len()).sum();
        before - self.batches.len()
    }

    /// What its records are known by.
    pub fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.batches.iter().map(|stored| &stored.claim)
    }

    /// When its first record came.
    pub fn arrived(&self) -> Instant {
        self.arrived
    }
}

fn claim(offset: i64, origin: Option<i64>, batch: &MetricBatch) -> Claim {
    let keyed = (!batch.idempotency_key.is_empty()).then(|| Keyed {
        project_id: batch.project_id.clone(),
        key: batch.idempotency_key.clone(),
        body_hash: batch.body_hash.iter().map(|byte| format!("{byte:02x}")).collect(),
    });
    Claim { offset, received_at_ms: batch.received_at_ms, keyed, origin }
}
