//! Builds the next block of a partition: gathers records, dead-letters those that cannot be stored, drops repeats, and
//! bisects a block that ClickHouse rejects.

use super::{PartitionDriver, WAIT};
use crate::block::{Block, RejectedRecord};
use crate::chain::Event;
use crate::fetched_record::FetchedRecord;
use crate::store::CHAIN_READ_REFRESH_AGE;
use tokio::sync::mpsc;

impl PartitionDriver {
    /// Gathers the next block, starting with the record at `from`, until the gathering time is over or the block is full.
    pub(super) async fn next_block(&mut self, from: i64, keep_fetched: bool) -> Event {
        self.context.metrics.set_refused(self.labels(), false);
        match self.block.take() {
            Some(block) if keep_fetched && block.range.first == from => {
                // The block was gathered, and the chain had to be read again before it could be offered.
                let range = block.range;
                self.block = Some(block);
                return Event::BlockReady(range);
            }
            Some(block) if keep_fetched => self.report_stored(&block, from),
            _ => {}
        }
        if !keep_fetched || self.records.is_none() {
            self.records = Some(self.context.fetcher.open(self.partition, from));
        }
        self.liveness.idle();
        let Some(first) = self.receive().await else { return self.on_fetch_closed().await };
        self.liveness.progress();
        self.rejected_offsets.retain(|offset, _| *offset >= from);
        let mut block = Block::new(from, first.arrived_at);
        self.add(&mut block, first).await;
        self.fill(&mut block).await;
        self.drop_repeats(&mut block).await;
        let range = block.range;
        self.block = Some(block);
        // After a long wait the chain is read again. The gathered block stays valid if the head has not moved.
        if self.chain_read_at.elapsed() > CHAIN_READ_REFRESH_AGE {
            Event::ChainReadExpired
        } else {
            Event::BlockReady(range)
        }
    }

    /// Adds records until the gathering time is over, the block is full, or fetching ends. Records that have arrived
    /// already are added even after that time.
    async fn fill(&mut self, block: &mut Block) {
        let deadline = block.arrived_at() + self.context.insert_rate.gather_time(self.partition);
        while !block.is_full() {
            let record = match self.records.as_mut().map(mpsc::UnboundedReceiver::try_recv) {
                Some(Ok(record)) => Some(record),
                Some(Err(mpsc::error::TryRecvError::Empty)) => {
                    match tokio::time::timeout_at(deadline.into(), self.receive()).await {
                        Ok(record) => record,
                        Err(_) => break,
                    }
                }
                _ => None,
            };
            let Some(record) = record else { break };
            self.add(block, record).await;
        }
    }

    async fn add(&mut self, block: &mut Block, record: FetchedRecord) {
        let rejected = match self.rejected_offsets.get(&record.offset) {
            Some(error) => block.push_rejected(record, error.clone()),
            None => block.push(record),
        };
        if let Some(rejected) = rejected {
            self.dead_letter(rejected).await;
        }
    }

    /// Offers the first half of a rejected block, or marks the record that causes the rejection once it is found.
    pub(super) async fn bisect(&mut self) -> Event {
        let (Some(error), Some(block)) = (self.record_error.take(), self.block.as_mut()) else {
            return Event::CannotBisect;
        };
        // Records that were fetched after the block do not follow the smaller block.
        self.records = None;
        if block.halve() {
            return Event::BlockReady(block.range);
        }
        let Some(entry) = block.entries.first() else { return Event::CannotBisect };
        self.rejected_offsets.insert(entry.candidate.offset, error);
        self.block = None;
        Event::Start
    }

    /// Drops the records of the block that repeat a stored record. The blocks before this one are stored permanently, so the
    /// result stays true however often the block is offered.
    async fn drop_repeats(&mut self, block: &mut Block) {
        if let Some(project) = &self.context.scope.project {
            block.keep_only(project);
        }
        let query = block.receipt_query();
        if query.is_empty() {
            return;
        }
        let (store, partition, first) = (self.context.store.clone(), self.partition, block.range.first);
        let (earlier_receipts, begin) = (self.context.scope.earlier_receipts.clone(), self.begin);
        let read = async || {
            let receipts = store.receipts(partition, first, &query).await?;
            Ok::<_, clickhouse::error::Error>(match &earlier_receipts {
                Some(earlier) => receipts.merge(earlier.receipts(partition, begin, &query).await?),
                None => receipts,
            })
        };
        let receipts = self.retry_until_ok("read receipts", read).await;
        let dropped = block.drop_repeats(receipts);
        self.context.metrics.repeats.inc_by(dropped as u64);
        tracing::debug!(partition, first, dropped, "repeats dropped");
    }

    async fn receive(&mut self) -> Option<FetchedRecord> {
        match &mut self.records {
            Some(records) => records.recv().await,
            None => None,
        }
    }

    /// Starts a takeover after fetching ended; comparing chain and log shows the cause.
    async fn on_fetch_closed(&mut self) -> Event {
        self.records = None;
        tokio::time::sleep(WAIT).await;
        Event::Start
    }

    /// Writes a record that cannot be stored as a dead letter. That happens before the chain passes the record, so it is
    /// never lost; after a crash in between it is written twice.
    async fn dead_letter(&mut self, (record, reason): RejectedRecord) {
        let Some(dead_letters) = self.context.dead_letters.clone() else { return };
        let partition = self.partition;
        let write = || dead_letters.write(partition, record.offset, record.origin, &record.payload, &reason);
        self.retry_until_ok("write a dead letter", write).await;
        self.context.metrics.dead_letters.get_or_create(&self.labels()).inc();
        if let Some(trace) = &record.trace {
            let (attributes, error) = (self.trace_attributes(record.offset), Some(reason.to_string()));
            self.context.traces.record("keep as dead letter", trace, record.arrived_at, attributes, error);
        }
        tracing::error!(partition, offset = record.offset, %reason, "record written to the dead-letter topic");
    }
}
