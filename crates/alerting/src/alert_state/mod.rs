//! State that follows from `alerts.v1`: the state of each rule, the deliveries that are pending, and the inboxes.
//!
//! It is a pure fold of the topic: every replica has one, and a restart builds the same one again. A record that is read
//! twice, or that the state has already moved past, changes nothing.

use crate::notify::message::{Event, Message};
use crate::records;
use crate::state_machine::{RuleStatus, State};
use proto::v1::{
    AlertAcknowledgement, AlertDelivery, AlertRecord, AlertSubject, AlertTest, AlertTransition,
    DeliveryStatus, InboxRead, alert_record::Kind,
};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Maximum number of notices in a project's inbox.
const INBOX_CAPACITY: usize = 1000;

/// An acknowledgement of a firing rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Name of the API key that acknowledged.
    pub by: String,
    /// Unix milliseconds.
    pub at_ms: i64,
    /// Note of the person who acknowledged.
    pub note: String,
}

/// Alert state of a rule.
#[derive(Debug, Clone, Default)]
pub struct RuleState {
    /// State of the rule's state machine.
    pub status: RuleStatus,
    /// Acknowledgement of the current state.
    pub acknowledged: Option<Acknowledgement>,
    /// Value that caused the last transition.
    pub value: Option<f64>,
    /// The rule at its last transition.
    pub subject: AlertSubject,
}

/// A notification in an inbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// Time of its delivery, Unix milliseconds.
    pub at_ms: i64,
    /// The channel that delivered it.
    pub channel_id: String,
    /// The message.
    pub message: Arc<Message>,
    /// Offset of its delivery in the topic.
    pub offset: i64,
}

/// Inbox of a project.
#[derive(Debug, Clone, Default)]
pub struct Inbox {
    /// The notices, newest last.
    pub notices: VecDeque<Notice>,
    /// Notices up to this time are read, Unix milliseconds.
    pub read_until_ms: i64,
}

impl Inbox {
    /// Returns the number of unread notices.
    pub fn unread(&self) -> usize {
        self.notices.iter().filter(|notice| notice.at_ms > self.read_until_ms).count()
    }
}

/// A message that one channel has still to receive.
#[derive(Debug, Clone, PartialEq)]
pub struct PendingDelivery {
    /// The message.
    pub message: Arc<Message>,
    /// Number of failed attempts.
    pub attempts: u32,
}

/// Effect of a record that other tasks wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// No effect, or none that a task waits for.
    None,
    /// Deliveries may be pending.
    Deliveries,
    /// An inbox has a new notice.
    Notice,
}

/// State that follows from the topic up to some offset.
#[derive(Debug, Default)]
pub struct AlertStates {
    rules: HashMap<String, RuleState>,
    /// Pending deliveries by channel, then by offset, which is the order of delivery.
    pending: HashMap<String, BTreeMap<i64, PendingDelivery>>,
    /// By event id: the offset of the event, and the channels that have still to receive it.
    pending_events: HashMap<String, (i64, HashSet<String>)>,
    inboxes: HashMap<String, Inbox>,
}

impl AlertStates {
    /// Applies the record at `offset`.
    pub fn apply(&mut self, offset: i64, record: AlertRecord) -> Effect {
        match record.kind {
            Some(Kind::Transition(transition)) => self.apply_transition(offset, transition),
            Some(Kind::Test(test)) => self.apply_test(offset, test),
            Some(Kind::Delivery(delivery)) => self.apply_delivery(offset, delivery),
            Some(Kind::Acknowledgement(acknowledgement)) => self.apply_acknowledgement(acknowledgement),
            Some(Kind::InboxRead(InboxRead { project_id, until_ms })) => {
                let inbox = self.inboxes.entry(project_id).or_default();
                inbox.read_until_ms = inbox.read_until_ms.max(until_ms);
                Effect::None
            }
            Some(Kind::Term(_)) | None => Effect::None,
        }
    }

    /// Returns the state of a rule.
    pub fn rule(&self, alert_id: &str) -> RuleState {
        self.rules.get(alert_id).cloned().unwrap_or_default()
    }

    /// Returns every rule that ever had a transition.
    pub fn rules(&self) -> impl Iterator<Item = (&String, &RuleState)> {
        self.rules.iter()
    }

    /// Returns the inbox of a project.
    pub fn inbox(&self, project_id: &str) -> Inbox {
        self.inboxes.get(project_id).cloned().unwrap_or_default()
    }

    /// Returns the notices of a project after the one at `offset`, oldest first.
    pub fn notices_after(&self, project_id: &str, offset: i64) -> Vec<Notice> {
        let Some(inbox) = self.inboxes.get(project_id) else { return Vec::new() };
        let newer = inbox.notices.iter().rev().take_while(|notice| notice.offset > offset);
        let mut newer: Vec<Notice> = newer.cloned().collect();
        newer.reverse();
        newer
    }

    /// Returns the number of unread notices of a project.
    pub fn unread(&self, project_id: &str) -> usize {
        self.inboxes.get(project_id).map_or(0, Inbox::unread)
    }

    /// Returns the channels with pending deliveries.
    pub fn pending_channels(&self) -> Vec<String> {
        self.pending.keys().cloned().collect()
    }

    /// Returns the first pending delivery of a channel.
    pub fn next_delivery(&self, channel_id: &str) -> Option<PendingDelivery> {
        self.pending.get(channel_id)?.values().next().cloned()
    }

    fn apply_transition(&mut self, offset: i64, record: AlertTransition) -> Effect {
        let transition = records::transition_from_record(&record);
        let subject = record.subject.clone().unwrap_or_default();
        let rule = self.rules.entry(subject.alert_id.clone()).or_default();
        if transition.sequence <= rule.status.sequence {
            return Effect::None;
        }
        rule.status.apply(&transition);
        if transition.from != transition.to {
            rule.acknowledged = None;
        }
        rule.value = transition.value;
        rule.subject = subject.clone();
        let message = records::message(&record);
        message.map_or(Effect::None, |message| self.enqueue(offset, message, subject.channels))
    }

    fn apply_test(&mut self, offset: i64, test: AlertTest) -> Effect {
        let message = records::test_message(&test);
        let channels = test.subject.unwrap_or_default().channels;
        self.enqueue(offset, message, channels)
    }

    fn enqueue(&mut self, offset: i64, message: Message, channels: Vec<String>) -> Effect {
        let channels: HashSet<String> = channels.into_iter().collect();
        if channels.is_empty() || self.pending_events.contains_key(&message.id) {
            return Effect::None;
        }
        let message = Arc::new(message);
        for channel in &channels {
            let delivery = PendingDelivery { message: message.clone(), attempts: 0 };
            self.pending.entry(channel.clone()).or_default().insert(offset, delivery);
        }
        self.pending_events.insert(message.id.clone(), (offset, channels));
        Effect::Deliveries
    }

    fn apply_delivery(&mut self, offset: i64, attempt: AlertDelivery) -> Effect {
        let Some((event_offset, channels)) = self.pending_events.get_mut(&attempt.event_id) else {
            return Effect::None;
        };
        let Some(pending) = self.pending.get_mut(&attempt.channel_id) else { return Effect::None };
        let Some(delivery) = pending.get_mut(event_offset) else { return Effect::None };
        let message = delivery.message.clone();
        match attempt.status() {
            DeliveryStatus::Unspecified => return Effect::None,
            DeliveryStatus::Retrying => {
                delivery.attempts = delivery.attempts.max(attempt.attempt);
                return Effect::None;
            }
            DeliveryStatus::Delivered | DeliveryStatus::Failed => {}
        }
        pending.remove(event_offset);
        if pending.is_empty() {
            self.pending.remove(&attempt.channel_id);
        }
        channels.remove(&attempt.channel_id);
        if channels.is_empty() {
            self.pending_events.remove(&attempt.event_id);
        }
        if attempt.status() == DeliveryStatus::Delivered && attempt.channel_kind == "in_app" {
            let inbox = self.inboxes.entry(attempt.project_id).or_default();
            let (at_ms, channel_id) = (attempt.at_ms, attempt.channel_id);
            inbox.notices.push_back(Notice { at_ms, channel_id, message, offset });
            if inbox.notices.len() > INBOX_CAPACITY {
                inbox.notices.pop_front();
            }
            return Effect::Notice;
        }
        Effect::None
    }

    fn apply_acknowledgement(&mut self, record: AlertAcknowledgement) -> Effect {
        if let Some(rule) = self.rules.get_mut(&record.alert_id) {
            // An acknowledgement that a transition overtook concerns a state that is over. Of several acknowledgements
            // of one state the first counts.
            let current = rule.status.entered_sequence == record.sequence && rule.status.state != State::Ok;
            if current && rule.acknowledged.is_none() {
                let AlertAcknowledgement { by, at_ms, note, .. } = record;
                rule.acknowledged = Some(Acknowledgement { by, at_ms, note });
            }
        }
        Effect::None
    }
}

impl PendingDelivery {
    /// Returns whether the message is a test notification.
    pub fn is_test(&self) -> bool {
        self.message.event == Event::Test
    }
}

#[cfg(test)]
mod tests;
