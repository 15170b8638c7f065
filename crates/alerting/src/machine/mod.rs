//! The states of a rule, as a pure function: what it stands at, an observation and the time make what it stands at next
//! and at most one [`Change`].
//!
//! - A rule's first change needs one evaluation. After a change, another state must be seen by two evaluations in a row
//!   before the rule goes there. An evaluation that says nothing (no points, and the rule ignores that) is not counted.
//! - An edit of what decides makes another rule of it: the next evaluation alone says where it is, and that is recorded
//!   also if it is where it was. What made the old state is no reason to keep it: where there are no points, it is ok.
//! - More than four changes in an hour are flapping: the fifth is told as such, those after it are told nobody, and once
//!   no more than two lie within the last hour one more notice says how it ended.
//! - A rule that is switched off or removed ends: if it was not ok, it becomes ok at once, so that whoever heard of its
//!   firing hears of its end.
//!
//! [`Standing::apply`] folds changes, and is all that a restart needs; only the first of two evaluations may be forgotten.

use crate::rule::{Condition, NoData};
use std::collections::VecDeque;

/// The span in which changes are counted.
pub const HOUR_MS: i64 = 3_600_000;
/// So many changes in an hour are told one by one.
pub const CALM: usize = 4;
/// So few changes in an hour end the flapping: less than what began it, or each further change would make two notices.
const SETTLED: usize = 2;
/// So many evaluations in a row must see another state once a rule has changed.
const HELD: u8 = 2;

/// Where a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Its condition does not hold.
    #[default]
    Ok,
    /// Its condition holds.
    Firing,
    /// There are no points, which it is to say.
    NoData,
}

/// What an evaluation saw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Observation {
    /// The window's value.
    Value(f64),
    /// The window has no points.
    Nothing,
    /// The rule is no longer evaluated: it was switched off or removed, or the plan does not allow it.
    Ended,
}

/// Who is told of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The channels.
    Told,
    /// The channels: it flaps.
    Flapping,
    /// Nobody. Where `to` is `from`, the rule was edited, and is where it was.
    Silent,
    /// The channels: it flaps no longer, and is in the state `to`, which is `from`.
    Settled,
}

/// What happened to a rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// Counts the rule's changes from 1.
    pub sequence: u64,
    /// The evaluation's time, Unix milliseconds; never before the rule's last change.
    pub at_ms: i64,
    /// The state before.
    pub from: State,
    /// The state from now on.
    pub to: State,
    /// What was observed, if it was a value.
    pub value: Option<f64>,
    /// Who is told.
    pub notice: Notice,
    /// Whether it is the rule's end, and nothing was observed.
    pub ended: bool,
}

/// What a rule stands at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// The state.
    pub state: State,
    /// Of its last change; 0 if there was none.
    pub sequence: u64,
    /// When its last change was, Unix milliseconds; 0 if there was none.
    pub since_ms: i64,
    /// The sequence of the change that brought it here; 0 if there was none.
    pub entered: u64,
    /// When it changed lately: as many as decide whether it flaps, oldest first.
    recent: VecDeque<i64>,
    /// Whether a notice of flapping awaits its end.
    flapping: bool,
    /// Another state that was seen by the last evaluations, and by how many.
    seen: Option<(State, u8)>,
}

impl Standing {
    /// What the rule stands at after `change`.
    pub fn apply(&mut self, change: &Change) {
        self.sequence = change.sequence;
        self.state = change.to;
        self.seen = None;
        match change.notice {
            Notice::Told | Notice::Silent => {}
            Notice::Flapping => self.flapping = true,
            Notice::Settled => self.flapping = false,
        }
        if change.from != change.to {
            self.since_ms = change.at_ms;
            self.entered = change.sequence;
            self.recent.push_back(change.at_ms);
            // More than these decide nothing.
            while self.recent.len() > CALM + 1 {
                self.recent.pop_front();
            }
        }
    }

    /// Whether an evaluation saw what people should hear of soon, and one more is to confirm it.
    pub fn suspects(&self) -> bool {
        self.seen.is_some_and(|(state, _)| state != State::Ok)
    }

    /// Whether the rule can be forgotten once it is removed.
    pub fn at_rest(&self) -> bool {
        self.state == State::Ok && !self.flapping
    }

    /// One evaluation of a rule that was `edited`, or not, since its last change. The change, if there is one, is not
    /// applied: it is to be recorded first.
    pub fn observe(
        &mut self,
        condition: &Condition,
        edited: bool,
        seen: Observation,
        now_ms: i64,
    ) -> Option<Change> {
        let ignores = condition.no_data == NoData::Ignore;
        // Only a rule that was another has a state that this one cannot come to.
        let edited = self.sequence > 0 && (edited || ignores && self.state == State::NoData);
        let to = match seen {
            Observation::Value(value) if condition.operator.holds(value, condition.threshold) => {
                State::Firing
            }
            Observation::Value(_) | Observation::Ended => State::Ok,
            Observation::Nothing if !ignores => State::NoData,
            Observation::Nothing if edited => State::Ok,
            Observation::Nothing => self.state,
        };
        let ended = seen == Observation::Ended;
        let at_ms = now_ms.max(self.since_ms);
        let value = match seen {
            Observation::Value(value) => Some(value),
            Observation::Nothing | Observation::Ended => None,
        };
        let change = |notice| Change {
            sequence: self.sequence + 1,
            at_ms,
            from: self.state,
            to,
            value,
            notice,
            ended,
        };
        let lately = self.recent.iter().filter(|&&at| at > at_ms - HOUR_MS).count();
        if to == self.state {
            if seen != Observation::Nothing || !ignores {
                self.seen = None;
            }
            return match self.flapping && (ended || lately <= SETTLED) {
                true => Some(change(Notice::Settled)),
                false => (edited && !ended).then(|| change(Notice::Silent)),
            };
        }
        let needed = if self.sequence == 0 || edited || ended { 1 } else { HELD };
        let times = match self.seen {
            Some((state, times)) if state == to => times + 1,
            _ => 1,
        };
        if times < needed {
            self.seen = Some((to, times));
            return None;
        }
        Some(change(match (lately + 1 > CALM, self.flapping) {
            // Nobody evaluates it any more, so nobody would say how it ended.
            _ if ended => Notice::Settled,
            (false, false) => Notice::Told,
            (true, false) => Notice::Flapping,
            // It has not been calm for an evaluation yet.
            (_, true) => Notice::Silent,
        }))
    }
}

#[cfg(test)]
mod tests;
