//! One Kafka partition's way into the table: carries out what the protocol ([`crate::chain`]) says.

use crate::block::Block;
use crate::chain::{Action, Answer, Event, Machine};
use crate::fetch::{Fetch, Record};
use crate::membership::Membership;
use crate::metrics::{Metrics, Way};
use crate::pace::Pace;
use crate::record::Poison;
use crate::store::{Moment, Store};
use crate::{dead_letter::DeadLetters, log::Log};
use opentelemetry::KeyValue;
use service::traces::Traces;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How long a refused partition rests before it is looked at again: whoever mends the cause need not restart anything.
const REFUSED: Duration = Duration::from_secs(15);
const WAIT: Duration = Duration::from_millis(500);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// What all partitions of a worker share.
#[derive(Clone)]
pub struct Shared {
    /// The table.
    pub store: Store,
    /// Fetches records.
    pub fetch: Fetch,
    /// Compares the log with the chain.
    pub log: Log,
    /// Shows progress, and what was shown before; none for a scratch database.
    pub membership: Option<Membership>,
    /// Takes what cannot be stored; none for a scratch database, for it is kept already.
    pub dead: Option<DeadLetters>,
    /// What of the log is stored.
    pub part: Part,
    /// The generation's number.
    pub generation: u32,
    /// How long a block may be gathered.
    pub pace: Pace,
    /// Traces of records.
    pub traces: Traces,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// Liveness.
    pub health: service::health::Health,
}

/// A part of the log, as [`crate::commands`] verify it.
#[derive(Clone, Default)]
pub struct Part {
    /// Only this project; every one if none.
    pub project: Option<Arc<str>>,
    /// What is known of the records before the beginning: a store that has them.
    pub before: Option<Store>,
}

/// The driver of one partition.
pub struct Driver {
    shared: Shared,
    partition: i32,
    begin: i64,
    machine: Machine,
    watch: service::health::Watch,
    records: Option<mpsc::UnboundedReceiver<Record>>,
    block: Option<Block>,
    /// Why the last block was refused, if one of its records may be to blame.
    refused: Option<String>,
    /// Records that ClickHouse refuses by themselves, with its words, until the chain has passed them.
    culprits: BTreeMap<i64, String>,
    /// When the chain was last read.
    read_at: Moment,
    /// Inserts in a row whose outcome was not known.
    unclear: u32,
}

impl Driver {
    /// A driver for `partition`, whose chain begins at `begin`.
    pub fn new(shared: Shared, partition: i32, begin: i64) -> Self {
        let name = format!("partition {partition} of generation {}", shared.generation);
        let watch = shared.health.watch(&name, Duration::from_secs(180));
        Self {
            shared,
            partition,
            begin,
            machine: Machine::new(begin),
            watch,
            records: None,
            block: None,
            refused: None,
            culprits: BTreeMap::new(),
            read_at: Moment::now(),
            unclear: 0,
        }
    }

    /// Stores what comes until `stop`. An insert that has begun is brought to its end; if it were not, the next owner of
    /// the partition would find out what became of it.
    pub async fn run(mut self, stop: CancellationToken) {
        tracing::info!(
            partition = self.partition,
            generation = self.shared.generation,
            "looking after the partition"
        );
        tokio::select! {
            () = self.recall() => {}
            () = stop.cancelled() => return,
        }
        let mut event = Event::Start;
        loop {
            let action = self.machine.on(event);
            let may_stop = !matches!(action, Action::Insert { .. });
            let performed = self.perform(action);
            event = if may_stop {
                tokio::select! {
                    event = performed => event,
                    () = stop.cancelled() => break,
                }
            } else {
                performed.await
            };
        }
        self.shared.pace.idle(self.partition);
        self.shared.metrics.forget(self.way());
        tracing::info!(partition = self.partition, generation = self.shared.generation, "left the partition");
    }

    /// A table may have lost all of a partition while no worker looked: what was shown before tells.
    async fn recall(&mut self) {
        let Some(membership) = self.shared.membership.clone() else { return };
        let partition = self.partition;
        let ask = || membership.shown(partition);
        if let Some(next) = self.persist("the group's offsets could not be read", ask).await {
            self.machine.was_stored(next);
        }
    }

    fn way(&self) -> Way {
        Way { generation: self.shared.generation, partition: self.partition }
    }

    async fn perform(&mut self, action: Action) -> Event {
        match action {
            Action::ReadChain => {
                let store = self.shared.store.clone();
                let partition = self.partition;
                let before = Moment::now();
                let chain = self.persist("the chain could not be read", || store.chain(partition)).await;
                self.read_at = before;
                Event::Chain(chain)
            }
            Action::ReadLog(at) => {
                let log = self.shared.log.clone();
                let partition = self.partition;
                Event::Log(self.persist("the log could not be read", || log.view(partition, at)).await)
            }
            Action::NextBlock { from, stored } => self.next_block(from, stored).await,
            Action::Insert { form } => Event::Inserted(self.insert(form).await),
            Action::FindRunning { form } => {
                let store = self.shared.store.clone();
                let (partition, first) = (self.partition, self.machine.next_offset());
                tracing::warn!(partition, first, form, "ok was said and nothing is there: is it a ghost?");
                let ask = || store.is_running(partition, first, form);
                Event::Running(self.persist("running inserts could not be listed", ask).await)
            }
            Action::Narrow => self.narrow().await,
            Action::Wait => {
                tokio::time::sleep(WAIT).await;
                Event::Waited
            }
            Action::Refuse(refusal) => {
                tracing::error!(partition = self.partition, reason = %refusal,
                    "REFUSED: nothing of this partition is stored until the cause is mended");
                self.records = None;
                self.block = None;
                self.watch.idle();
                self.shared.metrics.refused(self.way(), true);
                tokio::time::sleep(REFUSED).await;
                Event::Start
            }
        }
    }

    /// Gathers the next block: from the first record on as long as the pace says, or until it is full.
    async fn next_block(&mut self, from: i64, good: bool) -> Event {
        self.shared.metrics.refused(self.way(), false);
        match self.block.take() {
            Some(block) if good && block.covers.first == from => {
                // It was gathered, and the chain had to be read again before it could be offered.
                let covers = block.covers;
                self.block = Some(block);
                return Event::Ready(covers);
            }
            Some(block) if good => self.stored(&block, from),
            _ => {}
        }
        if !good || self.records.is_none() {
            self.records = Some(self.shared.fetch.open(self.partition, from));
        }
        self.watch.idle();
        let Some(first) = self.receive().await else { return self.lost_fetch().await };
        self.watch.progress();
        self.culprits.retain(|offset, _| *offset >= from);
        let mut block = Block::new(from, first.arrived);
        self.add(&mut block, first).await;
        let deadline = block.arrived() + self.shared.pace.gather(self.partition);
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
            self.add(&mut block, record).await;
        }
        self.drop_repeats(&mut block).await;
        let covers = block.covers;
        self.block = Some(block);
        // Whoever waited long reads the chain again; what was gathered stays good if the chain has not moved.
        if self.read_at.is_aged() { Event::Aged } else { Event::Ready(covers) }
    }

    async fn add(&mut self, block: &mut Block, record: Record) {
        let poison = match self.culprits.get(&record.offset) {
            Some(reason) => block.push_refused(record, reason.clone()),
            None => block.push(record),
        };
        self.bury(poison).await;
    }

    /// The block was refused: offers its first half, down to the record that is to blame.
    async fn narrow(&mut self) -> Event {
        let (Some(reason), Some(block)) = (self.refused.take(), self.block.as_mut()) else {
            return Event::Hopeless;
        };
        // What was fetched behind it is not the next any more.
        self.records = None;
        if block.halve() {
            return Event::Ready(block.covers);
        }
        let Some(stored) = block.batches.first() else { return Event::Hopeless };
        self.culprits.insert(stored.claim.offset, reason);
        self.block = None;
        Event::Start
    }

    /// Lets go of what is stored already. The blocks before this one are stored for good, so the answer stays true
    /// however often the block is offered.
    async fn drop_repeats(&mut self, block: &mut Block) {
        if let Some(project) = &self.shared.part.project {
            block.keep_only(project);
        }
        let wanted = block.wanted();
        if wanted.is_empty() {
            return;
        }
        let (store, partition, first) = (self.shared.store.clone(), self.partition, block.covers.first);
        let (before, begin) = (self.shared.part.before.clone(), self.begin);
        let ask = async || {
            let receipts = store.receipts(partition, first, &wanted).await?;
            Ok::<_, clickhouse::error::Error>(match &before {
                Some(before) => receipts.and(before.receipts(partition, begin, &wanted).await?),
                None => receipts,
            })
        };
        let receipts = self.persist("the receipts could not be read", ask).await;
        let dropped = block.drop_repeats(receipts);
        self.shared.metrics.repeats.inc_by(dropped as u64);
        tracing::debug!(partition, first, dropped, "dropped repeats");
    }

    async fn receive(&mut self) -> Option<Record> {
        match &mut self.records {
            Some(records) => records.recv().await,
            None => None,
        }
    }

    /// Fetching ended: the takeover finds out why.
    async fn lost_fetch(&mut self) -> Event {
        self.records = None;
        tokio::time::sleep(WAIT).await;
        Event::Start
    }

    async fn insert(&mut self, form: u32) -> Answer {
        let Some(block) = &self.block else { return Answer::Stale };
        if self.unclear > 0 {
            tokio::time::sleep(backoff(self.unclear)).await;
        }
        let begun = Instant::now();
        let (answer, refused) = self.shared.store.insert(self.partition, block, form, self.read_at).await;
        self.refused = refused;
        self.shared.metrics.insert_seconds.observe(begun.elapsed().as_secs_f64());
        match answer {
            Answer::Ok => self.unclear = 0,
            Answer::Unknown => {
                self.unclear = self.unclear.saturating_add(1);
                self.shared.metrics.unclear_inserts.inc();
                // Trying again for as long as it takes is what this worker is for; readiness tells that it does.
                self.watch.progress();
            }
            Answer::Refused | Answer::Stale => {}
        }
        answer
    }

    /// The chain shows the block.
    fn stored(&mut self, block: &Block, next: i64) {
        let metrics = &self.shared.metrics;
        metrics.blocks.inc();
        metrics.samples.inc_by(block.samples as u64);
        metrics.block_rows.observe(block.samples as f64);
        if block.newest_ms > 0 {
            let age_ms = accounts::now_ms().saturating_sub(block.newest_ms).max(0);
            metrics.newest_age_seconds.observe(age_ms as f64 / 1000.0);
        }
        metrics.next_offset(self.way(), next);
        for (offset, trace, arrived) in &block.traced {
            let mut attributes = self.traced(*offset);
            let rows = i64::try_from(block.samples).unwrap_or(i64::MAX);
            attributes.push(KeyValue::new("tidemark.block.rows", rows));
            self.shared.traces.record("store", trace, *arrived, attributes, None);
        }
        if let Some(membership) = &self.shared.membership {
            membership.show_progress(self.partition, next);
        }
        tracing::debug!(partition = self.partition, next, samples = block.samples, "stored a block");
    }

    /// What is said of a record in its trace.
    fn traced(&self, offset: i64) -> Vec<KeyValue> {
        vec![
            KeyValue::new("messaging.system", "kafka"),
            KeyValue::new("messaging.destination.partition.id", self.partition.to_string()),
            KeyValue::new("messaging.kafka.offset", offset),
            KeyValue::new("tidemark.generation", i64::from(self.shared.generation)),
        ]
    }

    /// Keeps a record that cannot be stored, before the chain passes it.
    async fn bury(&mut self, poison: Option<(Record, Poison)>) {
        let Some((record, poison)) = poison else { return };
        let Some(dead) = self.shared.dead.clone() else { return };
        let partition = self.partition;
        let keep = || dead.keep(partition, record.offset, record.origin, &record.payload, &poison);
        self.persist("a dead letter could not be written", keep).await;
        self.shared.metrics.dead_letters.get_or_create(&self.way()).inc();
        if let Some(trace) = &record.trace {
            let (attributes, error) = (self.traced(record.offset), Some(poison.to_string()));
            self.shared.traces.record("keep as dead letter", trace, record.arrived, attributes, error);
        }
        tracing::error!(partition, offset = record.offset, reason = %poison, "kept a record that cannot be stored as a dead letter");
    }

    /// Tries until it succeeds, says so in the log and the metrics.
    async fn persist<T, E, F>(&self, what: &str, attempt: impl Fn() -> F) -> T
    where
        E: Display,
        F: Future<Output = Result<T, E>>,
    {
        for tries in 1.. {
            match attempt().await {
                Ok(value) => {
                    self.shared.metrics.store_reachable(true);
                    return value;
                }
                Err(error) => {
                    self.shared.metrics.store_reachable(false);
                    self.shared.metrics.retries.inc();
                    self.watch.progress();
                    tracing::warn!(partition = self.partition, tries, %error, "{what}; trying again");
                    tokio::time::sleep(backoff(tries)).await;
                }
            }
        }
        unreachable!("the range has no end")
    }
}

/// Doubles from 100 ms to 5 s, less up to a half by chance, so that partitions do not knock all at once.
fn backoff(tries: u32) -> Duration {
    let longest = FIRST_RETRY.saturating_mul(1 << tries.min(10).saturating_sub(1)).min(LAST_RETRY);
    let jitter = uuid::Uuid::now_v7().as_bytes()[15];
    longest - longest.mul_f64(f64::from(jitter) / 510.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_slow_down_to_five_seconds_and_never_stop() {
        for tries in 1..100 {
            let pause = backoff(tries);
            assert!(pause >= FIRST_RETRY / 2 && pause <= LAST_RETRY, "{tries}: {pause:?}");
        }
        assert!(backoff(99) >= LAST_RETRY / 2);
    }
}
