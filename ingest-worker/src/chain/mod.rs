//! The exactly-once protocol for one Kafka partition: a pure state machine, `(state, event) → action`.
//!
//! It performs no I/O and reads no clock. [`crate::partition`] performs the actions and reports the results as events;
//! `tests.rs` runs the machine against a model of Kafka and of the engine.
//!
//! # Terms
//!
//! - **Block**: the rows of one insert. A block covers a contiguous range of offsets ([`BlockRange`]). Offsets in that
//!   range without rows are repeats, dead letters, or gaps in the log.
//! - **Marker**: the last row of a block. It records the first and the last offset that the block covers, and the
//!   identity of the record at the last one (its batch id, or a hash of its bytes).
//! - **Chain**: all markers of the partition in offset order ([`Chain`]). A sound chain begins where the generation
//!   begins, and each block begins at the offset after the block before it.
//! - **Head**: the last offset that the chain covers; one less than the generation's first offset while the chain is
//!   empty.
//! - **Deduplication token**: the string that ClickHouse stores with an insert. A later insert into the same table
//!   partition with the same token is dropped, and is acknowledged all the same.
//! - **Token form**: a number in the token. Form 0 is the plain token; each phantom insert raises it by one.
//! - **Zombie writer**: a worker that lost the partition and does not know it (it stalled, or was expelled from the
//!   consumer group), or an insert that still runs in the engine after its worker died or gave up on it.
//! - **Phantom insert**: an insert that the engine acknowledges although its block is not in the table and never will
//!   be. It arises when the engine is killed after it has written a token and before it has stored the data: from then
//!   on every insert with that token is dropped as a repeat of a block that does not exist.
//!
//! # The table is its own ledger
//!
//! No second coordinator records what is stored: the chain does. Three rules store every record exactly once, whichever
//! worker or engine crashes, stalls, or becomes a zombie writer:
//!
//! 1. A worker inserts a block only after it has read the head `h`, and the block begins at `h + 1`.
//! 2. Besides generation, partition and token form, the deduplication token depends on that first offset alone. So two
//!    blocks with the same first offset exclude each other, whichever workers send them and whatever their length.
//! 3. An insert creates one part. The block is stored whole, marker and rollups included, or not at all.
//!
//! By rules 1 and 2 at most one block follows each head, so blocks neither overlap nor leave a gap. By rule 3 a marker in
//! the table proves that its rows are there.
//!
//! After every insert, whatever its outcome, the worker reads the chain again. Only a marker proves that a block is
//! stored, because the engine also acknowledges an insert that it dropped as a repeat. If the head has advanced, the
//! marker shows whose block it is. A block of another worker is adopted: this worker discards what it has fetched and
//! continues from the new head. If the head has not advanced after an insert with an unknown outcome, the worker sends
//! the block again. That is safe, because an earlier attempt that is still on its way carries the same token.
//!
//! Group membership only distributes the work. No rule relies on it, because it is no fence: a zombie writer can insert
//! at any time, and the rules make that harmless.
//!
//! # Phantom inserts
//!
//! An acknowledged insert whose marker is missing is either a phantom insert, or was dropped because another insert with
//! the same token still runs and its data is not visible yet. Moving on to the next token form in the second case would
//! store the block twice. So the machine accepts a phantom insert only on this evidence ([`PhantomCheck`]):
//!
//! 1. The engine reports that no insert with this token runs; until then the machine waits and reads the chain again.
//! 2. The block is sent again with the same token, and is acknowledged.
//! 3. The chain is read again, and the head has not advanced.
//! 4. The engine reports again that no insert with this token runs. Otherwise one started after step 1, and the check
//!    begins again.
//!
//! The block is then sent with the next token form. Every worker that meets the phantom insert goes through the same
//! steps from form 0 and arrives at the same form, so blocks exclude each other under the new form as they did under the
//! old one. A second phantom insert at the same offset raises the form again.
//!
//! # Rejected blocks
//!
//! If the engine rejects a block and would reject it again, and none of it is stored, the machine asks for a smaller
//! block ([`Action::Bisect`]). Halving continues down to the one record that the engine rejects; that record becomes a
//! dead letter and the chain passes it. If no single record is at fault, the partition is refused.
//!
//! # Refusing to write
//!
//! The machine refuses to write to a partition ([`Refusal`]) where continuing would hide a loss: the chain has a gap or
//! an overlap, or begins at the wrong offset; the head went back; the log no longer holds the next record, ends before
//! the head, or holds a different record at the head. The driver sends [`Event::Start`] again after a pause, so writing
//! resumes by itself once the cause is fixed.
//!
//! # What the protocol relies on
//!
//! - The engine stores the token before the part becomes visible, and remembers tokens longer than an insert can be on
//!   its way. [`crate::generation`] checks the deduplication window of the table. [`crate::store`] abandons an insert if
//!   the reading of the chain that it relies on is older than two minutes.
//! - Tokens exclude each other within one table partition only, so the table is partitioned by Kafka partition.
//! - One server holds the table and lists the inserts that run in it. With replicas, another server could run an insert
//!   that this one does not list.
//!
//! # What the design gives up
//!
//! - One insert per partition is in flight at a time, and each is followed by a read of the chain. Throughput per
//!   partition is bounded by the block size over the duration of an insert and a read.
//! - Two workers that both believe they own a partition do the same work, and one of them discards its result.
//! - A partition that is refused stops as a whole. Nothing behind the fault is stored until an operator acts.
//! - Passing a phantom insert costs a second insert with the old token and at least two queries of running inserts. While
//!   one is suspected, an insert that never ends in the engine stops its partition.
//! - Markers stay in the table for ever: one row for each block.

mod refusal;
#[cfg(test)]
mod tests;

pub use refusal::Refusal;
use uuid::Uuid;

/// The chain of a partition as the table shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// First offset that any marker covers.
    pub first: i64,
    /// Last offset that any marker covers: the head.
    pub last: i64,
    /// Identity of the record at `last`.
    pub identity: Uuid,
    /// True if each block but the first begins at the offset after another block.
    pub linked: bool,
}

/// The bounds of the log and the record at the head, as Kafka shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogView {
    /// Offset of the first record of the log.
    pub start: i64,
    /// Offset after the last record of the log.
    pub end: i64,
    /// Identity of the requested record. None if no record was requested, or if the log does not hold it.
    pub identity: Option<Uuid>,
}

/// The offsets that a block covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRange {
    pub first: i64,
    /// Offset of the last record.
    pub last: i64,
    /// Identity of the last record.
    pub identity: Uuid,
}

/// Outcome of an insert as far as its sender knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertOutcome {
    /// The engine answered "ok": it stored the block, or dropped it as a repeat.
    Acknowledged,
    /// No answer, or an error that may have occurred after the data was stored.
    Unknown,
    /// The engine rejected the block, and would reject it again.
    Rejected,
    /// The request was abandoned before its end, because the chain had been read too long ago. Nothing is stored.
    Abandoned,
}

/// Input of the state machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The partition was taken over, or is to be checked again after a refusal.
    Start,
    /// The chain was read. None if the partition has no marker.
    Chain(Option<Chain>),
    /// The log was read.
    Log(LogView),
    /// A block is ready to be inserted.
    BlockReady(BlockRange),
    /// A block is ready, but the chain was read too long ago to insert on the strength of it.
    ChainReadExpired,
    /// The insert ended.
    Inserted(InsertOutcome),
    /// True if an insert with the token in question runs in the engine.
    InsertRunning(bool),
    /// The rejected block was not made smaller, because none of its records is the cause of the rejection.
    CannotBisect,
    /// The wait is over.
    Waited,
}

/// Output of the state machine: the next thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Read the chain; answer with [`Event::Chain`].
    ReadChain,
    /// Read the bounds of the log, and the record at this offset if one is given; answer with [`Event::Log`].
    ReadLog(Option<i64>),
    /// Build the next block; answer with [`Event::BlockReady`] or [`Event::ChainReadExpired`].
    NextBlock {
        /// First offset that the block covers.
        from: i64,
        /// True if the chain stands where this worker expects it: records fetched from `from` on are valid, the block
        /// that was offered last is stored if it lies before `from`, and can be offered again if it begins there. False
        /// if everything that was fetched must be discarded.
        keep_fetched: bool,
    },
    /// Insert the block that was offered, with this form of its token; answer with [`Event::Inserted`].
    Insert { token_form: u32 },
    /// Ask the engine whether an insert with this form of the token runs; answer with [`Event::InsertRunning`].
    FindRunningInsert { token_form: u32 },
    /// The block was rejected and none of it is stored: find the record that causes the rejection. Answer with
    /// [`Event::BlockReady`] and the first half of the block; with [`Event::Start`] once a block of one record was
    /// rejected and that record is going to be dead-lettered; with [`Event::CannotBisect`] if no record is the cause.
    Bisect,
    /// Wait a moment; answer with [`Event::Waited`].
    Wait,
    /// Report the refusal and stop writing; answer with [`Event::Start`] when it is time to check again.
    Refuse(Refusal),
}

/// Progress of the check whether an acknowledged insert whose marker is missing is a phantom insert (module doc).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PhantomCheck {
    /// No insert of this block was acknowledged without a marker.
    NotSuspected,
    /// An insert was acknowledged and the head has not advanced: wait until no insert with this token runs.
    AwaitNoneRunning,
    /// No insert with this token ran when the block was sent again.
    SentAlone,
    /// That insert was acknowledged and the head has not advanced: check that no other insert started meanwhile.
    ConfirmAlone,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Reading the chain to take the partition over.
    TakingOver,
    /// Comparing the log with the chain.
    Comparing(Option<Chain>),
    /// Waiting for a block.
    Idle,
    /// Reading the chain again because the last reading grew old.
    Refreshing,
    /// An insert is in flight.
    Inserting { block: BlockRange, token_form: u32, check: PhantomCheck },
    /// Reading the chain after an insert.
    Verifying { block: BlockRange, token_form: u32, check: PhantomCheck, outcome: InsertOutcome },
    /// Asking the engine whether another insert with this token runs.
    FindingRunning { block: BlockRange, token_form: u32, check: PhantomCheck },
    /// Making a rejected block smaller.
    Bisecting { block: BlockRange },
    /// Waiting before the chain is read again.
    Waiting { block: BlockRange, token_form: u32, check: PhantomCheck },
    /// The partition is refused.
    Refused,
}

/// State of the protocol for one partition of one generation.
#[derive(Debug, Clone)]
pub struct Machine {
    /// First offset of the generation's chain.
    begin: i64,
    /// Highest head ever seen; `begin - 1` before the first block.
    head: i64,
    state: State,
}

impl Machine {
    /// Creates a machine for a chain that begins at `begin`. Its first event must be [`Event::Start`].
    pub fn new(begin: i64) -> Self {
        Self { begin, head: begin - 1, state: State::Refused }
    }

    /// Records that every offset before `next` has been stored at some time, by any worker. A chain that ends before
    /// `next` has therefore lost something, and is refused.
    pub fn expect_stored_before(&mut self, next: i64) {
        self.head = self.head.max(next - 1);
    }

    /// Takes an event and returns the next action. An event that does not fit the state, such as a late answer, starts a
    /// takeover. That is always safe, because a takeover only reads.
    pub fn on(&mut self, event: Event) -> Action {
        match (std::mem::replace(&mut self.state, State::TakingOver), event) {
            (_, Event::Start) => Action::ReadChain,
            (State::TakingOver, Event::Chain(chain)) => match self.accept_head(chain) {
                Ok(()) => {
                    self.state = State::Comparing(chain);
                    Action::ReadLog(chain.map(|chain| chain.last))
                }
                Err(refusal) => self.refuse(refusal),
            },
            (State::Comparing(chain), Event::Log(log)) => match self.compare(chain, log) {
                Ok(()) => self.next_block(false),
                Err(refusal) => self.refuse(refusal),
            },
            (State::Idle, Event::BlockReady(block))
                if block.first == self.head + 1 && block.last >= block.first =>
            {
                self.insert(block, 0, PhantomCheck::NotSuspected)
            }
            (State::Idle, Event::ChainReadExpired) => {
                self.state = State::Refreshing;
                Action::ReadChain
            }
            (State::Refreshing, Event::Chain(chain)) => {
                let before = self.head;
                match self.accept_head(chain) {
                    Err(refusal) => self.refuse(refusal),
                    Ok(()) if self.head > before => Action::ReadChain,
                    Ok(()) => self.next_block(true),
                }
            }
            (State::Inserting { block, token_form, check }, Event::Inserted(outcome)) => match outcome {
                InsertOutcome::Abandoned => Action::ReadChain,
                InsertOutcome::Acknowledged | InsertOutcome::Unknown | InsertOutcome::Rejected => {
                    self.state = State::Verifying { block, token_form, check, outcome };
                    Action::ReadChain
                }
            },
            (State::Verifying { block, token_form, check, outcome }, Event::Chain(chain)) => {
                let before = self.head;
                match self.accept_head(chain) {
                    Err(refusal) => self.refuse(refusal),
                    // A block with this first offset is stored: this one, or another worker's of a different length.
                    Ok(()) if self.head > before => {
                        let ours =
                            chain.is_some_and(|c| c.last == block.last && c.identity == block.identity);
                        if ours { self.next_block(true) } else { Action::ReadChain }
                    }
                    Ok(()) => self.on_marker_missing(block, token_form, check, outcome),
                }
            }
            (State::FindingRunning { block, token_form, check }, Event::InsertRunning(running)) => {
                match (check, running) {
                    (PhantomCheck::ConfirmAlone, false) => {
                        self.insert(block, token_form + 1, PhantomCheck::NotSuspected)
                    }
                    (_, false) => self.insert(block, token_form, PhantomCheck::SentAlone),
                    (_, true) => {
                        self.state =
                            State::Waiting { block, token_form, check: PhantomCheck::AwaitNoneRunning };
                        Action::Wait
                    }
                }
            }
            (State::Bisecting { block }, Event::BlockReady(half))
                if half.first == block.first && (half.first..block.last).contains(&half.last) =>
            {
                self.insert(half, 0, PhantomCheck::NotSuspected)
            }
            (State::Bisecting { block }, Event::CannotBisect) => {
                self.refuse(Refusal::BlockRejected { first: block.first, last: block.last })
            }
            (State::Waiting { block, token_form, check }, Event::Waited) => {
                self.state =
                    State::Verifying { block, token_form, check, outcome: InsertOutcome::Acknowledged };
                Action::ReadChain
            }
            _ => Action::ReadChain,
        }
    }

    /// First offset of the next block.
    pub fn next_offset(&self) -> i64 {
        self.head + 1
    }

    /// Decides what to do after an insert if the head has not advanced.
    fn on_marker_missing(
        &mut self,
        block: BlockRange,
        token_form: u32,
        check: PhantomCheck,
        outcome: InsertOutcome,
    ) -> Action {
        match (outcome, check) {
            // Sending the block again is safe: an earlier attempt that is still on its way has the same token.
            (InsertOutcome::Unknown | InsertOutcome::Abandoned, _) => {
                self.insert(block, token_form, PhantomCheck::NotSuspected)
            }
            (InsertOutcome::Rejected, _) => {
                self.state = State::Bisecting { block };
                Action::Bisect
            }
            (InsertOutcome::Acknowledged, PhantomCheck::SentAlone) => {
                self.find_running(block, token_form, PhantomCheck::ConfirmAlone)
            }
            (
                InsertOutcome::Acknowledged,
                PhantomCheck::NotSuspected | PhantomCheck::AwaitNoneRunning | PhantomCheck::ConfirmAlone,
            ) => self.find_running(block, token_form, PhantomCheck::AwaitNoneRunning),
        }
    }

    fn find_running(&mut self, block: BlockRange, token_form: u32, check: PhantomCheck) -> Action {
        self.state = State::FindingRunning { block, token_form, check };
        Action::FindRunningInsert { token_form }
    }

    fn insert(&mut self, block: BlockRange, token_form: u32, check: PhantomCheck) -> Action {
        self.state = State::Inserting { block, token_form, check };
        Action::Insert { token_form }
    }

    fn next_block(&mut self, keep_fetched: bool) -> Action {
        self.state = State::Idle;
        Action::NextBlock { from: self.head + 1, keep_fetched }
    }

    fn refuse(&mut self, refusal: Refusal) -> Action {
        self.state = State::Refused;
        Action::Refuse(refusal)
    }

    /// Checks that the chain is sound and has not lost anything, and adopts its head.
    fn accept_head(&mut self, chain: Option<Chain>) -> Result<(), Refusal> {
        let Some(chain) = chain else {
            let never_stored = self.head == self.begin - 1;
            let refusal = Refusal::HeadWentBack { before: self.head, now: None };
            return if never_stored { Ok(()) } else { Err(refusal) };
        };
        if chain.first != self.begin {
            return Err(Refusal::WrongBeginning { first: chain.first, expected: self.begin });
        }
        if !chain.linked {
            return Err(Refusal::ChainBroken { first: chain.first, last: chain.last });
        }
        if chain.last < self.head {
            return Err(Refusal::HeadWentBack { before: self.head, now: Some(chain.last) });
        }
        self.head = chain.last;
        Ok(())
    }

    /// Checks that the log still holds the records that follow the chain.
    fn compare(&self, chain: Option<Chain>, log: LogView) -> Result<(), Refusal> {
        let next = self.head + 1;
        if log.start > next {
            return Err(Refusal::LogTruncated { from: next, to: log.start - 1 });
        }
        if log.end < next {
            return Err(Refusal::LogTooShort { head: self.head, end: log.end });
        }
        match chain {
            // The record at the head may have expired, as long as no record after it has.
            Some(chain) if log.start <= chain.last && log.identity != Some(chain.identity) => {
                Err(Refusal::AnotherLog { head: chain.last })
            }
            _ => Ok(()),
        }
    }
}
