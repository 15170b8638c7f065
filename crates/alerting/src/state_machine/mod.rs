//! State machine of a rule, as a pure function: the current status, an observation and the time determine at most one
//! [`Transition`], and the transition determines the next status.
//!
//! - A rule's first transition needs one evaluation. After that, two consecutive evaluations must observe another state
//!   before the rule changes to it. An evaluation without points does not count if the rule ignores missing points.
//! - An edit of the condition makes it another rule: the next evaluation alone determines its state, and that is recorded
//!   even if the state is the same. The old condition is no reason to keep the old state: without points the rule is ok.
//! - More than four transitions in an hour are flapping. The fifth sends a notification of flapping, those after it send
//!   none. Once at most two transitions lie within the last hour, one more notification reports the state.
//! - A rule that is switched off or removed ends. If it was not ok, it becomes ok at once, so that everybody who was
//!   notified of its firing is notified of its end.
//!
//! [`RuleStatus::apply`] folds transitions, which is all that a restart needs. Only the first of two evaluations that
//! observe another state may be forgotten.

use crate::rule::{Condition, NoData};
use std::collections::VecDeque;

/// Time span in which transitions are counted.
pub const HOUR_MS: i64 = 3_600_000;
/// Maximum number of transitions per hour with a notification each.
pub const MAX_TRANSITIONS_PER_HOUR: usize = 4;
/// Maximum number of transitions per hour for flapping to end. It is less than the number that begins flapping, because
/// otherwise each further transition would send two notifications.
const SETTLED_TRANSITIONS_PER_HOUR: usize = 2;
/// Number of consecutive evaluations that must observe another state, once a rule has had a transition.
const CONFIRMATIONS: u8 = 2;

/// State of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// The condition does not hold.
    #[default]
    Ok,
    /// The condition holds.
    Firing,
    /// The window has no points, and the rule reports that.
    NoData,
}

/// Observation of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Observation {
    /// The value of the window.
    Value(f64),
    /// The window has no points.
    NoPoints,
    /// The rule is no longer evaluated: it was switched off or removed, or the plan does not include alerts.
    Ended,
}

/// Notification that a transition sends to the rule's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notification {
    /// The new state.
    State,
    /// The rule is flapping.
    Flapping,
    /// None. If `to` equals `from`, the rule was edited and its state is the same.
    Silent,
    /// Flapping has ended in the state `to`, which equals `from` unless the rule ended.
    Settled,
}

/// A transition of a rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transition {
    /// Number of the transition, from 1.
    pub sequence: u64,
    /// Time of the evaluation, Unix milliseconds; never before the rule's last transition.
    pub at_ms: i64,
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// The observed value, if there was one.
    pub value: Option<f64>,
    /// The notification that it sends.
    pub notification: Notification,
    /// True if the rule ended, so that nothing was observed.
    pub ended: bool,
}

/// Status of a rule's state machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleStatus {
    /// The state.
    pub state: State,
    /// Sequence of the last transition; 0 if there was none.
    pub sequence: u64,
    /// Time of the last transition to another state, Unix milliseconds; 0 if there was none.
    pub since_ms: i64,
    /// Sequence of the transition that entered the state; 0 if there was none.
    pub entered_sequence: u64,
    /// Times of the last transitions, oldest first: as many as decide whether the rule is flapping.
    recent: VecDeque<i64>,
    /// True from a notification of flapping until one of its end.
    flapping: bool,
    /// Another state that the last evaluations observed, and their number.
    unconfirmed: Option<(State, u8)>,
}

impl RuleStatus {
    /// Applies a transition.
    pub fn apply(&mut self, transition: &Transition) {
        self.sequence = transition.sequence;
        self.state = transition.to;
        self.unconfirmed = None;
        match transition.notification {
            Notification::State | Notification::Silent => {}
            Notification::Flapping => self.flapping = true,
            Notification::Settled => self.flapping = false,
        }
        if transition.from != transition.to {
            self.since_ms = transition.at_ms;
            self.entered_sequence = transition.sequence;
            self.recent.push_back(transition.at_ms);
            // Older ones do not affect any decision.
            while self.recent.len() > MAX_TRANSITIONS_PER_HOUR + 1 {
                self.recent.pop_front();
            }
        }
    }

    /// Returns whether an evaluation observed a state other than ok that the next one is to confirm.
    pub fn awaits_confirmation(&self) -> bool {
        self.unconfirmed.is_some_and(|(state, _)| state != State::Ok)
    }

    /// Returns whether the rule can be forgotten once it is removed.
    pub fn is_idle(&self) -> bool {
        self.state == State::Ok && !self.flapping
    }

    /// Evaluates the rule once. `edited` says whether its condition was edited since its last transition. The returned
    /// transition is not applied, because it must be recorded first.
    pub fn observe(
        &mut self,
        condition: &Condition,
        edited: bool,
        observation: Observation,
        now_ms: i64,
    ) -> Option<Transition> {
        let ignores_no_points = condition.no_data == NoData::Ignore;
        // A rule in a state that its condition cannot lead to must have been edited.
        let edited = self.sequence > 0 && (edited || ignores_no_points && self.state == State::NoData);
        let to = match observation {
            Observation::Value(value) if condition.operator.holds(value, condition.threshold) => {
                State::Firing
            }
            Observation::Value(_) | Observation::Ended => State::Ok,
            Observation::NoPoints if !ignores_no_points => State::NoData,
            Observation::NoPoints if edited => State::Ok,
            Observation::NoPoints => self.state,
        };
        let ended = observation == Observation::Ended;
        let at_ms = now_ms.max(self.since_ms);
        let value = match observation {
            Observation::Value(value) => Some(value),
            Observation::NoPoints | Observation::Ended => None,
        };
        let transition = |notification| Transition {
            sequence: self.sequence + 1,
            at_ms,
            from: self.state,
            to,
            value,
            notification,
            ended,
        };
        let in_last_hour = self.recent.iter().filter(|&&at| at > at_ms - HOUR_MS).count();
        if to == self.state {
            if observation != Observation::NoPoints || !ignores_no_points {
                self.unconfirmed = None;
            }
            return match self.flapping && (ended || in_last_hour <= SETTLED_TRANSITIONS_PER_HOUR) {
                true => Some(transition(Notification::Settled)),
                false => (edited && !ended).then(|| transition(Notification::Silent)),
            };
        }
        let needed = if self.sequence == 0 || edited || ended { 1 } else { CONFIRMATIONS };
        let times = match self.unconfirmed {
            Some((state, times)) if state == to => times + 1,
            _ => 1,
        };
        if times < needed {
            self.unconfirmed = Some((to, times));
            return None;
        }
        Some(transition(match (in_last_hour + 1 > MAX_TRANSITIONS_PER_HOUR, self.flapping) {
            // The rule is not evaluated any more, so no later evaluation can report the end of flapping.
            _ if ended => Notification::Settled,
            (false, false) => Notification::State,
            (true, false) => Notification::Flapping,
            // Flapping ends only at an evaluation without a transition.
            (_, true) => Notification::Silent,
        }))
    }
}

#[cfg(test)]
mod tests;
