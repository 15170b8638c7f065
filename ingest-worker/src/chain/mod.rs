//! The exactly-once protocol for one Kafka partition: a pure state machine, `(state, event) → action`, no I/O, no clock.
//!
//! **The table is its own ledger.** What is stored of a partition is a chain of blocks. Each block ends in a *marker*
//! row that says which offsets it covers; the *head* is the marker that reaches furthest. Three rules make every record
//! stored once, whoever crashes, stalls or is thrown out of the consumer group:
//!
//! 1. A block is inserted only after the head `h` was read, and begins at `h + 1`.
//! 2. Its deduplication token is made of that beginning alone: two blocks with the same beginning, from whomever and of
//!    whatever length, exclude each other.
//! 3. An insert is one part: it is stored whole, marker and rollups included, or not at all.
//!
//! After every insert, whatever its answer, the chain is read again: only a marker proves that something is stored, for
//! the engine also answers "ok" when it drops a repeat. Group membership only spreads the work; no rule rests on it.
//!
//! **Ghosts.** An engine that is killed between writing a token and the data says "ok" for ever and has nothing. A ghost
//! is believed only when an insert that ran while no other insert of that beginning ran was answered "ok" and the head
//! has not moved. Then the token's next form is used, by everyone who meets the ghost, so that the new form excludes as
//! the old one did.
//!
//! **Loss is refused.** A chain with a gap, a head that went back, a log that does not hold the head's record any more
//! or holds another one in its place: going on would hide that something is gone.

use std::fmt;
use uuid::Uuid;

#[cfg(test)]
mod tests;

/// What the table says of a partition's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// The first offset that any marker covers.
    pub first: i64,
    /// The last offset that any marker covers: the head.
    pub last: i64,
    /// The identity of the record at `last`.
    pub identity: Uuid,
    /// Whether each marker but the first begins where another one ended.
    pub linked: bool,
}

/// What Kafka says of the record at a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogView {
    /// The offset of the log's first record.
    pub start: i64,
    /// The offset after the log's last record.
    pub end: i64,
    /// The identity of the record that was asked for, if it was asked for and is there.
    pub identity: Option<Uuid>,
}

/// A block that is to be inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// The first offset that it covers.
    pub first: i64,
    /// The offset of its last record.
    pub last: i64,
    /// The identity of its last record.
    pub identity: Uuid,
}

/// How an insert ended, as far as its sender knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The engine said "ok": stored, or dropped as a repeat.
    Ok,
    /// Nobody knows: no answer, or an error that may have come after the data.
    Unknown,
    /// The engine refused it for good: sent again, it would be refused again.
    Refused,
    /// It was never sent whole: its permission had grown too old.
    Stale,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The partition was taken over, or is to be looked at anew after a refusal.
    Start,
    /// The chain was read; none if there is no marker.
    Chain(Option<Chain>),
    /// The log was looked at.
    Log(LogView),
    /// A block is ready.
    Ready(Block),
    /// Records have come, but the chain was last read too long ago to insert by it.
    Aged,
    /// The insert ended.
    Inserted(Answer),
    /// Whether an insert of this beginning runs in the engine.
    Running(bool),
    /// The refused block is not made smaller: what is refused is not in its records.
    Hopeless,
    /// A wait is over.
    Waited,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Read the chain; answer with [`Event::Chain`].
    ReadChain,
    /// Look at the log, and at the record at this offset if there is one; answer with [`Event::Log`].
    ReadLog(Option<i64>),
    /// Make the next block of what follows from this offset on; answer with [`Event::Ready`]. `stored`: what was
    /// offered before is in the table, and what was fetched after it is good; otherwise whatever was fetched is void.
    NextBlock {
        /// The offset that the block begins at.
        from: i64,
        /// Whether what was fetched from this offset on is good.
        stored: bool,
    },
    /// Insert the block that was offered, with this form of its token; answer with [`Event::Inserted`].
    Insert {
        /// 0 for the plain token.
        form: u32,
    },
    /// Ask the engine whether an insert with the token of this form runs; answer with [`Event::Running`].
    FindRunning {
        /// As in `Insert`.
        form: u32,
    },
    /// The block was refused, and nothing of it is stored: find the record that is to blame. Answer with
    /// [`Event::Ready`] and the block's first half; with [`Event::Start`] once a block of one record is refused, and that
    /// record will be kept elsewhere; with [`Event::Hopeless`] if it is none of them.
    Narrow,
    /// Wait a moment; answer with [`Event::Waited`].
    Wait,
    /// Say it loudly and stop; later, or when asked to, answer with [`Event::Start`].
    Refuse(Refusal),
}

/// Why a partition is not written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The chain does not begin where the generation does.
    WrongBeginning {
        /// Where the chain begins.
        first: i64,
        /// Where it should.
        expected: i64,
    },
    /// A part is missing, or was stored twice.
    ChainBroken {
        /// The chain's first offset.
        first: i64,
        /// The chain's last offset.
        last: i64,
    },
    /// The table had more before: it was wiped, restored, or lost its newest parts.
    HeadWentBack {
        /// The head that was seen before.
        before: i64,
        /// The head now; none if there is no marker.
        now: Option<i64>,
    },
    /// The log begins after the record that is to be stored next: retention, or a topic made anew.
    LogTruncated {
        /// The first lost offset.
        from: i64,
        /// The last lost offset.
        to: i64,
    },
    /// The log ends before the head: a topic made anew, or its tail was lost.
    LogTooShort {
        /// The head.
        head: i64,
        /// The offset after the log's last record.
        end: i64,
    },
    /// The log holds another record at the head: a topic made anew.
    AnotherLog {
        /// The head.
        head: i64,
    },
    /// The engine refuses the block, and nothing of it is stored.
    BlockRefused {
        /// The block's first offset.
        first: i64,
        /// Its last offset.
        last: i64,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongBeginning { first, expected } => write!(
                f,
                "the stored chain begins at offset {first} and not at {expected}: offsets {expected} to {} are missing \
                 from the table",
                first - 1
            ),
            Self::ChainBroken { first, last } => write!(
                f,
                "the stored chain from offset {first} to {last} has a gap or an overlap: a part of the table is missing \
                 or was attached twice"
            ),
            Self::HeadWentBack { before, now: Some(now) } => write!(
                f,
                "the table ended at offset {before} and now ends at {now}: it was restored or lost parts, offsets {} to \
                 {before} are missing; bring them back, or fill a new table: ingest-worker rebuild clickhouse",
                now + 1
            ),
            Self::HeadWentBack { before, now: None } => {
                write!(
                    f,
                    "the table ended at offset {before} and now holds nothing of the partition: bring it back, or fill a \
                     new table: ingest-worker rebuild clickhouse"
                )
            }
            Self::LogTruncated { from, to } => write!(
                f,
                "offsets {from} to {to} are no longer in Kafka and were never stored: retention removed them, or the \
                 topic was made anew"
            ),
            Self::LogTooShort { head, end } => write!(
                f,
                "the table reaches offset {head}, the Kafka partition ends before {end}: the topic was made anew or lost \
                 its tail"
            ),
            Self::AnotherLog { head } => write!(
                f,
                "the Kafka record at offset {head} is not the one that was stored: the topic was made anew"
            ),
            Self::BlockRefused { first, last } => write!(
                f,
                "ClickHouse refuses offsets {first} to {last}, and would again: its message stands above; nothing of them \
                 is stored"
            ),
        }
    }
}

/// How far the suspicion goes that a token is a ghost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// None.
    None,
    /// "Ok" was said, and the head has not moved: wait until no other insert of this beginning runs.
    AwaitQuiet,
    /// Nothing else ran when the insert was sent again.
    SentAlone,
    /// It was answered "ok" and the head has not moved: was it alone to its end?
    CheckAlone,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// The chain is read to take the partition over.
    TakingOver,
    /// The log is compared with the chain.
    Comparing(Option<Chain>),
    /// A block is awaited.
    Idle,
    /// The chain is read again because the last reading grew old.
    Refreshing,
    /// An insert is on its way.
    Inserting { block: Block, form: u32, doubt: Doubt },
    /// The chain is read after an insert.
    Looking { block: Block, form: u32, doubt: Doubt, answer: Answer },
    /// The engine is asked who else inserts.
    Counting { block: Block, form: u32, doubt: Doubt },
    /// A refused block is made smaller.
    Narrowing { block: Block },
    /// A pause before the chain is read again.
    Pausing { block: Block, form: u32, doubt: Doubt },
    /// Refused.
    Refused,
}

/// The protocol's state for one partition of one generation.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Where the generation's chain begins.
    begin: i64,
    /// The furthest head that was ever seen; `begin - 1` before there was one.
    head: i64,
    state: State,
}

impl Machine {
    /// A machine for a chain that begins at `begin`; its first event is [`Event::Start`].
    pub fn new(begin: i64) -> Self {
        Self { begin, head: begin - 1, state: State::Refused }
    }

    /// Everything before `next` was stored once, whoever did it: a table that ends before it has lost something.
    pub fn was_stored(&mut self, next: i64) {
        self.head = self.head.max(next - 1);
    }

    /// Takes an event, says what to do. An event that does not fit the state (a late answer) starts a takeover, which
    /// is always right: it only reads.
    pub fn on(&mut self, event: Event) -> Action {
        match (std::mem::replace(&mut self.state, State::TakingOver), event) {
            (_, Event::Start) => Action::ReadChain,
            (State::TakingOver, Event::Chain(chain)) => match self.inspect(chain) {
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
            (State::Idle, Event::Ready(block))
                if block.first == self.head + 1 && block.last >= block.first =>
            {
                self.insert(block, 0, Doubt::None)
            }
            (State::Idle, Event::Aged) => {
                self.state = State::Refreshing;
                Action::ReadChain
            }
            (State::Refreshing, Event::Chain(chain)) => {
                let before = self.head;
                match self.inspect(chain) {
                    Err(refusal) => self.refuse(refusal),
                    Ok(()) if self.head > before => Action::ReadChain,
                    Ok(()) => self.next_block(true),
                }
            }
            (State::Inserting { block, form, doubt }, Event::Inserted(answer)) => match answer {
                Answer::Stale => Action::ReadChain,
                Answer::Ok | Answer::Unknown | Answer::Refused => {
                    self.state = State::Looking { block, form, doubt, answer };
                    Action::ReadChain
                }
            },
            (State::Looking { block, form, doubt, answer }, Event::Chain(chain)) => {
                let before = self.head;
                match self.inspect(chain) {
                    Err(refusal) => self.refuse(refusal),
                    // Something of this beginning is stored: ours, or another worker's of another length.
                    Ok(()) if self.head > before => {
                        let ours =
                            chain.is_some_and(|c| c.last == block.last && c.identity == block.identity);
                        if ours { self.next_block(true) } else { Action::ReadChain }
                    }
                    Ok(()) => self.nothing_stored(block, form, doubt, answer),
                }
            }
            (State::Counting { block, form, doubt }, Event::Running(running)) => match (doubt, running) {
                (Doubt::CheckAlone, false) => self.insert(block, form + 1, Doubt::None),
                (_, false) => self.insert(block, form, Doubt::SentAlone),
                (_, true) => {
                    self.state = State::Pausing { block, form, doubt: Doubt::AwaitQuiet };
                    Action::Wait
                }
            },
            (State::Narrowing { block }, Event::Ready(half))
                if half.first == block.first && (half.first..block.last).contains(&half.last) =>
            {
                self.insert(half, 0, Doubt::None)
            }
            (State::Narrowing { block }, Event::Hopeless) => {
                self.refuse(Refusal::BlockRefused { first: block.first, last: block.last })
            }
            (State::Pausing { block, form, doubt }, Event::Waited) => {
                self.state = State::Looking { block, form, doubt, answer: Answer::Ok };
                Action::ReadChain
            }
            _ => Action::ReadChain,
        }
    }

    /// The offset that the next block begins at.
    pub fn next_offset(&self) -> i64 {
        self.head + 1
    }

    /// After a look that found nothing new.
    fn nothing_stored(&mut self, block: Block, form: u32, doubt: Doubt, answer: Answer) -> Action {
        match (answer, doubt) {
            // Sending it again is safe: whatever is still on its way has the same token.
            (Answer::Unknown | Answer::Stale, _) => self.insert(block, form, Doubt::None),
            (Answer::Refused, _) => {
                self.state = State::Narrowing { block };
                Action::Narrow
            }
            (Answer::Ok, Doubt::SentAlone) => self.count(block, form, Doubt::CheckAlone),
            (Answer::Ok, Doubt::None | Doubt::AwaitQuiet | Doubt::CheckAlone) => {
                self.count(block, form, Doubt::AwaitQuiet)
            }
        }
    }

    fn count(&mut self, block: Block, form: u32, doubt: Doubt) -> Action {
        self.state = State::Counting { block, form, doubt };
        Action::FindRunning { form }
    }

    fn insert(&mut self, block: Block, form: u32, doubt: Doubt) -> Action {
        self.state = State::Inserting { block, form, doubt };
        Action::Insert { form }
    }

    fn next_block(&mut self, stored: bool) -> Action {
        self.state = State::Idle;
        Action::NextBlock { from: self.head + 1, stored }
    }

    fn refuse(&mut self, refusal: Refusal) -> Action {
        self.state = State::Refused;
        Action::Refuse(refusal)
    }

    /// Checks the chain as it stands in the table, and takes over its head.
    fn inspect(&mut self, chain: Option<Chain>) -> Result<(), Refusal> {
        let Some(chain) = chain else {
            let nothing_before = self.head == self.begin - 1;
            let refusal = Refusal::HeadWentBack { before: self.head, now: None };
            return if nothing_before { Ok(()) } else { Err(refusal) };
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

    /// Checks that the log still holds what follows on the chain.
    fn compare(&self, chain: Option<Chain>, log: LogView) -> Result<(), Refusal> {
        let next = self.head + 1;
        if log.start > next {
            return Err(Refusal::LogTruncated { from: next, to: log.start - 1 });
        }
        if log.end < next {
            return Err(Refusal::LogTooShort { head: self.head, end: log.end });
        }
        match chain {
            // The head's own record may have expired; nothing after it has.
            Some(chain) if log.start <= chain.last && log.identity != Some(chain.identity) => {
                Err(Refusal::AnotherLog { head: chain.last })
            }
            _ => Ok(()),
        }
    }
}
