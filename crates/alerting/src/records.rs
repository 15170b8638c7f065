//! Conversion between transitions of the state machine, records of `alerts.v1`, and messages.

use super::state_machine::{Notification, State, Transition};
use crate::notify::message::{Event, Message};
use proto::v1::{AlertNotice, AlertState, AlertSubject, AlertTest, AlertTransition};
use service::wire_enum;

wire_enum! {
    /// State of an alert rule.
    pub enum StateWord {
        /// The condition does not hold.
        Ok = "ok",
        /// The condition holds.
        Firing = "firing",
        /// The window has no points, and the rule reports that.
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

/// Returns the id of a transition's event, by which receivers detect a repeated delivery.
pub fn event_id(alert_id: &str, sequence: u64) -> String {
    format!("{alert_id}-{sequence}")
}

/// Converts a state to its protobuf value.
pub fn state_to_proto(state: State) -> AlertState {
    match state {
        State::Ok => AlertState::Ok,
        State::Firing => AlertState::Firing,
        State::NoData => AlertState::NoData,
    }
}

/// Converts a state from its protobuf value.
pub fn state_from_proto(state: AlertState) -> State {
    match state {
        AlertState::Ok => State::Ok,
        AlertState::Firing => State::Firing,
        AlertState::NoData => State::NoData,
    }
}

/// Converts a transition to its record.
pub fn transition_to_record(subject: AlertSubject, transition: &Transition) -> AlertTransition {
    let notice = match transition.notification {
        Notification::State => AlertNotice::Told,
        Notification::Flapping => AlertNotice::Flapping,
        Notification::Silent => AlertNotice::Silent,
        Notification::Settled => AlertNotice::Settled,
    };
    AlertTransition {
        subject: Some(subject),
        sequence: transition.sequence,
        at_ms: transition.at_ms,
        from: state_to_proto(transition.from).into(),
        to: state_to_proto(transition.to).into(),
        value: transition.value,
        notice: notice.into(),
        ended: transition.ended,
    }
}

/// Converts a transition from its record.
pub fn transition_from_record(record: &AlertTransition) -> Transition {
    let notification = match record.notice() {
        AlertNotice::Told => Notification::State,
        AlertNotice::Flapping => Notification::Flapping,
        AlertNotice::Silent => Notification::Silent,
        AlertNotice::Settled => Notification::Settled,
    };
    Transition {
        sequence: record.sequence,
        at_ms: record.at_ms,
        from: state_from_proto(record.from()),
        to: state_from_proto(record.to()),
        value: record.value,
        notification,
        ended: record.ended,
    }
}

/// Returns the event of which a transition notifies the channels; none if it is silent.
pub fn notified_event(transition: &Transition) -> Option<Event> {
    match transition.notification {
        Notification::Silent => None,
        Notification::Flapping => Some(Event::Flapping),
        Notification::State | Notification::Settled => Some(match transition.to {
            State::Ok => Event::Resolved,
            State::Firing => Event::Firing,
            State::NoData => Event::NoData,
        }),
    }
}

/// Returns the message of a transition; none if it is silent.
pub fn message(record: &AlertTransition) -> Option<Message> {
    let transition = transition_from_record(record);
    let subject = record.subject.clone().unwrap_or_default();
    let id = event_id(&subject.alert_id, record.sequence);
    let event = notified_event(&transition)?;
    let message = new_message(id, event, subject, transition.value, transition.at_ms);
    Some(Message { ended: transition.ended, ..message })
}

/// Returns the message of a test notification.
pub fn test_message(test: &AlertTest) -> Message {
    let subject = test.subject.clone().unwrap_or_default();
    new_message(test.test_id.clone(), Event::Test, subject, test.value, test.at_ms)
}

fn new_message(id: String, event: Event, subject: AlertSubject, value: Option<f64>, at_ms: i64) -> Message {
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
