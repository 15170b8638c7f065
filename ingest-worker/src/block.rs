//! A block: what one insert stores.

use crate::chain;
use crate::fetch::Record;
use crate::record::{self, Poison};
use proto::v1::MetricBatch;
use std::time::Instant;
use tokio::sync::OwnedSemaphorePermit;

/// How large a block may get. Every bound is below what the engine would split an insert at.
pub const MAX_ROWS: usize = 100_000;
/// Bytes of Kafka records.
pub const MAX_BYTES: usize = 16 << 20;

/// Records that follow on each other, decoded.
#[derive(Debug)]
pub struct Block {
    /// What the protocol needs to know.
    pub covers: chain::Block,
    /// The batches with their offsets.
    pub batches: Vec<(i64, MetricBatch)>,
    /// Metrics in all batches.
    pub samples: usize,
    /// The newest receipt of any batch, Unix milliseconds.
    pub newest_ms: i64,
    bytes: usize,
    /// When the first record came to this process.
    arrived: Instant,
    /// The room that the records take in the partition's budget, given back when the block is stored.
    room: Vec<OwnedSemaphorePermit>,
}

impl Block {
    /// A block that begins at `first`, with its first record. What cannot be stored is handed back.
    pub fn begin(first: i64, record: Record) -> (Self, Option<(Record, Poison)>) {
        let mut block = Self {
            covers: chain::Block { first, last: record.offset, identity: uuid::Uuid::nil() },
            batches: Vec::new(),
            samples: 0,
            newest_ms: 0,
            bytes: 0,
            arrived: record.arrived,
            room: Vec::new(),
        };
        let poison = block.push(record);
        (block, poison)
    }

    /// Adds a record. What cannot be stored is covered all the same, and handed back.
    pub fn push(&mut self, mut record: Record) -> Option<(Record, Poison)> {
        self.covers.last = record.offset;
        self.bytes += record.payload.len();
        self.room.extend(record.room.take());
        match record::read(&record.payload) {
            Ok(batch) => {
                self.covers.identity = proto::batch_id(&batch.batch_id).unwrap_or_default();
                self.samples += batch.samples.len();
                self.newest_ms = self.newest_ms.max(batch.received_at_ms);
                self.batches.push((record.offset, batch));
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
        self.samples + 2 * self.batches.len() + 10_000 >= MAX_ROWS || self.bytes >= MAX_BYTES
    }

    /// When its first record came.
    pub fn arrived(&self) -> Instant {
        self.arrived
    }
}
