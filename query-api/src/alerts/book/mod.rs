//! What follows from `alerts.v1`: what each rule stands at, who is still to be told, and what lies in the inboxes.
//!
//! A pure fold of the topic: every replica has one, and a restart makes the same again. A record that arrives twice, or
//! that the book has moved beyond, changes nothing.

use crate::alerts::machine::{Change, Standing, State};
use crate::alerts::records;
use crate::notify::message::{Event, Message};
use proto::v1::{
    AlertAcknowledgement, AlertDelivery, AlertRecord, AlertSubject, AlertTest, AlertTransition,
    DeliveryStatus, InboxRead, alert_record::Kind,
};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// So many notices of a project are kept in its inbox.
const INBOX: usize = 1000;

/// A person has seen that a rule fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// Who: the key's name.
    pub by: String,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// What they noted.
    pub note: String,
}

/// A rule's state.
#[derive(Debug, Clone, Default)]
pub struct RuleState {
    /// What the machine needs.
    pub standing: Standing,
    /// The acknowledgement of the state that it is in.
    pub acknowledged: Option<Acknowledged>,
    /// The rule as it was at its last change.
    pub subject: AlertSubject,
}

/// A notice in an inbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// When it was put there, Unix milliseconds.
    pub at_ms: i64,
    /// The channel that put it there.
    pub channel_id: String,
    /// What it says.
    pub message: Arc<Message>,
    /// Its place in the topic.
    pub offset: i64,
}

/// A project's inbox.
#[derive(Debug, Clone, Default)]
pub struct Inbox {
    /// The newest last.
    pub notices: VecDeque<Notice>,
    /// Up to when they were read, Unix milliseconds.
    pub read_until_ms: i64,
}

impl Inbox {
    /// How many were not read.
    pub fn unread(&self) -> usize {
        self.notices.iter().filter(|notice| notice.at_ms > self.read_until_ms).count()
    }
}

/// What one channel is still to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// The message.
    pub message: Arc<Message>,
    /// How often it was tried.
    pub attempts: u32,
}

/// What follows from the topic up to some offset.
#[derive(Debug, Default)]
pub struct Book {
    rules: HashMap<String, RuleState>,
    /// By channel, in the topic's order: what it is to be told first.
    tasks: HashMap<String, BTreeMap<i64, Task>>,
    /// By event: where its tasks are, as long as there are any.
    places: HashMap<String, (i64, HashSet<String>)>,
    inboxes: HashMap<String, Inbox>,
}

impl Book {
    /// Takes in the record at `offset`. Tells whether there may be new tasks.
    pub fn apply(&mut self, offset: i64, record: AlertRecord) -> bool {
        match record.kind {
            Some(Kind::Transition(transition)) => self.transition(offset, transition),
            Some(Kind::Test(test)) => self.test(offset, test),
            Some(Kind::Delivery(delivery)) => self.delivery(offset, delivery),
            Some(Kind::Acknowledgement(acknowledgement)) => self.acknowledgement(acknowledgement),
            Some(Kind::InboxRead(InboxRead { project_id, until_ms })) => {
                let inbox = self.inboxes.entry(project_id).or_default();
                inbox.read_until_ms = inbox.read_until_ms.max(until_ms);
                false
            }
            Some(Kind::Term(_)) | None => false,
        }
    }

    /// What the rule stands at.
    pub fn rule(&self, alert_id: &str) -> RuleState {
        self.rules.get(alert_id).cloned().unwrap_or_default()
    }

    /// Every rule that ever changed.
    pub fn rules(&self) -> impl Iterator<Item = (&String, &RuleState)> {
        self.rules.iter()
    }

    /// The inbox of a project.
    pub fn inbox(&self, project_id: &str) -> Inbox {
        self.inboxes.get(project_id).cloned().unwrap_or_default()
    }

    /// The channels that are to be told something.
    pub fn waiting(&self) -> Vec<String> {
        self.tasks.keys().cloned().collect()
    }

    /// What `channel_id` is to be told first.
    pub fn task(&self, channel_id: &str) -> Option<Task> {
        self.tasks.get(channel_id)?.values().next().cloned()
    }

    fn transition(&mut self, offset: i64, transition: AlertTransition) -> bool {
        let change: Change = records::change(&transition);
        let subject = transition.subject.clone().unwrap_or_default();
        let rule = self.rules.entry(subject.alert_id.clone()).or_default();
        if change.sequence <= rule.standing.sequence {
            return false;
        }
        rule.standing.apply(&change);
        if change.from != change.to {
            rule.acknowledged = None;
        }
        rule.subject = subject.clone();
        let message = records::message(&transition);
        message.is_some_and(|message| self.tell(offset, message, subject.channels))
    }

    fn test(&mut self, offset: i64, test: AlertTest) -> bool {
        let message = records::test_message(&test);
        let channels = test.subject.unwrap_or_default().channels;
        self.tell(offset, message, channels)
    }

    fn tell(&mut self, offset: i64, message: Message, channels: Vec<String>) -> bool {
        let channels: HashSet<String> = channels.into_iter().collect();
        if channels.is_empty() || self.places.contains_key(&message.id) {
            return false;
        }
        let message = Arc::new(message);
        for channel in &channels {
            let task = Task { message: message.clone(), attempts: 0 };
            self.tasks.entry(channel.clone()).or_default().insert(offset, task);
        }
        self.places.insert(message.id.clone(), (offset, channels));
        true
    }

    fn delivery(&mut self, offset: i64, delivery: AlertDelivery) -> bool {
        let Some((place, channels)) = self.places.get_mut(&delivery.event_id) else { return false };
        let Some(tasks) = self.tasks.get_mut(&delivery.channel_id) else { return false };
        let Some(task) = tasks.get_mut(place) else { return false };
        let message = task.message.clone();
        match delivery.status() {
            DeliveryStatus::Unspecified => return false,
            DeliveryStatus::Retrying => {
                task.attempts = task.attempts.max(delivery.attempt);
                return false;
            }
            DeliveryStatus::Delivered | DeliveryStatus::Failed => {}
        }
        tasks.remove(place);
        if tasks.is_empty() {
            self.tasks.remove(&delivery.channel_id);
        }
        channels.remove(&delivery.channel_id);
        if channels.is_empty() {
            self.places.remove(&delivery.event_id);
        }
        if delivery.status() == DeliveryStatus::Delivered && delivery.channel_kind == "in_app" {
            let inbox = self.inboxes.entry(delivery.project_id).or_default();
            let (at_ms, channel_id) = (delivery.at_ms, delivery.channel_id);
            inbox.notices.push_back(Notice { at_ms, channel_id, message, offset });
            if inbox.notices.len() > INBOX {
                inbox.notices.pop_front();
            }
        }
        false
    }

    fn acknowledgement(&mut self, said: AlertAcknowledgement) -> bool {
        if let Some(rule) = self.rules.get_mut(&said.alert_id) {
            // One that was overtaken by a change concerns a state that is over; of several the first counts.
            let current = rule.standing.entered == said.sequence && rule.standing.state != State::Ok;
            if current && rule.acknowledged.is_none() {
                let AlertAcknowledgement { by, at_ms, note, .. } = said;
                rule.acknowledged = Some(Acknowledged { by, at_ms, note });
            }
        }
        false
    }
}

impl Task {
    /// Whether it is only a test.
    pub fn is_test(&self) -> bool {
        self.message.event == Event::Test
    }
}

#[cfg(test)]
mod tests;
