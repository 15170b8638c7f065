//! What may never happen: more requests of an hour hold a number than the limit allows; two hold the same one; somebody
//! waits for ever, or hears twice.

use super::super::reserve::{KEEP_MS, SHARE};
use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Half a minute before an hour's turn.
const START_MS: u64 = 500_000 * HOUR_MS - 30_000;

/// Redis, as `count.lua` promises it. (`store::tests` holds the script to it.)
#[derive(Debug, Clone, Default)]
pub struct Redis {
    pub now_ms: u64,
    pub stored: Seen,
    pub given_back: BTreeSet<u64>,
    /// The last call of each caller that gave something back.
    pub last_calls: BTreeMap<u64, u64>,
}

impl Redis {
    pub fn count(&mut self, call: &Call, epochs: &mut u64) -> Reply {
        let Call { limit, asked, ahead, seen, .. } = *call;
        let mut hour = self.now_ms / HOUR_MS;
        hour += u64::from(self.stored.hour == hour + 1 || seen.hour == hour + 1);
        let begun = self.stored.hour == hour;
        let mut now = if begun { self.stored } else { Seen { hour, ..Seen::default() } };
        let same_epoch = begun && seen.hour == hour && seen.epoch == now.epoch;
        let went_back = (seen.epoch, seen.version) > (now.epoch, now.version);
        let lost = begun && seen.hour == hour && went_back;
        let mut changed = lost;
        if seen.hour == hour && seen.high > now.high {
            (now.high, changed) = (seen.high, true);
        }
        let mut given_back = if begun && !lost { self.given_back.clone() } else { BTreeSet::new() };
        let last_call = self.last_calls.get(&call.caller).copied().unwrap_or_default();
        if same_epoch && !lost && !call.refunds.is_empty() && call.number > last_call {
            changed = true;
            given_back.extend(&call.refunds);
            self.last_calls.insert(call.caller, call.number);
        }
        let held = now.high - given_back.len() as u64;
        let left = limit.saturating_sub(held);
        let granted = asked.min(left);
        let granted = granted + ahead.min((left - granted) / SHARE);
        let again: Vec<u64> =
            given_back.iter().rev().copied().filter(|&n| n <= limit).take(granted as usize).collect();
        again.iter().for_each(|number| assert!(given_back.remove(number)));
        let fresh = granted - again.len() as u64;
        now.high += fresh;
        if changed || granted > 0 {
            if lost || !begun {
                *epochs += 1;
                (now.epoch, now.version) = (*epochs, 0);
                self.last_calls.clear();
            }
            now.version += 1;
            (self.stored, self.given_back) = (now, given_back);
        }
        Reply { now_ms: self.now_ms, seen: now, held: held + granted, fresh, again }
    }
}

#[derive(Debug, Clone)]
enum Event {
    Arrive(usize),
    /// So many arrive at once.
    Burst(usize, usize),
    /// A gateway looks after its reserve.
    Tidy(usize),
    /// The gateway's call goes one step: made, carried out, answered.
    Step(usize),
    /// A call whose answer is lost is sent again.
    Resend(usize),
    /// The answer is lost, or the call on its way to Redis.
    Lose(usize),
    /// A call that was lost on its way arrives after all.
    ArriveLate,
    /// One of those that hold a number gives it back.
    Refund(usize),
    Tick(u64),
    /// Redis falls back to what it knew at the last snapshot, or makes one.
    Snapshot,
    Revert,
}

struct World {
    limit: u64,
    outage: Outage,
    redis: Redis,
    snapshot: Redis,
    epochs: u64,
    gateways: Vec<Counter<usize>>,
    calls: Vec<Option<(Call, Option<Reply>)>>,
    stray: Vec<Call>,
    asked: usize,
    verdicts: BTreeMap<usize, Verdict>,
    held: Vec<(usize, Charge)>,
    /// The numbers held, by hour and by the gateway that gave them out alone.
    holders: BTreeMap<(u64, Option<usize>), BTreeSet<u64>>,
}

impl World {
    fn new(limit: u64, gateways: usize, outage: Outage) -> Self {
        let redis = Redis { now_ms: START_MS, ..Redis::default() };
        Self {
            limit,
            outage,
            snapshot: redis.clone(),
            redis,
            epochs: 0,
            gateways: (0..gateways as u64).map(Counter::new).collect(),
            calls: vec![None; gateways],
            stray: Vec::new(),
            asked: 0,
            verdicts: BTreeMap::new(),
            held: Vec::new(),
            holders: BTreeMap::new(),
        }
    }

    fn apply(&mut self, event: &Event) {
        let now_ms = self.redis.now_ms;
        match *event {
            Event::Burst(g, requests) => (0..requests).for_each(|_| self.apply(&Event::Arrive(g))),
            Event::Tidy(g) => {
                let g = g % self.gateways.len();
                self.gateways[g].tidy(now_ms);
            }
            Event::Arrive(g) => {
                let g = g % self.gateways.len();
                self.asked += 1;
                match self.gateways[g].decide(now_ms, self.limit) {
                    Some(verdict) => self.hear(g, self.asked, verdict),
                    None => self.gateways[g].wait(self.limit, self.asked),
                }
            }
            Event::Step(g) => self.step(g % self.gateways.len()),
            Event::Resend(g) => {
                let g = g % self.gateways.len();
                if let Some((_, reply)) = &mut self.calls[g] {
                    *reply = None;
                }
            }
            Event::Lose(g) => {
                let g = g % self.gateways.len();
                if let Some((call, reply)) = self.calls[g].take() {
                    self.stray.extend(reply.is_none().then_some(call));
                    for (waiter, verdict) in self.gateways[g].unanswered(now_ms, self.outage) {
                        self.hear(g, waiter, verdict);
                    }
                }
            }
            Event::ArriveLate => {
                if let Some(call) = self.stray.pop() {
                    self.redis.count(&call, &mut self.epochs);
                }
            }
            Event::Refund(index) if !self.held.is_empty() => {
                let (g, charge) = self.held.swap_remove(index % self.held.len());
                self.holder(g, &charge).remove(&charge.number);
                self.gateways[g].refund(charge);
            }
            Event::Refund(_) => {}
            Event::Tick(ms) => self.redis.now_ms += ms,
            Event::Snapshot => self.snapshot = self.redis.clone(),
            Event::Revert => self.redis = Redis { now_ms, ..self.snapshot.clone() },
        }
    }

    fn step(&mut self, g: usize) {
        match self.calls[g].take() {
            None => self.calls[g] = self.gateways[g].next_call().map(|call| (call, None)),
            Some((call, None)) => {
                let reply = self.redis.count(&call, &mut self.epochs);
                self.calls[g] = Some((call, Some(reply)));
            }
            Some((_, Some(reply))) => {
                for (waiter, verdict) in self.gateways[g].answered(reply).verdicts {
                    self.hear(g, waiter, verdict);
                }
            }
        }
    }

    fn hear(&mut self, g: usize, waiter: usize, verdict: Verdict) {
        assert!(self.verdicts.insert(waiter, verdict).is_none(), "{waiter} hears twice");
        if let Verdict::Counted(charge) = verdict {
            let Charge { limit, number, hour, .. } = charge;
            assert!((1..=limit).contains(&number), "{number} of {limit}");
            self.held.push((g, charge));
            let most = self.limit;
            let numbers = self.holder(g, &charge);
            assert!(numbers.insert(number), "number {number} of hour {hour} is held twice");
            assert!(numbers.len() as u64 <= most, "{} of {most}", numbers.len());
        }
    }

    /// Where it stands who holds `charge`: in an outage a gateway alone may give out what others have, up to the limit
    /// for each of them.
    fn holder(&mut self, g: usize, charge: &Charge) -> &mut BTreeSet<u64> {
        let alone = (charge.source == Source::Alone).then_some(g);
        self.holders.entry((charge.hour, alone)).or_default()
    }

    /// Who was counted so far counts no more.
    fn forget(&mut self) {
        self.held.clear();
        self.holders.clear();
    }

    /// Lets everything that is under way come to its end.
    fn finish(&mut self) {
        for _ in 0..2 * self.asked + 10 {
            (0..self.gateways.len()).for_each(|g| self.step(g));
        }
        assert_eq!(self.verdicts.len(), self.asked, "somebody still waits");
    }
}

fn event(losses: u32, memory: u32) -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0..4usize).prop_map(Event::Arrive),
        12 => (0..4usize).prop_map(Event::Step),
        losses => (0..4usize).prop_map(Event::Lose),
        losses => Just(Event::ArriveLate),
        losses => (0..4usize).prop_map(Event::Resend),
        3 => (0..64usize).prop_map(Event::Refund),
        2 => prop_oneof![0..1500u64, Just(20_000)].prop_map(Event::Tick),
        1 => (0..4usize).prop_map(Event::Tidy),
        memory => Just(Event::Snapshot),
        memory => Just(Event::Revert),
    ]
}

/// What a busy project meets, within its hour.
fn busy_event(losses: u32, memory: u32) -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => event(losses, memory).prop_filter("the hour goes on", |event| !matches!(event, Event::Tick(_))),
        3 => (0..4usize, 0..300usize).prop_map(|(g, requests)| Event::Burst(g, requests)),
        2 => prop_oneof![0..20u64, Just(KEEP_MS)].prop_map(Event::Tick),
    ]
}

fn run(world: &mut World, events: &[Event]) {
    events.iter().for_each(|event| world.apply(event));
    world.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn no_hour_sees_more_than_its_limit_whatever_is_lost(
        limit in 1..8u64, gateways in 1..4usize,
        events in prop::collection::vec(event(2, 0), 0..150),
    ) {
        run(&mut World::new(limit, gateways, Outage::Closed), &events);
    }

    #[test]
    fn at_the_turn_several_gateways_give_each_hour_its_own_limit(
        limit in 1..8u64, gateways in 2..4usize,
        before in prop::collection::vec(event(1, 0), 0..60),
        after in prop::collection::vec(event(1, 0), 0..60),
    ) {
        let mut world = World::new(limit, gateways, Outage::Closed);
        // Calls of the old hour are under way at the turn, answers of it come after.
        before.iter().for_each(|event| world.apply(event));
        world.redis.now_ms = world.redis.now_ms.max(START_MS + 30_000);
        after.iter().for_each(|event| world.apply(event));
        world.finish();
        // Nobody is kept from the new hour by the old one.
        let new_hour = world.redis.now_ms / HOUR_MS;
        world.forget();
        world.redis.now_ms = (new_hour + 1) * HOUR_MS;
        (0..gateways).cycle().take(2 * limit as usize).for_each(|g| world.apply(&Event::Arrive(g)));
        world.finish();
        prop_assert_eq!(world.held.len() as u64, limit);
        prop_assert!(world.held.iter().all(|(_, charge)| charge.hour == new_hour + 1));
    }

    #[test]
    fn in_an_outage_a_gateway_alone_grants_no_more_than_the_limit(
        limit in 1..8u64, gateways in 1..4usize,
        events in prop::collection::vec(event(4, 0), 0..150),
    ) {
        run(&mut World::new(limit, gateways, Outage::Open), &events);
    }

    #[test]
    fn one_gateway_makes_up_for_a_redis_that_forgets(
        limit in 1..8u64, events in prop::collection::vec(event(1, 2), 0..150),
    ) {
        run(&mut World::new(limit, 1, Outage::Closed), &events);
    }

    #[test]
    fn nobody_is_refused_while_something_is_left(
        limit in 1..40u64, gateways in 1..4usize,
        events in prop::collection::vec(prop_oneof![(0..4usize).prop_map(Event::Arrive), (0..4usize).prop_map(Event::Step)], 0..150),
    ) {
        let mut world = World::new(limit, gateways, Outage::Closed);
        run(&mut world, &events);
        prop_assert_eq!(world.held.len(), world.asked.min(limit as usize));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn a_busy_hour_sees_no_more_than_its_limit_whatever_is_lost(
        limit in 4_000..24_000u64, gateways in 1..4usize,
        events in prop::collection::vec(busy_event(1, 0), 0..80),
    ) {
        run(&mut World::new(limit, gateways, Outage::Open), &events);
    }

    #[test]
    fn one_busy_gateway_makes_up_for_a_redis_that_forgets(
        limit in 4_000..24_000u64, events in prop::collection::vec(busy_event(1, 2), 0..80),
    ) {
        run(&mut World::new(limit, 1, Outage::Closed), &events);
    }

    #[test]
    fn what_was_taken_ahead_and_not_used_is_given_back(
        limit in 4_000..24_000u64, gateways in 1..4usize,
        events in prop::collection::vec(busy_event(0, 0), 0..80),
    ) {
        let mut world = World::new(limit, gateways, Outage::Closed);
        run(&mut world, &events);
        world.redis.now_ms += KEEP_MS;
        (0..gateways).for_each(|g| world.apply(&Event::Tidy(g)));
        world.finish();
        prop_assert_eq!(given_out(&world), world.held.len() as u64);
        // So all the rest is there for whoever asks.
        world.redis.now_ms += REMEMBER_MS;
        world.apply(&Event::Burst(0, limit as usize));
        world.finish();
        prop_assert_eq!(world.held.len() as u64, limit);
    }
}

/// A gateway with 100 numbers in reserve.
fn busy_world() -> World {
    let mut world = World::new(1_000_000, 1, Outage::Closed);
    world.apply(&Event::Burst(0, 400));
    world.finish();
    world.apply(&Event::Tick(KEEP_MS));
    ask(&mut world);
    world
}

/// How many numbers Redis has given out.
fn given_out(world: &World) -> u64 {
    world.redis.stored.high - world.redis.given_back.len() as u64
}

#[test]
fn most_requests_of_a_busy_project_wait_for_nobody() {
    let mut world = busy_world();
    assert_eq!(given_out(&world), 501);
    let now_ms = world.redis.now_ms;
    let waited = (0..50).filter(|_| world.gateways[0].decide(now_ms, 1_000_000).is_none());
    assert_eq!(waited.count(), 0);
    let late = world.gateways[0].decide(now_ms + KEEP_MS, 1_000_000);
    assert_eq!(late, None, "what is too old is not used");
    world.finish();
    assert_eq!(given_out(&world), 451, "but given back");
}

#[test]
fn with_another_plan_what_was_taken_ahead_is_given_back() {
    let mut world = busy_world();
    world.limit = 2_000_000;
    world.apply(&Event::Arrive(0));
    world.step(0);
    // The call under the new plan is under way, and a third plan comes.
    world.limit = 3_000_000;
    world.apply(&Event::Arrive(0));
    world.finish();
    world.apply(&Event::Tick(KEEP_MS));
    world.apply(&Event::Tidy(0));
    world.finish();
    assert_eq!(given_out(&world), world.held.len() as u64);
}

#[test]
fn in_the_last_second_of_an_hour_nothing_is_taken_ahead() {
    let mut world = busy_world();
    world.redis.now_ms = START_MS + 29_500;
    world.apply(&Event::Burst(0, 400));
    world.finish();
    assert_eq!(given_out(&world), world.held.len() as u64);
}

#[test]
fn a_call_without_an_answer_is_not_made_again_for_the_reserve() {
    let mut world = busy_world();
    world.apply(&Event::Burst(0, 60));
    world.step(0);
    assert!(world.calls[0].is_some(), "more is asked for");
    world.apply(&Event::Lose(0));
    assert_eq!(world.gateways[0].next_call(), None);
}

/// Asks with every call answered at once.
fn ask(world: &mut World) -> Verdict {
    world.apply(&Event::Arrive(0));
    world.finish();
    world.verdicts[&world.asked]
}

fn number(verdict: Verdict) -> Option<u64> {
    match verdict {
        Verdict::Counted(charge) => Some(charge.number),
        _ => None,
    }
}

#[test]
fn what_was_given_back_is_given_out_again() {
    let mut world = World::new(2, 1, Outage::Closed);
    assert_eq!(
        [number(ask(&mut world)), number(ask(&mut world)), number(ask(&mut world))],
        [Some(1), Some(2), None]
    );
    world.apply(&Event::Refund(0));
    assert_eq!([number(ask(&mut world)), number(ask(&mut world))], [Some(1), None]);
}

#[test]
fn a_project_that_is_over_is_refused_from_memory_for_a_while() {
    let mut world = World::new(1, 1, Outage::Closed);
    let now_ms = START_MS;
    assert_eq!(world.gateways[0].remembered(now_ms, 1), None);
    ask(&mut world);
    let standing = Standing { limit: 1, remaining: 0, reset: 500_000 * 3600 };
    let refused = Some(Verdict::Over { standing, retry_after: 30 });
    assert_eq!(world.gateways[0].remembered(now_ms, 1), refused);
    assert_eq!(world.gateways[0].remembered(now_ms, 2), None, "a greater plan acts at once");
    assert_eq!(world.gateways[0].remembered(now_ms + REMEMBER_MS, 1), None, "others may have given back");
    let earlier = world.gateways[0].remembered(now_ms - REMEMBER_MS, 1);
    assert_eq!(earlier, None, "a clock that was set back does not prolong it");
    world.redis.now_ms += 29_500;
    ask(&mut world);
    assert_eq!(
        world.gateways[0].remembered(world.redis.now_ms, 1),
        None,
        "the guess at the hour is not exact"
    );
}

#[test]
fn a_smaller_plan_acts_in_the_running_hour_and_a_greater_one_too() {
    let mut world = World::new(5, 1, Outage::Closed);
    (0..5).for_each(|_| assert!(number(ask(&mut world)).is_some()));
    world.limit = 6;
    assert_eq!(number(ask(&mut world)), Some(6));
    world.forget();
    world.limit = 2;
    assert_eq!(number(ask(&mut world)), None);
    world.redis.now_ms += 30_000;
    assert_eq!(number(ask(&mut world)), Some(1), "a new hour");
}

#[test]
fn a_gateway_alone_counts_on_from_what_it_saw_and_redis_goes_on_from_there() {
    let mut world = World::new(5, 2, Outage::Open);
    assert_eq!(number(ask(&mut world)), Some(1));
    assert_eq!(number(world.gateways[0].alone(START_MS, 5, Outage::Open)), Some(2));
    assert_eq!(number(ask(&mut world)), Some(3));
    let closed = world.gateways[0].alone(START_MS, 5, Outage::Closed);
    let standing = Standing { limit: 5, remaining: 2, reset: 500_000 * 3600 };
    assert_eq!(closed, Verdict::Unavailable(standing));
}

#[test]
fn a_lost_memory_is_noticed() {
    let mut world = World::new(9, 1, Outage::Closed);
    ask(&mut world);
    ask(&mut world);
    world.apply(&Event::Revert);
    world.apply(&Event::Arrive(0));
    world.step(0);
    let (call, _) = world.calls[0].take().expect("it asks");
    let reply = world.redis.count(&call, &mut world.epochs);
    let answered = world.gateways[0].answered(reply);
    assert!(answered.forgotten);
    assert_eq!(number(answered.verdicts[0].1), Some(3), "the gateway remembers for it");
}
