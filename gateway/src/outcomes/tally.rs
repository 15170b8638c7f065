//! The outcome counts in memory. No I/O; the time comes with each event.
//!
//! A count is a state that only grows. It is kept until its minute is over and its last state was reported. A
//! failed report needs no bookkeeping, because the next report holds a later state. If the clock goes back to
//! a minute whose count was dropped, that count would restart at zero; so the counter then takes a new id.

use control::keys::Key;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use uuid::Uuid;

/// Maximum number of counts. Requests beyond it are counted by outcome alone.
pub const MAX_COUNTS: usize = 20_000;
/// Maximum number of addresses in a count. All further addresses are [`OTHER_ADDRESSES`].
pub const MAX_ADDRESSES: usize = 32;
/// Stands for all addresses beyond [`MAX_ADDRESSES`].
pub const OTHER_ADDRESSES: u64 = 0;

const MINUTE_MS: i64 = 60_000;

/// A request that ended.
#[derive(Debug, Clone)]
pub struct Event {
    /// The key to which the request is attributed.
    pub key: Option<Arc<Key>>,
    pub outcome: &'static str,
    /// Number of accepted metrics in the request.
    pub metrics: u64,
    /// Keyed hash of the client's address.
    pub address: u64,
    /// Time when the request ended, in Unix milliseconds.
    pub at_ms: i64,
}

/// Identifies a count.
#[derive(Debug, Clone)]
pub struct CountId {
    counter: Uuid,
    key: Option<Arc<Key>>,
    outcome: &'static str,
    /// Minutes since 1970.
    minute: i64,
}

/// The state of a count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Count {
    pub requests: u64,
    /// Number of accepted metrics in the requests.
    pub metrics: u64,
    /// Time when the last request ended, in Unix milliseconds.
    pub last_at_ms: i64,
    /// Keyed hashes of the client addresses.
    pub addresses: Vec<u64>,
    /// Number of requests in the last reported state.
    reported: u64,
}

/// A state of a count, to be reported.
#[derive(Debug, Clone)]
pub struct Snapshot {
    id: CountId,
    pub count: Count,
}

/// All counts of the process.
#[derive(Debug)]
pub struct Tally {
    capacity: usize,
    counter: Uuid,
    /// Counter id of the overflow counts. They have no key, so they would otherwise collide with the counts
    /// of requests without a known key.
    overflow_counter: Uuid,
    /// Minute of the newest event, in minutes since 1970.
    minute: i64,
    counts: HashMap<CountId, Count>,
    /// The requests beyond `capacity`, by outcome. Each count has the minute in which it started.
    overflow: HashMap<&'static str, (CountId, Count)>,
}

impl Default for Tally {
    fn default() -> Self {
        Self::with_capacity(MAX_COUNTS)
    }
}

impl Tally {
    /// Creates a tally of up to `capacity` counts.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            capacity,
            counter: Uuid::now_v7(),
            overflow_counter: Uuid::now_v7(),
            minute: i64::MIN,
            counts: HashMap::new(),
            overflow: HashMap::new(),
        }
    }

    /// Counts a request. Returns false if it was counted by its outcome alone.
    pub fn count(&mut self, event: Event) -> bool {
        let minute = event.at_ms.div_euclid(MINUTE_MS);
        if minute < self.minute {
            (self.counter, self.overflow_counter) = (Uuid::now_v7(), Uuid::now_v7());
        }
        self.minute = minute;
        let (outcome, full) = (event.outcome, self.counts.len() >= self.capacity);
        let id = CountId { counter: self.counter, key: event.key.clone(), outcome, minute };
        match self.counts.entry(id) {
            Entry::Occupied(entry) => entry.into_mut().add(&event),
            Entry::Vacant(entry) if !full => entry.insert(Count::default()).add(&event),
            Entry::Vacant(_) => {
                let id = CountId { counter: self.overflow_counter, key: None, outcome, minute };
                let (_, count) = self.overflow.entry(outcome).or_insert_with(|| (id, Count::default()));
                count.add(&event);
                return false;
            }
        }
        true
    }

    /// Returns the states that were not reported yet.
    pub fn unreported(&mut self) -> Vec<Snapshot> {
        let overflow = self.overflow.values().map(|(id, count)| (id, count));
        let all = self.counts.iter().chain(overflow);
        all.filter(|(_, count)| count.requests > count.reported)
            .map(|(id, count)| Snapshot { id: id.clone(), count: count.clone() })
            .collect()
    }

    /// Marks these states as reported, and drops the counts that cannot grow any more.
    pub fn mark_reported(&mut self, snapshots: &[Snapshot]) {
        for Snapshot { id, count } in snapshots {
            let overflow =
                self.overflow.get_mut(id.outcome).filter(|(kept, _)| kept == id).map(|(_, state)| state);
            let state = self.counts.get_mut(id).or(overflow);
            if let Some(state) = state {
                state.reported = state.reported.max(count.requests);
            }
        }
        let (minute, counters) = (self.minute, [self.counter, self.overflow_counter]);
        let is_needed = |id: &CountId, count: &Count| {
            count.requests > count.reported || (id.minute >= minute && counters.contains(&id.counter))
        };
        self.counts.retain(|id, count| is_needed(id, count));
        self.overflow.retain(|_, (id, count)| is_needed(id, count));
    }
}

impl Count {
    fn add(&mut self, event: &Event) {
        self.requests += 1;
        self.metrics += event.metrics;
        self.last_at_ms = self.last_at_ms.max(event.at_ms);
        if !self.addresses.contains(&event.address) {
            match self.addresses.len() {
                0..MAX_ADDRESSES => self.addresses.push(event.address),
                MAX_ADDRESSES => self.addresses.push(OTHER_ADDRESSES),
                _ => {}
            }
        }
    }
}

impl Snapshot {
    pub fn counter(&self) -> Uuid {
        self.id.counter
    }

    /// Empty if the project is unknown.
    pub fn project_id(&self) -> &str {
        self.id.project_and_connection().0
    }

    /// Empty if there is no connection or it is unknown.
    pub fn connection_id(&self) -> &str {
        self.id.project_and_connection().1
    }

    pub fn outcome(&self) -> &'static str {
        self.id.outcome
    }

    /// Start of the minute, in Unix milliseconds.
    pub fn minute_ms(&self) -> i64 {
        self.id.minute * MINUTE_MS
    }
}

impl CountId {
    /// Returns the ids of the project and the connection. Keys that share both share their counts.
    fn project_and_connection(&self) -> (&str, &str) {
        self.key.as_deref().map_or(("", ""), |key| (&key.project_id, &key.connection_id))
    }
}

impl PartialEq for CountId {
    fn eq(&self, other: &Self) -> bool {
        self.minute == other.minute
            && self.counter == other.counter
            && self.outcome == other.outcome
            && self.project_and_connection() == other.project_and_connection()
    }
}

impl Eq for CountId {}

impl Hash for CountId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Without the counter, which is nearly always the same.
        (self.project_and_connection(), self.outcome, self.minute).hash(state);
    }
}

#[cfg(test)]
mod tests;
