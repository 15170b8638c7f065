//! What may never happen: two requests with one body are told different ids; two bodies are both acknowledged under one
//! key; something is acknowledged that was not published; what may be in the log is published under other ids by the
//! same body.

use super::*;
use crate::{Exchanged, Ids, LASTS_MS};
use proptest::prelude::*;

/// Redis, as `exchange.lua` promises it. (`store::tests` holds the script to it.)
#[derive(Debug, Clone, Copy, Default)]
pub struct Redis {
    pub claim: Option<Claim>,
    pub lease_over: bool,
}

/// What is left of every lease that is not over.
pub const LEASE_MS: u64 = 60_000;

impl Redis {
    pub fn exchange(&mut self, change: Change) -> Exchanged {
        let version = self.claim.map(|claim| claim.version);
        let done = match change {
            Change::Look => false,
            Change::Put { expected, .. } => expected == version,
            Change::Drop(expected) => Some(expected) == version,
        };
        if done {
            *self = match change {
                Change::Put { claim, .. } => Self { claim: Some(claim), lease_over: false },
                Change::Look | Change::Drop(_) => Self::default(),
            };
        }
        let left = if self.claim.is_none() || self.lease_over { 0 } else { LEASE_MS };
        Exchanged { done, seen: Seen { claim: self.claim, lease_left_ms: left } }
    }
}

#[derive(Debug, Clone, Copy)]
enum Event {
    /// The client does the next thing that it has to do; if that is a publish, it ends so.
    Step(usize, End),
    /// The client's gateway dies; it begins anew.
    Crash(usize),
    /// Nobody who is alive holds a claim for that long.
    LeaseOver,
}

fn event() -> impl Strategy<Value = Event> {
    let end = prop_oneof![
        3 => Just(End::Acknowledged),
        1 => Just(End::NotSent),
        2 => Just(End::Unknown),
    ];
    prop_oneof![
        20 => (0..CLIENTS, end).prop_map(|(client, end)| Event::Step(client, end)),
        2 => (0..CLIENTS).prop_map(Event::Crash),
        2 => Just(Event::LeaseOver),
    ]
}

const CLIENTS: usize = 4;

/// Where a client's request is.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// It has seen this and decides; nothing yet at first.
    Seen(Seen),
    Publishing(Held),
    Settling(Held, End),
}

#[derive(Default)]
struct World {
    redis: Redis,
    names: u128,
    /// What the log holds.
    log: Vec<Batch>,
    /// What was acknowledged.
    answers: Vec<Batch>,
    refused: bool,
}

impl World {
    fn name(&mut self) -> Uuid {
        self.names += 1;
        Uuid::from_u128(self.names)
    }

    /// Two clients send one body, two another.
    fn offer(&mut self, client: usize) -> Batch {
        let ids = Ids { batch_id: self.name(), received_at_ms: 1 };
        Batch { ids, body_hash: [(client % 2) as u8; 32], accepted: 1 }
    }

    fn step(&mut self, client: usize, place: Place, end: End) -> Place {
        match place {
            Place::Seen(seen) => {
                let (attempt, offered) = (self.name(), self.offer(client));
                match next(&seen, attempt, offered) {
                    Step::Take(change, held) => {
                        let Exchanged { done, seen } = self.redis.exchange(change);
                        if done { Place::Publishing(held) } else { Place::Seen(seen) }
                    }
                    Step::Wait(_) => Place::Seen(self.redis.exchange(Change::Look).seen),
                    Step::Replay(batch) => {
                        self.answers.push(batch);
                        Place::Seen(Seen::default())
                    }
                    Step::Reused => {
                        self.refused = true;
                        let other = [((client + 1) % 2) as u8; 32];
                        assert!(self.answers.iter().all(|batch| batch.body_hash == other));
                        Place::Seen(Seen::default())
                    }
                }
            }
            Place::Publishing(held) => {
                if end != End::NotSent {
                    self.log.push(held.batch);
                }
                Place::Settling(held, end)
            }
            Place::Settling(held, end) => {
                let exchanged = self.redis.exchange(settle(&held, end));
                assert!(exchanged.done, "nobody takes a claim whose lease lasts");
                if end == End::Acknowledged {
                    self.answers.push(held.batch);
                }
                Place::Seen(Seen::default())
            }
        }
    }

    fn check(&self) {
        for answer in &self.answers {
            assert_eq!(answer, &self.answers[0], "all who are answered are told the same");
            assert!(self.log.contains(answer), "what is acknowledged is in the log");
        }
    }
}

proptest! {
    #[test]
    fn one_key_stands_for_one_answer(events in prop::collection::vec(event(), 0..80)) {
        let mut world = World::default();
        let mut places = [Place::Seen(Seen::default()); CLIENTS];
        for event in events {
            match event {
                Event::Step(client, end) => places[client] = world.step(client, places[client], end),
                Event::Crash(client) => places[client] = Place::Seen(Seen::default()),
                Event::LeaseOver => {
                    let holder = world.redis.claim.map(|claim| claim.version.attempt);
                    let alive = places.iter().any(|place| match place {
                        Place::Publishing(held) | Place::Settling(held, _) => Some(held.attempt) == holder,
                        Place::Seen(_) => false,
                    });
                    world.redis.lease_over |= !alive;
                }
            }
            world.check();
        }
        // However it went, a client that repeats its request is answered.
        world.redis.lease_over |= true;
        for place in &mut places {
            if let Place::Publishing(_) | Place::Settling(..) = place {
                *place = Place::Seen(Seen::default());
            }
        }
        let (mut place, answered) = (Place::Seen(Seen::default()), world.answers.len());
        for _ in 0..5 {
            if world.answers.len() == answered && !world.refused {
                place = world.step(0, place, End::Acknowledged);
                world.check();
            }
        }
        prop_assert!(world.answers.len() > answered || world.refused);
    }
}

fn batch(id: u128, body: u8) -> Batch {
    let ids = Ids { batch_id: Uuid::from_u128(id), received_at_ms: 1 };
    Batch { ids, body_hash: [body; 32], accepted: 3 }
}

fn seen(state: State, batch: Batch, lease_left_ms: u64) -> Seen {
    let version = Version { attempt: Uuid::from_u128(7), state };
    Seen { claim: Some(Claim { version, batch }), lease_left_ms }
}

#[test]
fn the_same_body_goes_on_with_the_ids_of_an_attempt_that_was_not_acknowledged() {
    for seen in [seen(State::Unacknowledged, batch(1, 0), LEASE_MS), seen(State::Held, batch(1, 0), 0)] {
        let Step::Take(change, held) = next(&seen, Uuid::from_u128(8), batch(2, 0)) else {
            panic!("nobody is at work: {seen:?}")
        };
        assert_eq!((held.batch, held.inherited), (batch(1, 0), true));
        assert!(
            matches!(change, Change::Put { expected, .. } if expected == seen.claim.map(|claim| claim.version))
        );
        // What the first one sent may be in the log, so its ids are kept.
        assert!(
            matches!(settle(&held, End::NotSent), Change::Put { claim, .. } if claim.batch == batch(1, 0))
        );
    }
}

#[test]
fn another_body_takes_over_with_ids_of_its_own() {
    let seen = seen(State::Unacknowledged, batch(1, 0), LEASE_MS);
    let Step::Take(_, held) = next(&seen, Uuid::from_u128(8), batch(2, 1)) else {
        panic!("nobody is at work")
    };
    assert_eq!((held.batch, held.inherited), (batch(2, 1), false));
    assert!(matches!(settle(&held, End::NotSent), Change::Drop(_)));
}

#[test]
fn a_key_is_free_again_a_day_after_its_batch_was_received() {
    let received = |id, body, at| {
        let mut batch = batch(id, body);
        batch.ids.received_at_ms = at;
        batch
    };
    for (after, lasts) in [(LASTS_MS - 1, true), (LASTS_MS, false)] {
        for state in [State::Confirmed, State::Unacknowledged] {
            let seen = seen(state, received(1, 0, 1), 0);
            let stored = state == State::Confirmed && lasts;
            assert_eq!(standing(&seen, 1 + after) == Standing::Stored(received(1, 0, 1)), stored);
            for body in [0, 1] {
                let offered = received(2, body, 1 + after);
                let step = next(&seen, Uuid::from_u128(8), offered);
                match (stored, body) {
                    (true, 0) => assert_eq!(step, Step::Replay(received(1, 0, 1))),
                    (true, _) => assert_eq!(step, Step::Reused),
                    (false, _) => {
                        let Step::Take(Change::Put { expected, .. }, held) = step else { panic!("{step:?}") };
                        assert_eq!(expected, seen.claim.map(|claim| claim.version));
                        let inherited = lasts && body == 0;
                        assert_eq!(held.inherited, inherited);
                        assert_eq!(held.batch, if inherited { received(1, 0, 1) } else { offered });
                    }
                }
            }
        }
    }
}

#[test]
fn an_attempt_is_waited_for_while_its_lease_lasts_whatever_the_body() {
    let seen = seen(State::Held, batch(1, 0), 5);
    let under_way = UnderWay { attempt: Uuid::from_u128(7), lease_left_ms: 5 };
    assert_eq!(standing(&seen, 1), Standing::UnderWay(under_way));
    for body in [0, 1] {
        assert_eq!(next(&seen, Uuid::from_u128(8), batch(2, body)), Step::Wait(under_way));
    }
}
