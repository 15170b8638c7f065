//! The protocol against a model of Kafka and of the engine.
//!
//! Several workers believe at once that the partition is theirs, which is worse than any rebalance. A schedule of random
//! choices lets one of them take a step, lets the engine take an insert's token or finish it, loses an answer, crashes a
//! worker (its request may live on or not), or kills the engine (each running insert is then stored, lost, or a ghost).
//!
//! What may never happen: two blocks that overlap, a gap, a refusal (nothing was lost), a record that is not stored in
//! the end. What must be refused: see the tests of loss.

use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

fn identity(offset: i64) -> Uuid {
    Uuid::from_u128(0xf00d_0000 + offset as u128)
}

/// One insert that the engine works on.
#[derive(Debug, Clone, Copy)]
struct Run {
    id: usize,
    form: u32,
    block: Block,
    /// Its token is written, its data is not yet to be seen: what repeats it is dropped and answered "ok".
    has_token: bool,
}

#[derive(Default)]
struct Engine {
    tokens: HashSet<(i64, u32)>,
    blocks: Vec<Block>,
    running: Vec<Run>,
}

impl Engine {
    fn store(&mut self, run: Run) {
        if run.has_token || self.tokens.insert((run.block.first, run.form)) {
            self.blocks.push(run.block);
        }
    }

    fn take_token(&mut self, pick: usize) {
        let picked = pick % self.running.len().max(1);
        if let Some(run) = self.running.get_mut(picked) {
            run.has_token |= self.tokens.insert((run.block.first, run.form));
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
    /// What it is to do next; none while it waits for an insert.
    action: Option<Action>,
    block: Option<Block>,
    waits_for: Option<usize>,
}

impl Worker {
    fn new() -> Self {
        let mut machine = Machine::new(0);
        let action = Some(machine.on(Event::Start));
        Self { machine, action, block: None, waits_for: None }
    }

    fn hear(&mut self, event: Event) {
        self.action = Some(self.machine.on(event));
    }
}

struct World {
    engine: Engine,
    /// The offsets that exist, ascending, gaps included.
    log: Vec<i64>,
    workers: Vec<Worker>,
    runs: usize,
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
            runs: 0,
        }
    }

    fn end(&self) -> i64 {
        self.log.last().map_or(0, |last| last + 1)
    }

    fn complete(&self) -> bool {
        self.engine.chain().map_or(-1, |chain| chain.last) + 1 == self.end()
    }

    /// Worker `index` does what it is to do; `size` decides how much it puts into a block.
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
                    // Every now and then the permission is too old by the time that records come.
                    worker.hear(Event::Aged);
                    return;
                }
                let Some(&last) = self.log.iter().filter(|offset| **offset >= from).take(size).last() else {
                    return;
                };
                let block = Block { first: from, last, identity: identity(last) };
                worker.block = Some(block);
                Event::Ready(block)
            }
            Action::Insert { form } => {
                let block = worker.block.expect("a block was offered before an insert");
                self.runs += 1;
                self.engine.running.push(Run { id: self.runs, form, block, has_token: false });
                worker.waits_for = Some(self.runs);
                worker.action = None;
                return;
            }
            Action::FindRunning { form } => {
                let begin = worker.block.expect("a block was offered").first;
                Event::Running(
                    self.engine.running.iter().any(|run| run.block.first == begin && run.form == form),
                )
            }
            Action::Wait => Event::Waited,
            Action::Narrow => panic!("nothing was refused"),
            Action::Refuse(refusal) => panic!("nothing was lost, yet: {refusal}"),
        };
        worker.hear(event);
    }

    fn answer(&mut self, run: usize, answer: Answer) {
        if let Some(worker) = self.workers.iter_mut().find(|worker| worker.waits_for == Some(run)) {
            worker.waits_for = None;
            worker.hear(Event::Inserted(answer));
        }
    }

    fn finish_insert(&mut self, pick: usize, answer: Answer) {
        if !self.engine.running.is_empty() {
            let run = self.engine.running.remove(pick % self.engine.running.len());
            self.engine.store(run);
            self.answer(run.id, answer);
        }
    }

    /// The request goes on in the engine; its sender gave up.
    fn lose_answer(&mut self, pick: usize) {
        if let Some(run) = self.engine.running.get(pick % self.engine.running.len().max(1)) {
            self.answer(run.id, Answer::Unknown);
        }
    }

    /// It was stopped for so long that it does not send its request's end.
    fn stall(&mut self, pick: usize) {
        let picked = pick % self.engine.running.len().max(1);
        // What has its token was sent whole.
        if self.engine.running.get(picked).is_some_and(|run| !run.has_token) {
            let run = self.engine.running.remove(picked);
            self.answer(run.id, Answer::Stale);
        }
    }

    fn crash_worker(&mut self, index: usize, request_was_whole: bool) {
        if let Some(run) = self.workers[index].waits_for
            && !request_was_whole
        {
            self.engine.running.retain(|other| other.id != run || other.has_token);
        }
        self.workers[index] = Worker::new();
    }

    fn kill_engine(&mut self, fates: usize) {
        for (index, run) in std::mem::take(&mut self.engine.running).into_iter().enumerate() {
            match (fates >> (2 * (index % 16))) & 3 {
                0 if !run.has_token => {}
                1 | 2 => self.engine.store(run),
                _ => {
                    self.engine.tokens.insert((run.block.first, run.form));
                }
            }
            self.answer(run.id, Answer::Unknown);
        }
    }

    fn assert_sound(&self) {
        if let Some(chain) = self.engine.chain() {
            assert!(chain.linked && chain.first == 0, "{:?}", self.engine.blocks);
        }
    }

    /// No more faults: every record is stored in bounded time.
    fn settle(&mut self) {
        for round in 0..10_000 {
            if self.complete() {
                return;
            }
            // Uneven turns, so that no two workers wait for each other for ever by the test's own rhythm.
            let index = (round * 7 + round / 5) % self.workers.len();
            self.step(index, 3);
            if round % 4 == 0 {
                self.finish_insert(round, Answer::Ok);
            }
            self.assert_sound();
        }
        panic!("the backlog did not go away");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_record_is_stored_once_whatever_happens(
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
                4 => world.finish_insert(pick, Answer::Unknown),
                15..=19 => world.engine.take_token(pick),
                5..=14 => world.finish_insert(pick, Answer::Ok),
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

/// A worker alone with an engine that never fails, until all is stored.
fn settled(records: usize) -> World {
    let mut world = World::new(&vec![0; records], 1);
    world.settle();
    // The last insert was stored; let the worker see it.
    for _ in 0..4 {
        world.step(0, 1);
    }
    world
}

/// What a worker that knows nothing does with the chain and the log as they are.
fn taken_over(chain: Option<Chain>, log: LogView) -> Action {
    let mut machine = Machine::new(0);
    machine.on(Event::Start);
    match machine.on(Event::Chain(chain)) {
        Action::ReadLog(_) => machine.on(Event::Log(log)),
        other => other,
    }
}

#[test]
fn a_ghost_is_passed_by_the_tokens_next_form_and_by_nothing_sooner() {
    let mut world = World::new(&[0], 1);
    world.engine.tokens.insert((0, 0));
    let mut forms = Vec::new();
    for _ in 0..60 {
        if let Some(Action::Insert { form }) = world.workers[0].action {
            forms.push(form);
        }
        world.step(0, 1);
        world.finish_insert(0, Answer::Ok);
    }
    assert!(world.complete());
    assert_eq!(forms, [0, 0, 1], "twice plainly, the second time alone, then the next form");
}

#[test]
fn a_second_ghost_of_the_same_beginning_is_passed_too() {
    let mut world = World::new(&[0], 1);
    world.engine.tokens.extend([(0, 0), (0, 1)]);
    world.settle();
    assert_eq!(world.engine.blocks.len(), 1);
}

#[test]
fn no_ghost_is_believed_while_another_insert_of_that_beginning_runs() {
    let mut world = World::new(&[0], 1);
    world.engine.tokens.insert((0, 0));
    let block = Block { first: 0, last: 0, identity: identity(0) };
    world.engine.running.push(Run { id: usize::MAX, form: 0, block, has_token: true });
    for _ in 0..100 {
        world.step(0, 1);
        if let Some(own) = world.engine.running.iter().position(|run| run.id != usize::MAX) {
            world.finish_insert(own, Answer::Ok);
        }
        assert!(!matches!(world.workers[0].action, Some(Action::Insert { form: 1 })));
    }
}

#[test]
fn no_ghost_is_believed_while_an_insert_runs_that_began_after_the_look() {
    let mut world = World::new(&[0], 2);
    // The first worker's insert was answered "ok" twice, the second time alone, and the chain stands still.
    world.engine.tokens.insert((0, 0));
    let alone = (0..100).any(|_| {
        world.step(0, 1);
        world.finish_insert(0, Answer::Ok);
        matches!(world.workers[0].machine.state, State::Inserting { doubt: Doubt::SentAlone, .. })
    });
    assert!(alone, "it never inserted alone");
    // No ghost after all: the second worker's insert has the token, and its data is not yet to be seen.
    let block = Block { first: 0, last: 0, identity: identity(0) };
    world.step(0, 1);
    world.engine.running.insert(0, Run { id: usize::MAX, form: 0, block, has_token: true });
    world.finish_insert(1, Answer::Ok);
    for _ in 0..20 {
        world.step(0, 1);
        assert_eq!(world.engine.running.len(), 1, "it waits");
    }
    world.finish_insert(0, Answer::Ok);
    world.settle();
    assert_eq!(world.engine.blocks, [block]);
}

#[test]
fn a_block_of_another_length_from_another_worker_is_adopted() {
    let mut machine = Machine::new(0);
    let block = |last| Block { first: 0, last, identity: identity(last) };
    let chain = |last| Some(Chain { first: 0, last, identity: identity(last), linked: true });
    machine.on(Event::Start);
    machine.on(Event::Chain(None));
    machine.on(Event::Log(LogView { start: 0, end: 10, identity: None }));
    machine.on(Event::Ready(block(9)));
    machine.on(Event::Inserted(Answer::Ok));
    assert_eq!(machine.on(Event::Chain(chain(4))), Action::ReadChain, "ours was dropped: take over again");
    assert_eq!(machine.on(Event::Chain(chain(4))), Action::ReadLog(Some(4)));
    let log = LogView { start: 0, end: 10, identity: Some(identity(4)) };
    assert_eq!(machine.on(Event::Log(log)), Action::NextBlock { from: 5, stored: false });
}

#[test]
fn a_block_that_does_not_follow_on_the_chain_is_not_inserted() {
    let mut world = settled(3);
    let machine = &mut world.workers[0].machine;
    assert_eq!(machine.next_offset(), 3);
    let block = Block { first: 4, last: 5, identity: identity(5) };
    assert_eq!(machine.on(Event::Ready(block)), Action::ReadChain);
}

#[test]
fn a_block_that_the_engine_refuses_is_narrowed_only_when_nothing_of_it_is_stored() {
    let offered = || {
        let mut machine = Machine::new(0);
        machine.on(Event::Start);
        machine.on(Event::Chain(None));
        machine.on(Event::Log(LogView { start: 0, end: 10, identity: None }));
        machine.on(Event::Ready(Block { first: 0, last: 9, identity: identity(9) }));
        assert_eq!(machine.on(Event::Inserted(Answer::Refused)), Action::ReadChain);
        machine
    };
    let narrowing = || {
        let mut machine = offered();
        assert_eq!(machine.on(Event::Chain(None)), Action::Narrow);
        machine
    };
    let half = |first, last| Event::Ready(Block { first, last, identity: Uuid::nil() });
    assert_eq!(narrowing().on(half(0, 4)), Action::Insert { form: 0 });
    for wrong in [half(0, 9), half(1, 4), half(0, -1), Event::Start] {
        assert_eq!(narrowing().on(wrong), Action::ReadChain, "{wrong:?}");
    }
    let refused = Action::Refuse(Refusal::BlockRefused { first: 0, last: 9 });
    assert_eq!(narrowing().on(Event::Hopeless), refused);
    let stored = Chain { first: 0, last: 9, identity: identity(9), linked: true };
    assert_eq!(offered().on(Event::Chain(Some(stored))), Action::NextBlock { from: 10, stored: true });
}

#[test]
fn a_missing_part_is_refused() {
    let chain = Chain { first: 0, last: 9, identity: identity(9), linked: false };
    let log = LogView { start: 0, end: 10, identity: Some(identity(9)) };
    assert_eq!(taken_over(Some(chain), log), Action::Refuse(Refusal::ChainBroken { first: 0, last: 9 }));
    let chain = Chain { first: 4, linked: true, ..chain };
    assert_eq!(
        taken_over(Some(chain), log),
        Action::Refuse(Refusal::WrongBeginning { first: 4, expected: 0 })
    );
}

#[test]
fn a_table_that_lost_its_newest_blocks_or_all_of_them_is_refused() {
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
fn what_others_had_stored_is_missed_by_a_machine_that_never_saw_it() {
    let chain = Chain { first: 0, last: 1, identity: identity(1), linked: true };
    for (chain, now) in [(None, None), (Some(chain), Some(1))] {
        let mut machine = Machine::new(0);
        machine.was_stored(5);
        machine.on(Event::Start);
        assert_eq!(machine.on(Event::Chain(chain)), Action::Refuse(Refusal::HeadWentBack { before: 4, now }));
    }
    let mut machine = Machine::new(0);
    machine.was_stored(2);
    machine.on(Event::Start);
    assert_eq!(machine.on(Event::Chain(Some(chain))), Action::ReadLog(Some(1)), "nothing is missing");
}

#[test]
fn a_topic_made_anew_is_refused_whether_it_is_shorter_or_longer() {
    let chain = Chain { first: 0, last: 9, identity: identity(9), linked: true };
    let log = |end, identity| LogView { start: 0, end, identity };
    assert_eq!(
        taken_over(Some(chain), log(3, None)),
        Action::Refuse(Refusal::LogTooShort { head: 9, end: 3 })
    );
    let other = Some(identity(77));
    assert_eq!(taken_over(Some(chain), log(30, other)), Action::Refuse(Refusal::AnotherLog { head: 9 }));
}

#[test]
fn records_that_expired_before_they_were_stored_are_refused() {
    let log = LogView { start: 5, end: 20, identity: None };
    assert_eq!(taken_over(None, log), Action::Refuse(Refusal::LogTruncated { from: 0, to: 4 }));
    let chain = Chain { first: 0, last: 2, identity: identity(2), linked: true };
    assert_eq!(taken_over(Some(chain), log), Action::Refuse(Refusal::LogTruncated { from: 3, to: 4 }));
}

#[test]
fn a_head_whose_own_record_expired_goes_on_when_nothing_after_it_did() {
    let chain = Chain { first: 0, last: 4, identity: identity(4), linked: true };
    let log = LogView { start: 5, end: 20, identity: None };
    assert_eq!(taken_over(Some(chain), log), Action::NextBlock { from: 5, stored: false });
}
