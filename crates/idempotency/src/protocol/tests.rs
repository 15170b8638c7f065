//! Invariants: requests with the same body receive the same ids, only one body is acknowledged under a key, only published
//! batches are acknowledged, and a body that may be in the log is never published under other ids.

use super::*;
use crate::{Exchanged, Ids, KEY_LIFETIME_MS};
use proptest::prelude::*;

/// Model of `exchange.lua`. `store::tests` compares the script with it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Redis {
    pub claim: Option<Claim>,
    pub lease_expired: bool,
}

/// Remaining time of every lease that has not expired.
pub const LEASE_MS: u64 = 60_000;

impl Redis {
    pub fn exchange(&mut self, change: Change) -> Exchanged {
        let version = self.claim.map(|claim| claim.version);
        let done = match change {
            Change::Read => false,
            Change::Put { expected, .. } => expected == version,
            Change::Drop(expected) => Some(expected) == version,
        };
        if done {
            *self = match change {
                Change::Put { claim, .. } => Self { claim: Some(claim), lease_expired: false },
                Change::Read | Change::Drop(_) => Self::default(),
            };
        }
        let left = if self.claim.is_none() || self.lease_expired { 0 } else { LEASE_MS };
        Exchanged { done, seen: Seen { claim: self.claim, lease_left_ms: left } }
    }
}

#[derive(Debug, Clone, Copy)]
enum Event {
    /// The client takes its next step. If that is publishing, this is the outcome.
    Step(usize, PublishOutcome),
    /// The client's gateway crashes, and the client starts again.
    Crash(usize),
    /// The lease of a crashed gateway expires.
    LeaseExpires,
}

fn event() -> impl Strategy<Value = Event> {
    let end = prop_oneof![
        3 => Just(PublishOutcome::Acknowledged),
        1 => Just(PublishOutcome::NotSent),
        2 => Just(PublishOutcome::Unknown),
    ];
    prop_oneof![
        20 => (0..CLIENTS, end).prop_map(|(client, end)| Event::Step(client, end)),
        2 => (0..CLIENTS).prop_map(Event::Crash),
        2 => Just(Event::LeaseExpires),
    ]
}

const CLIENTS: usize = 4;

/// Progress of a client's request.
#[derive(Debug, Clone, Copy)]
enum Progress {
    /// It has read this claim and decides.
    Seen(Seen),
    Publishing(Held),
    Settling(Held, PublishOutcome),
}

#[derive(Default)]
struct World {
    redis: Redis,
    names: u128,
    /// Batches in the log.
    log: Vec<Batch>,
    /// Acknowledged batches.
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

    fn step(&mut self, client: usize, progress: Progress, end: PublishOutcome) -> Progress {
        match progress {
            Progress::Seen(seen) => {
                let (attempt, offered) = (self.name(), self.offer(client));
                match next_step(&seen, attempt, offered) {
                    Step::Take(change, held) => {
                        let Exchanged { done, seen } = self.redis.exchange(change);
                        if done { Progress::Publishing(held) } else { Progress::Seen(seen) }
                    }
                    Step::Wait(_) => Progress::Seen(self.redis.exchange(Change::Read).seen),
                    Step::Replay(batch) => {
                        self.answers.push(batch);
                        Progress::Seen(Seen::default())
                    }
                    Step::Reused => {
                        self.refused = true;
                        let other = [((client + 1) % 2) as u8; 32];
                        assert!(self.answers.iter().all(|batch| batch.body_hash == other));
                        Progress::Seen(Seen::default())
                    }
                }
            }
            Progress::Publishing(held) => {
                if end != PublishOutcome::NotSent {
                    self.log.push(held.batch);
                }
                Progress::Settling(held, end)
            }
            Progress::Settling(held, end) => {
                let exchanged = self.redis.exchange(settle(&held, end));
                assert!(exchanged.done, "no claim is taken over during its lease");
                if end == PublishOutcome::Acknowledged {
                    self.answers.push(held.batch);
                }
                Progress::Seen(Seen::default())
            }
        }
    }

    fn check(&self) {
        for answer in &self.answers {
            assert_eq!(answer, &self.answers[0], "all answers are equal");
            assert!(self.log.contains(answer), "every acknowledged batch is in the log");
        }
    }
}

proptest! {
    #[test]
    fn every_key_has_one_answer(events in prop::collection::vec(event(), 0..80)) {
        let mut world = World::default();
        let mut clients = [Progress::Seen(Seen::default()); CLIENTS];
        for event in events {
            match event {
                Event::Step(client, end) => clients[client] = world.step(client, clients[client], end),
                Event::Crash(client) => clients[client] = Progress::Seen(Seen::default()),
                Event::LeaseExpires => {
                    let holder = world.redis.claim.map(|claim| claim.version.attempt);
                    let alive = clients.iter().any(|progress| match progress {
                        Progress::Publishing(held) | Progress::Settling(held, _) => Some(held.attempt) == holder,
                        Progress::Seen(_) => false,
                    });
                    world.redis.lease_expired |= !alive;
                }
            }
            world.check();
        }
        // Whatever happened, a client that repeats its request is answered.
        world.redis.lease_expired |= true;
        for progress in &mut clients {
            if let Progress::Publishing(_) | Progress::Settling(..) = progress {
                *progress = Progress::Seen(Seen::default());
            }
        }
        let (mut progress, answered) = (Progress::Seen(Seen::default()), world.answers.len());
        for _ in 0..5 {
            if world.answers.len() == answered && !world.refused {
                progress = world.step(0, progress, PublishOutcome::Acknowledged);
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
fn same_body_continues_with_the_ids_of_an_unacknowledged_attempt() {
    for seen in [seen(State::Unacknowledged, batch(1, 0), LEASE_MS), seen(State::Held, batch(1, 0), 0)] {
        let Step::Take(change, held) = next_step(&seen, Uuid::from_u128(8), batch(2, 0)) else {
            panic!("the claim is free: {seen:?}")
        };
        assert_eq!((held.batch, held.inherited), (batch(1, 0), true));
        assert!(
            matches!(change, Change::Put { expected, .. } if expected == seen.claim.map(|claim| claim.version))
        );
        // The first attempt's batch may be in the log, so its ids are kept.
        assert!(
            matches!(settle(&held, PublishOutcome::NotSent), Change::Put { claim, .. } if claim.batch == batch(1, 0))
        );
    }
}

#[test]
fn different_body_takes_over_with_new_ids() {
    let seen = seen(State::Unacknowledged, batch(1, 0), LEASE_MS);
    let Step::Take(_, held) = next_step(&seen, Uuid::from_u128(8), batch(2, 1)) else {
        panic!("the claim is free")
    };
    assert_eq!((held.batch, held.inherited), (batch(2, 1), false));
    assert!(matches!(settle(&held, PublishOutcome::NotSent), Change::Drop(_)));
}

#[test]
fn key_is_free_a_day_after_its_batch_was_received() {
    let received = |id, body, at| {
        let mut batch = batch(id, body);
        batch.ids.received_at_ms = at;
        batch
    };
    for (after, lasts) in [(KEY_LIFETIME_MS - 1, true), (KEY_LIFETIME_MS, false)] {
        for state in [State::Confirmed, State::Unacknowledged] {
            let seen = seen(state, received(1, 0, 1), 0);
            let stored = state == State::Confirmed && lasts;
            assert_eq!(key_state(&seen, 1 + after) == KeyState::Stored(received(1, 0, 1)), stored);
            for body in [0, 1] {
                let offered = received(2, body, 1 + after);
                let step = next_step(&seen, Uuid::from_u128(8), offered);
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
fn attempt_in_flight_is_waited_for_during_its_lease() {
    let seen = seen(State::Held, batch(1, 0), 5);
    let in_flight = InFlight { attempt: Uuid::from_u128(7), lease_left_ms: 5 };
    assert_eq!(key_state(&seen, 1), KeyState::InFlight(in_flight));
    for body in [0, 1] {
        assert_eq!(next_step(&seen, Uuid::from_u128(8), batch(2, body)), Step::Wait(in_flight));
    }
}
