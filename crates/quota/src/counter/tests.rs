//! Invariants: no more requests of an hour hold a number than the limit allows, no two hold the same number, and every
//! waiting request receives exactly one verdict.

use super::super::reserve::{MAX_IDLE_MS, SHARE};
use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Half a minute before the end of an hour.
const START_MS: u64 = 500_000 * HOUR_MS - 30_000;

/// Model of `count.lua`. `store::tests` compares the script with it.
#[derive(Debug, Clone, Default)]
pub struct Redis {
    pub now_ms: u64,
    pub stored: Seen,
    pub refunded: BTreeSet<u64>,
    /// The last refunding call of each caller.
    pub last_calls: BTreeMap<u64, u64>,
}

impl Redis {
    pub fn count(&mut self, call: &Call, epochs: &mut u64) -> Reply {
        let Call { limit, asked, prefetch, seen, .. } = *call;
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
        let mut refunded = if begun && !lost { self.refunded.clone() } else { BTreeSet::new() };
        let last_call = self.last_calls.get(&call.caller).copied().unwrap_or_default();
        if same_epoch && !lost && !call.refunds.is_empty() && call.number > last_call {
            changed = true;
            refunded.extend(&call.refunds);
            self.last_calls.insert(call.caller, call.number);
        }
        let held = now.high - refunded.len() as u64;
        let left = limit.saturating_sub(held);
        let granted = asked.min(left);
        let granted = granted + prefetch.min((left - granted) / SHARE);
        let reissued: Vec<u64> =
            refunded.iter().rev().copied().filter(|&n| n <= limit).take(granted as usize).collect();
        reissued.iter().for_each(|number| assert!(refunded.remove(number)));
        let fresh = granted - reissued.len() as u64;
        now.high += fresh;
        if changed || granted > 0 {
            if lost || !begun {
                *epochs += 1;
                (now.epoch, now.version) = (*epochs, 0);
                self.last_calls.clear();
            }
            now.version += 1;
            (self.stored, self.refunded) = (now, refunded);
        }
        Reply { now_ms: self.now_ms, seen: now, held: held + granted, fresh, reissued }
    }
}

#[derive(Debug, Clone)]
enum Event {
    Arrive(usize),
    /// Several requests arrive at once.
    Burst(usize, usize),
    /// A gateway expires its reserve.
    Tidy(usize),
    /// The gateway's call advances one step: sent, executed, answered.
    Step(usize),
    /// A call whose answer was lost is sent again.
    Resend(usize),
    /// The answer is lost, or the call before it reaches Redis.
    Lose(usize),
    /// A call that seemed lost arrives late.
    ArriveLate,
    /// A request refunds its number.
    Refund(usize),
    Tick(u64),
    /// Redis takes a snapshot, or reverts to the last one.
    Snapshot,
    Revert,
}

struct World {
    limit: u64,
    outage: OutagePolicy,
    redis: Redis,
    snapshot: Redis,
    epochs: u64,
    gateways: Vec<Counter<usize>>,
    calls: Vec<Option<(Call, Option<Reply>)>>,
    stray: Vec<Call>,
    asked: usize,
    verdicts: BTreeMap<usize, Verdict>,
    held: Vec<(usize, Charge)>,
    /// Held numbers, by hour and by the gateway that issued them on its own.
    holders: BTreeMap<(u64, Option<usize>), BTreeSet<u64>>,
}

impl World {
    fn new(limit: u64, gateways: usize, outage: OutagePolicy) -> Self {
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
                self.gateways[g].expire_reserve(now_ms);
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
                    for (waiter, verdict) in self.gateways[g].failed(now_ms, self.outage) {
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

    /// The set that `charge` belongs to: in an outage each gateway may issue up to the limit on its own.
    fn holder(&mut self, g: usize, charge: &Charge) -> &mut BTreeSet<u64> {
        let alone = (charge.source == Source::Gateway).then_some(g);
        self.holders.entry((charge.hour, alone)).or_default()
    }

    /// Forgets all held numbers.
    fn forget(&mut self) {
        self.held.clear();
        self.holders.clear();
    }

    /// Completes all calls in flight.
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

/// Events of a busy project within one hour.
fn busy_event(losses: u32, memory: u32) -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => event(losses, memory).prop_filter("the hour goes on", |event| !matches!(event, Event::Tick(_))),
        3 => (0..4usize, 0..300usize).prop_map(|(g, requests)| Event::Burst(g, requests)),
        2 => prop_oneof![0..20u64, Just(MAX_IDLE_MS)].prop_map(Event::Tick),
    ]
}

fn run(world: &mut World, events: &[Event]) {
    events.iter().for_each(|event| world.apply(event));
    world.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn limit_holds_whatever_is_lost(
        limit in 1..8u64, gateways in 1..4usize,
        events in prop::collection::vec(event(2, 0), 0..150),
    ) {
        run(&mut World::new(limit, gateways, OutagePolicy::Closed), &events);
    }

    #[test]
    fn each_hour_has_its_own_limit_at_the_turn(
        limit in 1..8u64, gateways in 2..4usize,
        before in prop::collection::vec(event(1, 0), 0..60),
        after in prop::collection::vec(event(1, 0), 0..60),
    ) {
        let mut world = World::new(limit, gateways, OutagePolicy::Closed);
        // Calls of the old hour are in flight at the turn, and their answers arrive after it.
        before.iter().for_each(|event| world.apply(event));
        world.redis.now_ms = world.redis.now_ms.max(START_MS + 30_000);
        after.iter().for_each(|event| world.apply(event));
        world.finish();
        // The old hour does not affect the new one.
        let new_hour = world.redis.now_ms / HOUR_MS;
        world.forget();
        world.redis.now_ms = (new_hour + 1) * HOUR_MS;
        (0..gateways).cycle().take(2 * limit as usize).for_each(|g| world.apply(&Event::Arrive(g)));
        world.finish();
        prop_assert_eq!(world.held.len() as u64, limit);
        prop_assert!(world.held.iter().all(|(_, charge)| charge.hour == new_hour + 1));
    }

    #[test]
    fn each_gateway_keeps_the_limit_during_an_outage(
        limit in 1..8u64, gateways in 1..4usize,
        events in prop::collection::vec(event(4, 0), 0..150),
    ) {
        run(&mut World::new(limit, gateways, OutagePolicy::Open), &events);
    }

    #[test]
    fn gateway_restores_the_count_that_redis_lost(
        limit in 1..8u64, events in prop::collection::vec(event(1, 2), 0..150),
    ) {
        run(&mut World::new(limit, 1, OutagePolicy::Closed), &events);
    }

    #[test]
    fn no_request_is_refused_while_quota_is_left(
        limit in 1..40u64, gateways in 1..4usize,
        events in prop::collection::vec(prop_oneof![(0..4usize).prop_map(Event::Arrive), (0..4usize).prop_map(Event::Step)], 0..150),
    ) {
        let mut world = World::new(limit, gateways, OutagePolicy::Closed);
        run(&mut world, &events);
        prop_assert_eq!(world.held.len(), world.asked.min(limit as usize));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn limit_holds_for_a_busy_project_whatever_is_lost(
        limit in 4_000..24_000u64, gateways in 1..4usize,
        events in prop::collection::vec(busy_event(1, 0), 0..80),
    ) {
        run(&mut World::new(limit, gateways, OutagePolicy::Open), &events);
    }

    #[test]
    fn busy_gateway_restores_the_count_that_redis_lost(
        limit in 4_000..24_000u64, events in prop::collection::vec(busy_event(1, 2), 0..80),
    ) {
        run(&mut World::new(limit, 1, OutagePolicy::Closed), &events);
    }

    #[test]
    fn unused_prefetched_numbers_are_refunded(
        limit in 4_000..24_000u64, gateways in 1..4usize,
        events in prop::collection::vec(busy_event(0, 0), 0..80),
    ) {
        let mut world = World::new(limit, gateways, OutagePolicy::Closed);
        run(&mut world, &events);
        world.redis.now_ms += MAX_IDLE_MS;
        (0..gateways).for_each(|g| world.apply(&Event::Tidy(g)));
        world.finish();
        prop_assert_eq!(issued(&world), world.held.len() as u64);
        // All remaining numbers are available to any gateway.
        world.redis.now_ms += EXCEEDED_CACHE_MS;
        world.apply(&Event::Burst(0, limit as usize));
        world.finish();
        prop_assert_eq!(world.held.len() as u64, limit);
    }
}

/// Returns a world whose gateway has prefetched 100 numbers.
fn busy_world() -> World {
    let mut world = World::new(1_000_000, 1, OutagePolicy::Closed);
    world.apply(&Event::Burst(0, 400));
    world.finish();
    world.apply(&Event::Tick(MAX_IDLE_MS));
    ask(&mut world);
    world
}

/// Count of numbers issued by Redis.
fn issued(world: &World) -> u64 {
    world.redis.stored.high - world.redis.refunded.len() as u64
}

#[test]
fn most_requests_of_a_busy_project_do_not_wait() {
    let mut world = busy_world();
    assert_eq!(issued(&world), 501);
    let now_ms = world.redis.now_ms;
    let waited = (0..50).filter(|_| world.gateways[0].decide(now_ms, 1_000_000).is_none());
    assert_eq!(waited.count(), 0);
    let late = world.gateways[0].decide(now_ms + MAX_IDLE_MS, 1_000_000);
    assert_eq!(late, None, "what is too old is not used");
    world.finish();
    assert_eq!(issued(&world), 451, "but given back");
}

#[test]
fn changed_limit_refunds_prefetched_numbers() {
    let mut world = busy_world();
    world.limit = 2_000_000;
    world.apply(&Event::Arrive(0));
    world.step(0);
    // The call under the new limit is in flight when a third limit arrives.
    world.limit = 3_000_000;
    world.apply(&Event::Arrive(0));
    world.finish();
    world.apply(&Event::Tick(MAX_IDLE_MS));
    world.apply(&Event::Tidy(0));
    world.finish();
    assert_eq!(issued(&world), world.held.len() as u64);
}

#[test]
fn nothing_is_prefetched_in_the_last_second_of_an_hour() {
    let mut world = busy_world();
    world.redis.now_ms = START_MS + 29_500;
    world.apply(&Event::Burst(0, 400));
    world.finish();
    assert_eq!(issued(&world), world.held.len() as u64);
}

#[test]
fn failed_call_is_not_repeated_for_the_reserve() {
    let mut world = busy_world();
    world.apply(&Event::Burst(0, 60));
    world.step(0);
    assert!(world.calls[0].is_some(), "more is asked for");
    world.apply(&Event::Lose(0));
    assert_eq!(world.gateways[0].next_call(), None);
}

/// Counts a request; every call is answered at once.
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
fn refunded_number_is_reissued() {
    let mut world = World::new(2, 1, OutagePolicy::Closed);
    assert_eq!(
        [number(ask(&mut world)), number(ask(&mut world)), number(ask(&mut world))],
        [Some(1), Some(2), None]
    );
    world.apply(&Event::Refund(0));
    assert_eq!([number(ask(&mut world)), number(ask(&mut world))], [Some(1), None]);
}

#[test]
fn exceeded_project_is_refused_from_memory_for_a_while() {
    let mut world = World::new(1, 1, OutagePolicy::Closed);
    let now_ms = START_MS;
    assert_eq!(world.gateways[0].exceeded_from_memory(now_ms, 1), None);
    ask(&mut world);
    let state = QuotaState { limit: 1, remaining: 0, reset: 500_000 * 3600 };
    let refused = Some(Verdict::Exceeded { state, retry_after: 30 });
    assert_eq!(world.gateways[0].exceeded_from_memory(now_ms, 1), refused);
    assert_eq!(world.gateways[0].exceeded_from_memory(now_ms, 2), None, "a larger limit applies at once");
    assert_eq!(
        world.gateways[0].exceeded_from_memory(now_ms + EXCEEDED_CACHE_MS, 1),
        None,
        "another gateway may have refunded"
    );
    let earlier = world.gateways[0].exceeded_from_memory(now_ms - EXCEEDED_CACHE_MS, 1);
    assert_eq!(earlier, None, "a clock that was set back does not extend it");
    world.redis.now_ms += 29_500;
    ask(&mut world);
    assert_eq!(
        world.gateways[0].exceeded_from_memory(world.redis.now_ms, 1),
        None,
        "the estimate of the hour is not exact"
    );
}

#[test]
fn changed_limit_applies_to_the_running_hour() {
    let mut world = World::new(5, 1, OutagePolicy::Closed);
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
fn local_counting_continues_and_redis_resumes_from_it() {
    let mut world = World::new(5, 2, OutagePolicy::Open);
    assert_eq!(number(ask(&mut world)), Some(1));
    assert_eq!(number(world.gateways[0].decide_locally(START_MS, 5, OutagePolicy::Open)), Some(2));
    assert_eq!(number(ask(&mut world)), Some(3));
    let closed = world.gateways[0].decide_locally(START_MS, 5, OutagePolicy::Closed);
    let state = QuotaState { limit: 5, remaining: 2, reset: 500_000 * 3600 };
    assert_eq!(closed, Verdict::Unavailable(state));
}

#[test]
fn lost_count_is_reported() {
    let mut world = World::new(9, 1, OutagePolicy::Closed);
    ask(&mut world);
    ask(&mut world);
    world.apply(&Event::Revert);
    world.apply(&Event::Arrive(0));
    world.step(0);
    let (call, _) = world.calls[0].take().expect("it asks");
    let reply = world.redis.count(&call, &mut world.epochs);
    let answered = world.gateways[0].answered(reply);
    assert!(answered.count_lost);
    assert_eq!(number(answered.verdicts[0].1), Some(3), "the gateway remembers for it");
}
