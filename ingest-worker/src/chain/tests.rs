//! Runs the protocol against a model of Kafka and of the engine.
//!
//! Several workers believe at the same time that they own the partition, which is worse than any rebalance. A random
//! schedule lets a worker take a step, lets the engine write the token of an insert or finish it, loses an answer, stalls
//! or crashes a worker (its request may outlive it), or kills the engine (each running insert is then stored, lost, or
//! becomes a phantom insert).
//!
//! Invariants: blocks never overlap, the chain has no gap, nothing is refused (because nothing was lost), and every
//! record is stored in the end. The tests of loss below show what must be refused.

use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

fn identity(offset: i64) -> Uuid {
    Uuid::from_u128(0xf00d_0000 + offset as u128)
}

/// An insert that runs in the engine.
#[derive(Debug, Clone, Copy)]
struct RunningInsert {
    id: usize,
    token_form: u32,
    block: BlockRange,
    /// Its token is written and its data is not visible yet: repeats of it are dropped and acknowledged.
    has_token: bool,
}

#[derive(Default)]
struct Engine {
    tokens: HashSet<(i64, u32)>,
    blocks: Vec<BlockRange>,
    running: Vec<RunningInsert>,
}

impl Engine {
    fn store(&mut self, insert: RunningInsert) {
        if insert.has_token || self.tokens.insert((insert.block.first, insert.token_form)) {
            self.blocks.push(insert.block);
        }
    }

    fn write_token(&mut self, pick: usize) {
        let picked = pick % self.running.len().max(1);
        if let Some(insert) = self.running.get_mut(picked) {
            insert.has_token |= self.tokens.insert((insert.block.first, insert.token_form));
        }
    }

    fn chain(&self) -> Option<Chain> {
        let mut blocks = self.blocks.clone();
        blocks.sort_by_key(|block| block.first);
        let (first, last) = (blocks.first()?, blocks.iter().max_by_key(|block| block.last)?);
        let linked = blocks.windows(2).all(|pair| pair[0].last + 1 == pair[1].first);
        Some(Chain { first: first.first, last: last.last, identity: last.identity, linked })
    }
}

struct Worker {
    machine: Machine,
    /// The next action; none while an insert is in flight.
    action: Option<Action>,
    block: Option<BlockRange>,
    /// Id of the insert in flight.
    awaited_insert: Option<usize>,
}

impl Worker {
    fn new() -> Self {
        let mut machine = Machine::new(0);
        let action = Some(machine.on(Event::Start));
        Self { machine, action, block: None, awaited_insert: None }
    }

    fn handle(&mut self, event: Event) {
        self.action = Some(self.machine.on(event));
    }
}

struct World {
    engine: Engine,
    /// Offsets of the records, ascending, with gaps.
    log: Vec<i64>,
    workers: Vec<Worker>,
    /// Number of inserts sent so far.
    inserts: usize,
}

impl World {
    fn new(gaps: &[u8], workers: usize) -> Self {
        let mut offset = -1;
        let log = gaps
            .iter()
            .map(|gap| {
                offset += 1 + i64::from(*gap);
                offset
            })
            .collect();
        Self {
            engine: Engine::default(),
            log,
            workers: (0..workers).map(|_| Worker::new()).collect(),
            inserts: 0,
        }
    }

    fn end(&self) -> i64 {
        self.log.last().map_or(0, |last| last + 1)
    }

    fn complete(&self) -> bool {
        self.engine.chain().map_or(-1, |chain| chain.last) + 1 == self.end()
    }

    /// Performs the next action of worker `index`; `size` is the number of records that it puts into a block.
    fn step(&mut self, index: usize, size: usize) {
        let end = self.end();
        let worker = &mut self.workers[index];
        let Some(action) = worker.action.clone() else { return };
        let event = match action {
            Action::ReadChain => Event::Chain(self.engine.chain()),
            Action::ReadLog(at) => {
                let identity = at.filter(|at| self.log.contains(at)).map(identity);
                Event::Log(LogView { start: 0, end, identity })
            }
            Action::NextBlock { from, .. } => {
                if size == 5 {
                    // Sometimes the reading of the chain has grown old by the time that records arrive.
                    worker.handle(Event::ChainReadExpired);
                    return;
                }
                let Some(&last) = self.log.iter().filter(|offset| **offset >= from).take(size).last() else {
                    return;
                };
                let block = BlockRange { first: from, last, identity: identity(last) };
                worker.block = Some(block);
                Event::BlockReady(block)
            }
            Action::Insert { token_form } => {
                let block = worker.block.expect("a block is offered before an insert");
                self.inserts += 1;
                let insert = RunningInsert { id: self.inserts, token_form, block, has_token: false };
                self.engine.running.push(insert);
                worker.awaited_insert = Some(self.inserts);
                worker.action = None;
                return;
            }
            Action::FindRunningInsert { token_form } => {
                let first = worker.block.expect("a block is offered before an insert").first;
                let same_token =
                    |insert: &RunningInsert| insert.block.first == first && insert.token_form == token_form;
                Event::InsertRunning(self.engine.running.iter().any(same_token))
            }
            Action::Wait => Event::Waited,
            Action::Bisect => panic!("the machine bisects although no block was rejected"),
            Action::Refuse(refusal) => panic!("the machine refuses although nothing was lost: {refusal}"),
        };
        worker.handle(event);
    }

    fn answer(&mut self, insert: usize, outcome: InsertOutcome) {
        if let Some(worker) = self.workers.iter_mut().find(|worker| worker.awaited_insert == Some(insert)) {
            worker.awaited_insert = None;
            worker.handle(Event::Inserted(outcome));
        }
    }

    fn finish_insert(&mut self, pick: usize, outcome: InsertOutcome) {
        if !self.engine.running.is_empty() {
            let insert = self.engine.running.remove(pick % self.engine.running.len());
            self.engine.store(insert);
            self.answer(insert.id, outcome);
        }
    }

    /// The sender gives up; its request continues in the engine.
    fn lose_answer(&mut self, pick: usize) {
        if let Some(insert) = self.engine.running.get(pick % self.engine.running.len().max(1)) {
            self.answer(insert.id, InsertOutcome::Unknown);
        }
    }

    /// The sender stalls for so long that it does not send the end of its request.
    fn stall(&mut self, pick: usize) {
        let picked = pick % self.engine.running.len().max(1);
        // An insert that has its token was sent completely.
        if self.engine.running.get(picked).is_some_and(|insert| !insert.has_token) {
            let insert = self.engine.running.remove(picked);
            self.answer(insert.id, InsertOutcome::Abandoned);
        }
    }

    fn crash_worker(&mut self, index: usize, request_was_complete: bool) {
        if let Some(insert) = self.workers[index].awaited_insert
            && !request_was_complete
        {
            self.engine.running.retain(|other| other.id != insert || other.has_token);
        }
        self.workers[index] = Worker::new();
    }

    /// `fates` decides for each running insert whether it is lost, stored, or becomes a phantom insert.
    fn kill_engine(&mut self, fates: usize) {
        for (index, insert) in std::mem::take(&mut self.engine.running).into_iter().enumerate() {
            match (fates >> (2 * (index % 16))) & 3 {
                0 if !insert.has_token => {}
                1 | 2 => self.engine.store(insert),
                _ => {
                    self.engine.tokens.insert((insert.block.first, insert.token_form));
                }
            }
            self.answer(insert.id, InsertOutcome::Unknown);
        }
    }

    fn assert_sound(&self) {
        if let Some(chain) = self.engine.chain() {
            assert!(chain.linked && chain.first == 0, "{:?}", self.engine.blocks);
        }
    }

    /// Runs without further faults until every record is stored; fails if that takes too long.
    fn settle(&mut self) {
        for round in 0..10_000 {
            if self.complete() {
                return;
            }
            // An irregular order, so that the rhythm of the test cannot keep two workers waiting for each other.
            let index = (round * 7 + round / 5) % self.workers.len();
            self.step(index, 3);
            if round % 4 == 0 {
                self.finish_insert(round, InsertOutcome::Acknowledged);
            }
            self.assert_sound();
        }
        panic!("the backlog was not stored");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_record_is_stored_once_under_random_faults(
        gaps in prop::collection::vec(prop_oneof![9 => Just(0u8), 1 => 1u8..4], 1..40),
        workers in 1usize..4,
        schedule in prop::collection::vec((0u8..45, any::<usize>(), 1usize..6), 0..400),
    ) {
        let mut world = World::new(&gaps, workers);
        for (choice, pick, size) in schedule {
            let index = pick % workers;
            match choice {
                0 => world.kill_engine(pick),
                1 => world.crash_worker(index, pick % 3 == 0),
                2 => world.lose_answer(pick),
                3 => world.stall(pick),
                4 => world.finish_insert(pick, InsertOutcome::Unknown),
                15..=19 => world.engine.write_token(pick),
                5..=14 => world.finish_insert(pick, InsertOutcome::Acknowledged),
                _ => world.step(index, size),
            }
            world.assert_sound();
        }
        world.settle();
        let stored: Vec<i64> = world.log.iter().copied()
            .filter(|offset| world.engine.blocks.iter().filter(|b| b.first <= *offset && *offset <= b.last).count() == 1)
            .collect();
        prop_assert_eq!(stored, world.log);
    }
}

/// A single worker that has stored every record in an engine without faults.
fn settled(records: usize) -> World {
    let mut world = World::new(&vec![0; records], 1);
    world.settle();
    // The last insert is stored; let the worker read its marker.
    for _ in 0..4 {
        world.step(0, 1);
    }
    world
}

/// The action of a new worker that takes the partition over and reads this chain and this log.
fn take_over(chain: Option<Chain>, log: LogView) -> Action {
    let mut machine = Machine::new(0);
    machine.on(Event::Start);
    match machine.on(Event::Chain(chain)) {
        Action::ReadLog(_) => machine.on(Event::Log(log)),
        other => other,
    }
}

#[test]
fn phantom_insert_is_passed_by_the_next_token_form_and_not_sooner() {
    let mut world = World::new(&[0], 1);
    world.engine.tokens.insert((0, 0));
    let mut forms = Vec::new();
    for _ in 0..60 {
        if let Some(Action::Insert { token_form }) = world.workers[0].action {
            forms.push(token_form);
        }
        world.step(0, 1);
        world.finish_insert(0, InsertOutcome::Acknowledged);
    }
    assert!(world.complete());
    assert_eq!(
        forms,
        [0, 0, 1],
        "twice with the plain token, the second time alone, then with the next form"
    );
}

#[test]
fn second_phantom_insert_at_the_same_offset_is_passed() {
    let mut world = World::new(&[0], 1);
    world.engine.tokens.extend([(0, 0), (0, 1)]);
    world.settle();
    assert_eq!(world.engine.blocks.len(), 1);
}

#[test]
fn no_phantom_insert_is_assumed_while_another_insert_runs() {
    let mut world = World::new(&[0], 1);
    world.engine.tokens.insert((0, 0));
    let block = BlockRange { first: 0, last: 0, identity: identity(0) };
    let other = RunningInsert { id: usize::MAX, token_form: 0, block, has_token: true };
    world.engine.running.push(other);
    for _ in 0..100 {
        world.step(0, 1);
        if let Some(own) = world.engine.running.iter().position(|insert| insert.id != usize::MAX) {
            world.finish_insert(own, InsertOutcome::Acknowledged);
        }
        assert!(!matches!(world.workers[0].action, Some(Action::Insert { token_form: 1 })));
    }
}

#[test]
fn no_phantom_insert_is_assumed_while_a_later_insert_runs() {
    let mut world = World::new(&[0], 2);
    // The first worker's insert was acknowledged twice, the second time alone, and the head has not advanced.
    world.engine.tokens.insert((0, 0));
    let alone = (0..100).any(|_| {
        world.step(0, 1);
        world.finish_insert(0, InsertOutcome::Acknowledged);
        matches!(world.workers[0].machine.state, State::Inserting { check: PhantomCheck::SentAlone, .. })
    });
    assert!(alone, "the worker never inserted alone");
    // It is not a phantom insert: another worker's insert has the token, and its data is not visible yet.
    let block = BlockRange { first: 0, last: 0, identity: identity(0) };
    world.step(0, 1);
    let other = RunningInsert { id: usize::MAX, token_form: 0, block, has_token: true };
    world.engine.running.insert(0, other);
    world.finish_insert(1, InsertOutcome::Acknowledged);
    for _ in 0..20 {
        world.step(0, 1);
        assert_eq!(world.engine.running.len(), 1, "the worker waits");
    }
    world.finish_insert(0, InsertOutcome::Acknowledged);
    world.settle();
    assert_eq!(world.engine.blocks, [block]);
}

#[test]
fn block_of_another_length_from_another_worker_is_adopted() {
    let mut machine = Machine::new(0);
    let block = |last| BlockRange { first: 0, last, identity: identity(last) };
    let chain = |last| Some(Chain { first: 0, last, identity: identity(last), linked: true });
    machine.on(Event::Start);
    machine.on(Event::Chain(None));
    machine.on(Event::Log(LogView { start: 0, end: 10, identity: None }));
    machine.on(Event::BlockReady(block(9)));
    machine.on(Event::Inserted(InsertOutcome::Acknowledged));
    assert_eq!(
        machine.on(Event::Chain(chain(4))),
        Action::ReadChain,
        "our block was dropped: take over again"
    );
    assert_eq!(machine.on(Event::Chain(chain(4))), Action::ReadLog(Some(4)));
    let log = LogView { start: 0, end: 10, identity: Some(identity(4)) };
    assert_eq!(machine.on(Event::Log(log)), Action::NextBlock { from: 5, keep_fetched: false });
}

#[test]
fn block_that_does_not_continue_the_chain_is_not_inserted() {
    let mut world = settled(3);
    let machine = &mut world.workers[0].machine;
    assert_eq!(machine.next_offset(), 3);
    let block = BlockRange { first: 4, last: 5, identity: identity(5) };
    assert_eq!(machine.on(Event::BlockReady(block)), Action::ReadChain);
}

#[test]
fn rejected_block_is_bisected_only_if_none_of_it_is_stored() {
    let rejected = || {
        let mut machine = Machine::new(0);
        machine.on(Event::Start);
        machine.on(Event::Chain(None));
        machine.on(Event::Log(LogView { start: 0, end: 10, identity: None }));
        machine.on(Event::BlockReady(BlockRange { first: 0, last: 9, identity: identity(9) }));
        assert_eq!(machine.on(Event::Inserted(InsertOutcome::Rejected)), Action::ReadChain);
        machine
    };
    let bisecting = || {
        let mut machine = rejected();
        assert_eq!(machine.on(Event::Chain(None)), Action::Bisect);
        machine
    };
    let half = |first, last| Event::BlockReady(BlockRange { first, last, identity: Uuid::nil() });
    assert_eq!(bisecting().on(half(0, 4)), Action::Insert { token_form: 0 });
    for wrong in [half(0, 9), half(1, 4), half(0, -1), Event::Start] {
        assert_eq!(bisecting().on(wrong), Action::ReadChain, "{wrong:?}");
    }
    let refused = Action::Refuse(Refusal::BlockRejected { first: 0, last: 9 });
    assert_eq!(bisecting().on(Event::CannotBisect), refused);
    let stored = Chain { first: 0, last: 9, identity: identity(9), linked: true };
    assert_eq!(rejected().on(Event::Chain(Some(stored))), Action::NextBlock { from: 10, keep_fetched: true });
}

#[test]
fn missing_part_is_refused() {
    let chain = Chain { first: 0, last: 9, identity: identity(9), linked: false };
    let log = LogView { start: 0, end: 10, identity: Some(identity(9)) };
    assert_eq!(take_over(Some(chain), log), Action::Refuse(Refusal::ChainBroken { first: 0, last: 9 }));
    let chain = Chain { first: 4, linked: true, ..chain };
    assert_eq!(
        take_over(Some(chain), log),
        Action::Refuse(Refusal::WrongBeginning { first: 4, expected: 0 })
    );
}

#[test]
fn table_that_lost_its_newest_or_all_blocks_is_refused() {
    for (chain, now) in
        [(None, None), (Some(Chain { first: 0, last: 1, identity: identity(1), linked: true }), Some(1))]
    {
        let mut world = settled(5);
        let machine = &mut world.workers[0].machine;
        machine.on(Event::Start);
        assert_eq!(machine.on(Event::Chain(chain)), Action::Refuse(Refusal::HeadWentBack { before: 4, now }));
    }
}

#[test]
fn loss_of_blocks_stored_by_other_workers_is_refused() {
    let chain = Chain { first: 0, last: 1, identity: identity(1), linked: true };
    for (chain, now) in [(None, None), (Some(chain), Some(1))] {
        let mut machine = Machine::new(0);
        machine.expect_stored_before(5);
        machine.on(Event::Start);
        assert_eq!(machine.on(Event::Chain(chain)), Action::Refuse(Refusal::HeadWentBack { before: 4, now }));
    }
    let mut machine = Machine::new(0);
    machine.expect_stored_before(2);
    machine.on(Event::Start);
    assert_eq!(machine.on(Event::Chain(Some(chain))), Action::ReadLog(Some(1)), "nothing is missing");
}

#[test]
fn recreated_topic_is_refused_whether_shorter_or_longer() {
    let chain = Chain { first: 0, last: 9, identity: identity(9), linked: true };
    let log = |end, identity| LogView { start: 0, end, identity };
    assert_eq!(
        take_over(Some(chain), log(3, None)),
        Action::Refuse(Refusal::LogTooShort { head: 9, end: 3 })
    );
    let other = Some(identity(77));
    assert_eq!(take_over(Some(chain), log(30, other)), Action::Refuse(Refusal::AnotherLog { head: 9 }));
}

#[test]
fn expiry_of_records_that_were_not_stored_is_refused() {
    let log = LogView { start: 5, end: 20, identity: None };
    assert_eq!(take_over(None, log), Action::Refuse(Refusal::LogTruncated { from: 0, to: 4 }));
    let chain = Chain { first: 0, last: 2, identity: identity(2), linked: true };
    assert_eq!(take_over(Some(chain), log), Action::Refuse(Refusal::LogTruncated { from: 3, to: 4 }));
}

#[test]
fn expiry_of_the_record_at_the_head_alone_is_accepted() {
    let chain = Chain { first: 0, last: 4, identity: identity(4), linked: true };
    let log = LogView { start: 5, end: 20, identity: None };
    assert_eq!(take_over(Some(chain), log), Action::NextBlock { from: 5, keep_fetched: false });
}
