//! The counts: no clock and no I/O in here.
//!
//! A count is a state that only grows. It is kept until its minute is over and its last state was reported; nothing else
//! is remembered of reports, and one that failed needs no memory: the next says more. If the clock goes back, a minute
//! whose count is gone could begin again at nothing, so the counter takes another name.

use accounts::keys::Key;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use uuid::Uuid;

/// How many counts are kept; what comes beyond is counted by outcome alone.
pub const MOST_COUNTS: usize = 20_000;
/// How many addresses a count tells apart; all beyond are [`OTHER_ADDRESSES`].
pub const MOST_ADDRESSES: usize = 32;
/// Stands for addresses beyond those that a count tells apart.
pub const OTHER_ADDRESSES: u64 = 0;

const MINUTE_MS: i64 = 60_000;

/// A request that ended.
#[derive(Debug, Clone)]
pub struct Event {
    /// The key that was given, if it is known whose it is.
    pub owner: Option<Arc<Key>>,
    /// How it ended.
    pub outcome: &'static str,
    /// Metrics in it that were accepted.
    pub metrics: u64,
    /// The keyed hash of the client's address.
    pub address: u64,
    /// When it ended, Unix milliseconds.
    pub at_ms: i64,
}

/// What is counted as one.
#[derive(Debug, Clone)]
pub struct Place {
    counter: Uuid,
    owner: Option<Arc<Key>>,
    outcome: &'static str,
    minute: i64,
}

/// How far a count has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Count {
    /// Requests.
    pub requests: u64,
    /// Metrics in them that were accepted.
    pub metrics: u64,
    /// When the last of them ended, Unix milliseconds.
    pub last_at_ms: i64,
    /// Keyed hashes of the addresses that they came from.
    pub addresses: Vec<u64>,
    /// Requests in the last state that was reported.
    reported: u64,
}

/// A state of a count, to be reported.
#[derive(Debug, Clone)]
pub struct Snapshot {
    place: Place,
    /// The state.
    pub count: Count,
}

/// All counts.
#[derive(Debug)]
pub struct Tally {
    most: usize,
    counter: Uuid,
    /// Names the counts of what no longer fits, which have no owner, like those of unknown keys.
    rest_counter: Uuid,
    /// The minute of the newest event.
    minute: i64,
    counts: HashMap<Place, Count>,
    /// What no longer fitted, by outcome, in the minute in which that began.
    rest: HashMap<&'static str, (Place, Count)>,
}

impl Default for Tally {
    fn default() -> Self {
        Self::with_room_for(MOST_COUNTS)
    }
}

impl Tally {
    /// Keeps up to `most` counts.
    pub fn with_room_for(most: usize) -> Self {
        Self {
            most,
            counter: Uuid::now_v7(),
            rest_counter: Uuid::now_v7(),
            minute: i64::MIN,
            counts: HashMap::new(),
            rest: HashMap::new(),
        }
    }

    /// Counts a request. False if it is counted by its outcome alone.
    pub fn count(&mut self, event: Event) -> bool {
        let minute = event.at_ms.div_euclid(MINUTE_MS);
        if minute < self.minute {
            (self.counter, self.rest_counter) = (Uuid::now_v7(), Uuid::now_v7());
        }
        self.minute = minute;
        let (outcome, full) = (event.outcome, self.counts.len() >= self.most);
        let place = Place { counter: self.counter, owner: event.owner.clone(), outcome, minute };
        match self.counts.entry(place) {
            Entry::Occupied(count) => count.into_mut().add(&event),
            Entry::Vacant(count) if !full => count.insert(Count::default()).add(&event),
            Entry::Vacant(_) => {
                let place = Place { counter: self.rest_counter, owner: None, outcome, minute };
                let (_, count) = self.rest.entry(outcome).or_insert_with(|| (place, Count::default()));
                count.add(&event);
                return false;
            }
        }
        true
    }

    /// The states that were not reported yet.
    pub fn changed(&mut self) -> Vec<Snapshot> {
        let rest = self.rest.values().map(|(place, count)| (place, count));
        let all = self.counts.iter().chain(rest);
        all.filter(|(_, count)| count.requests > count.reported)
            .map(|(place, count)| Snapshot { place: place.clone(), count: count.clone() })
            .collect()
    }

    /// These states are reported. What cannot grow any more is let go of.
    pub fn reported(&mut self, snapshots: &[Snapshot]) {
        for Snapshot { place, count } in snapshots {
            let state = match self.counts.get_mut(place) {
                Some(state) => Some(state),
                None => {
                    self.rest.get_mut(place.outcome).filter(|(kept, _)| kept == place).map(|rest| &mut rest.1)
                }
            };
            if let Some(state) = state {
                state.reported = state.reported.max(count.requests);
            }
        }
        let (minute, counters) = (self.minute, [self.counter, self.rest_counter]);
        let kept = |place: &Place, count: &Count| {
            count.requests > count.reported || (place.minute >= minute && counters.contains(&place.counter))
        };
        self.counts.retain(|place, count| kept(place, count));
        self.rest.retain(|_, (place, count)| kept(place, count));
    }
}

impl Count {
    fn add(&mut self, event: &Event) {
        self.requests += 1;
        self.metrics += event.metrics;
        self.last_at_ms = self.last_at_ms.max(event.at_ms);
        if !self.addresses.contains(&event.address) {
            match self.addresses.len() {
                0..MOST_ADDRESSES => self.addresses.push(event.address),
                MOST_ADDRESSES => self.addresses.push(OTHER_ADDRESSES),
                _ => {}
            }
        }
    }
}

impl Snapshot {
    /// Who counted.
    pub fn counter(&self) -> Uuid {
        self.place.counter
    }

    /// The project; empty if none is known.
    pub fn project_id(&self) -> &str {
        self.place.ids().0
    }

    /// The connection; empty if there is none.
    pub fn connection_id(&self) -> &str {
        self.place.ids().1
    }

    /// How the requests ended.
    pub fn outcome(&self) -> &'static str {
        self.place.outcome
    }

    /// The minute, Unix milliseconds of its start.
    pub fn minute_ms(&self) -> i64 {
        self.place.minute * MINUTE_MS
    }
}

impl Place {
    /// Project and connection: keys that share both are counted as one.
    fn ids(&self) -> (&str, &str) {
        self.owner.as_deref().map_or(("", ""), |key| (&key.project_id, &key.connection_id))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.minute == other.minute
            && self.counter == other.counter
            && self.outcome == other.outcome
            && self.ids() == other.ids()
    }
}

impl Eq for Place {}

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The counter is nearly always the same.
        (self.ids(), self.outcome, self.minute).hash(state);
    }
}

#[cfg(test)]
mod tests;
