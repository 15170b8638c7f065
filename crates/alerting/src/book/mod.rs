//! What follows from `alerts.v1`: what each rule stands at, who is still to be told, and what lies in the inboxes.
//!
//! A pure fold of the topic: every replica has one, and a restart makes the same again. A record that arrives twice, or
//! that the book has moved beyond, changes nothing.

use crate::machine::{Change, Standing, State};
use crate::notify::message::{Event, Message};
use crate::records;
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
    /// What was measured at its last change.
    pub value: Option<f64>,
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

/// What a record brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Nothing that anybody waits for.
    Nothing,
    /// There may be something to be told.
    Tasks,
    /// A notice lies in an inbox.
    Notice,
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
    /// Takes in the record at `offset`.
    pub fn apply(&mut self, offset: i64, record: AlertRecord) -> News {
        match record.kind {
            Some(Kind::Transition(transition)) => self.transition(offset, transition),
            Some(Kind::Test(test)) => self.test(offset, test),
            Some(Kind::Delivery(delivery)) => self.delivery(offset, delivery),
            Some(Kind::Acknowledgement(acknowledgement)) => self.acknowledgement(acknowledgement),
            Some(Kind::InboxRead(InboxRead { project_id, until_ms })) => {
                let inbox = self.inboxes.entry(project_id).or_default();
                inbox.read_until_ms = inbox.read_until_ms.max(until_ms);
                News::Nothing
            }
            Some(Kind::Term(_)) | None => News::Nothing,
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

    /// The notices of a project after the one at `offset`, oldest first.
    pub fn notices_after(&self, project_id: &str, offset: i64) -> Vec<Notice> {
        let Some(inbox) = self.inboxes.get(project_id) else { return Vec::new() };
        let newer = inbox.notices.iter().rev().take_while(|notice| notice.offset > offset);
        let mut newer: Vec<Notice> = newer.cloned().collect();
        newer.reverse();
        newer
    }

    /// How many notices of a project were not read.
    pub fn unread(&self, project_id: &str) -> usize {
        self.inboxes.get(project_id).map_or(0, Inbox::unread)
    }

    /// The channels that are to be told something.
    pub fn waiting(&self) -> Vec<String> {
        self.tasks.keys().cloned().collect()
    }

    /// What `channel_id` is to be told first.
    pub fn task(&self, channel_id: &str) -> Option<Task> {
        self.tasks.get(channel_id)?.values().next().cloned()
    }

    fn transition(&mut self, offset: i64, transition: AlertTransition) -> News {
        let change: Change = records::change(&transition);
        let subject = transition.subject.clone().unwrap_or_default();
        let rule = self.rules.entry(subject.alert_id.clone()).or_default();
        if change.sequence <= rule.standing.sequence {
            return News::Nothing;
        }
        rule.standing.apply(&change);
        if change.from != change.to {
            rule.acknowledged = None;
        }
        rule.value = change.value;
        rule.subject = subject.clone();
        let message = records::message(&transition);
        message.map_or(News::Nothing, |message| self.tell(offset, message, subject.channels))
    }

    fn test(&mut self, offset: i64, test: AlertTest) -> News {
        let message = records::test_message(&test);
        let channels = test.subject.unwrap_or_default().channels;
        self.tell(offset, message, channels)
    }

    fn tell(&mut self, offset: i64, message: Message, channels: Vec<String>) -> News {
        let channels: HashSet<String> = channels.into_iter().collect();
        if channels.is_empty() || self.places.contains_key(&message.id) {
            return News::Nothing;
        }
        let message = Arc::new(message);
        for channel in &channels {
            let task = Task { message: message.clone(), attempts: 0 };
            self.tasks.entry(channel.clone()).or_default().insert(offset, task);
        }
        self.places.insert(message.id.clone(), (offset, channels));
        News::Tasks
    }

    fn delivery(&mut self, offset: i64, delivery: AlertDelivery) -> News {
        let Some((place, channels)) = self.places.get_mut(&delivery.event_id) else { return News::Nothing };
        let Some(tasks) = self.tasks.get_mut(&delivery.channel_id) else { return News::Nothing };
        let Some(task) = tasks.get_mut(place) else { return News::Nothing };
        let message = task.message.clone();
        match delivery.status() {
            DeliveryStatus::Unspecified => return News::Nothing,
            DeliveryStatus::Retrying => {
                task.attempts = task.attempts.max(delivery.attempt);
                return News::Nothing;
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
            return News::Notice;
        }
        News::Nothing
    }

    fn acknowledgement(&mut self, said: AlertAcknowledgement) -> News {
        if let Some(rule) = self.rules.get_mut(&said.alert_id) {
            // One that was overtaken by a change concerns a state that is over; of several the first counts.
            let current = rule.standing.entered == said.sequence && rule.standing.state != State::Ok;
            if current && rule.acknowledged.is_none() {
                let AlertAcknowledgement { by, at_ms, note, .. } = said;
                rule.acknowledged = Some(Acknowledged { by, at_ms, note });
            }
        }
        News::Nothing
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
