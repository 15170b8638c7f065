//! What the machine says and what `alerts.v1` holds, one made from the other.

use super::machine::{Change, Notice, State};
use crate::notify::message::{Event, Message};
use proto::v1::{AlertNotice, AlertState, AlertSubject, AlertTest, AlertTransition};
use service::wire_enum;

wire_enum! {
    /// The state of a rule as clients read it.
    pub enum StateWord {
        /// The condition does not hold.
        Ok = "ok",
        /// The condition holds.
        Firing = "firing",
        /// The window has no points, and the rule says so.
        NoData = "no_data",
    }
}

impl From<State> for StateWord {
    fn from(state: State) -> Self {
        match state {
            State::Ok => Self::Ok,
            State::Firing => Self::Firing,
            State::NoData => Self::NoData,
        }
    }
}

/// The id of a transition, by which receivers know it again.
pub fn event_id(alert_id: &str, sequence: u64) -> String {
    format!("{alert_id}-{sequence}")
}

/// A state as it is recorded.
pub fn state_to(state: State) -> AlertState {
    match state {
        State::Ok => AlertState::Ok,
        State::Firing => AlertState::Firing,
        State::NoData => AlertState::NoData,
    }
}

/// A state that was recorded.
pub fn state_of(state: AlertState) -> State {
    match state {
        AlertState::Ok => State::Ok,
        AlertState::Firing => State::Firing,
        AlertState::NoData => State::NoData,
    }
}

/// The record of `change`.
pub fn transition(subject: AlertSubject, change: &Change) -> AlertTransition {
    let notice = match change.notice {
        Notice::Told => AlertNotice::Told,
        Notice::Flapping => AlertNotice::Flapping,
        Notice::Silent => AlertNotice::Silent,
        Notice::Settled => AlertNotice::Settled,
    };
    AlertTransition {
        subject: Some(subject),
        sequence: change.sequence,
        at_ms: change.at_ms,
        from: state_to(change.from).into(),
        to: state_to(change.to).into(),
        value: change.value,
        notice: notice.into(),
        ended: change.ended,
    }
}

/// The change of a record.
pub fn change(transition: &AlertTransition) -> Change {
    let notice = match transition.notice() {
        AlertNotice::Told => Notice::Told,
        AlertNotice::Flapping => Notice::Flapping,
        AlertNotice::Silent => Notice::Silent,
        AlertNotice::Settled => Notice::Settled,
    };
    Change {
        sequence: transition.sequence,
        at_ms: transition.at_ms,
        from: state_of(transition.from()),
        to: state_of(transition.to()),
        value: transition.value,
        notice,
        ended: transition.ended,
    }
}

/// What a change is to those who are told; none if nobody is.
pub fn told(change: &Change) -> Option<Event> {
    match change.notice {
        Notice::Silent => None,
        Notice::Flapping => Some(Event::Flapping),
        Notice::Told | Notice::Settled => Some(match change.to {
            State::Ok => Event::Resolved,
            State::Firing => Event::Firing,
            State::NoData => Event::NoData,
        }),
    }
}

/// The message of a transition; none if nobody is told.
pub fn message(transition: &AlertTransition) -> Option<Message> {
    let change = change(transition);
    let subject = transition.subject.clone().unwrap_or_default();
    let id = event_id(&subject.alert_id, transition.sequence);
    let said = said(id, told(&change)?, subject, change.value, change.at_ms);
    Some(Message { ended: change.ended, ..said })
}

/// The message of a test.
pub fn test_message(test: &AlertTest) -> Message {
    said(test.test_id.clone(), Event::Test, test.subject.clone().unwrap_or_default(), test.value, test.at_ms)
}

fn said(id: String, event: Event, subject: AlertSubject, value: Option<f64>, at_ms: i64) -> Message {
    Message {
        id,
        event,
        project_id: subject.project_id,
        alert_id: subject.alert_id,
        name: subject.name,
        metric_id: subject.metric_id,
        metric_name: subject.metric_name,
        unit: subject.unit,
        value,
        aggregation: subject.aggregation,
        operator: subject.operator,
        threshold: subject.threshold,
        range: subject.range,
        ended: false,
        at_ms,
        link: String::new(),
    }
}
