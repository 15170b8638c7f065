//! Tells channels what the book says that they are to be told.
//!
//! One task for each channel, in the topic's order, so that nobody hears of an end before its beginning. Every try is
//! recorded before the next; a message is given up after [`TRIES`] of them, or when the receiver says that it never
//! wants it. A channel that fails is paused ([`crate::outgoing::receiver_backoff`]), whatever there is to say.

use super::book::Task;
use super::directory::Directory;
use super::follower::Follower;
use super::journal::Journal;
use super::lease::Lease;
use super::metrics::{AlertMetrics, Try};
use crate::notify::kind::Kind;
use crate::notify::message::Message;
use crate::notify::payload;
use crate::outgoing::client::Client;
use crate::outgoing::receiver_backoff::ReceiverBackoff;
use crate::outgoing::target::Target;
use crate::outgoing::verdict::Verdict;
use proto::v1::{AlertDelivery, AlertRecord, Channel, DeliveryStatus, alert_record};
use service::wire_enum::WireEnum as _;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// A message is tried so often; with the pauses between, that is about a quarter of an hour.
pub const TRIES: u32 = 12;
/// So many requests are under way at once.
const AT_ONCE: usize = 64;
/// How long a channel may take to be known: it was made a moment before it was told something.
const KNOWN: Duration = Duration::from_secs(5);
/// Between two looks at something that comes by itself.
const LOOK: Duration = Duration::from_millis(50);

/// Tells channels. Clones share their state.
#[derive(Clone)]
pub struct Deliverer {
    /// Where tasks come from.
    pub follower: Follower,
    /// Where tries are recorded.
    pub journal: Journal,
    /// Which channels there are.
    pub directory: Directory,
    /// Who sends.
    pub client: Client,
    /// Whether we are still the one who does it.
    pub lease: Lease,
    /// Where people find the page.
    pub public_url: Arc<str>,
    /// What is counted.
    pub metrics: AlertMetrics,
    /// What is known of receivers, and who is at work.
    pub state: Arc<State>,
}

/// What is known of receivers, and who is at work.
pub struct State {
    busy: Mutex<HashSet<String>>,
    backoffs: Mutex<HashMap<String, ReceiverBackoff>>,
    slots: Semaphore,
}

impl Default for State {
    fn default() -> Self {
        Self { busy: Mutex::default(), backoffs: Mutex::default(), slots: Semaphore::new(AT_ONCE) }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a try ended.
struct Tried {
    status: DeliveryStatus,
    error: String,
    kind: Option<Kind>,
}

impl Deliverer {
    /// Tells whatever there is to be told, for ever.
    pub async fn run(self) {
        let mut changed = self.follower.tasks();
        let mut workers = JoinSet::new();
        loop {
            changed.mark_unchanged();
            for channel in self.follower.look(|book| book.waiting()) {
                if lock(&self.state.busy).insert(channel.clone()) {
                    workers.spawn(self.clone().serve(channel));
                }
            }
            while workers.try_join_next().is_some() {}
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Tells one channel all that it is to be told.
    async fn serve(self, channel_id: String) {
        loop {
            let Some(task) = self.follower.look(|book| book.task(&channel_id)) else {
                lock(&self.state.busy).remove(&channel_id);
                // Something may have come in between; whoever is first to say so goes on.
                let more = self.follower.look(|book| book.task(&channel_id)).is_some();
                if more && lock(&self.state.busy).insert(channel_id.clone()) {
                    continue;
                }
                return;
            };
            let tried = self.attempt(&channel_id, &task).await;
            let status = match tried.status {
                DeliveryStatus::Delivered => "delivered",
                DeliveryStatus::Retrying => "retrying",
                DeliveryStatus::Failed | DeliveryStatus::Unspecified => "failed",
            };
            let kind = tried.kind.map_or("unknown", Kind::as_str);
            self.metrics.tries.get_or_create(&Try { kind, status }).inc();
            let delivery = AlertDelivery {
                event_id: task.message.id.clone(),
                project_id: task.message.project_id.clone(),
                channel_id: channel_id.clone(),
                at_ms: service::clock::now_ms(),
                status: tried.status.into(),
                attempt: task.attempts + 1,
                error: tried.error,
                channel_kind: kind.to_owned(),
                alert_id: task.message.alert_id.clone(),
            };
            let record = AlertRecord { kind: Some(alert_record::Kind::Delivery(delivery)) };
            match self.journal.write(vec![record]).await {
                Ok(offset) => self.follower.reached(offset).await,
                // The term is over; the next one tries again what is not recorded.
                Err(_) => return,
            }
        }
    }

    async fn attempt(&self, channel_id: &str, task: &Task) -> Tried {
        let failed =
            |error: &str, kind| Tried { status: DeliveryStatus::Failed, error: error.to_owned(), kind };
        let pause = lock(&self.state.backoffs)
            .get(channel_id)
            .map_or(Duration::ZERO, |pace| pace.wait(Instant::now()));
        sleep(pause).await;
        // After the pause, in which it may have been removed.
        let Some(channel) = self.channel(channel_id).await else {
            return failed("the channel was removed", None);
        };
        let Some(kind) = Kind::parse(&channel.kind) else {
            return failed("the channel's kind is not known", None);
        };
        let message = Message { link: self.link(&task.message), ..(*task.message).clone() };
        let Some((headers, body)) = payload(kind, &channel.signing_key, &message, service::clock::now_ms())
        else {
            return match kind {
                Kind::InApp => {
                    Tried { status: DeliveryStatus::Delivered, error: String::new(), kind: Some(kind) }
                }
                _ => failed("the message cannot be written for this channel", Some(kind)),
            };
        };
        let Ok(target) = Target::parse(&channel.url) else {
            return failed("the channel's URL cannot be read", Some(kind));
        };
        // The semaphore is never closed; without a slot we only do more at once.
        let _slot = self.state.slots.acquire().await;
        while !self.lease.is_fresh() {
            sleep(LOOK).await;
        }
        let outcome = self.client.post(&target, &headers, body).await;
        let error = outcome.error();
        let status = match outcome.verdict() {
            Verdict::Delivered => DeliveryStatus::Delivered,
            Verdict::Retry(_) if task.is_test() || task.attempts + 1 >= TRIES => DeliveryStatus::Failed,
            Verdict::Retry(_) => DeliveryStatus::Retrying,
            Verdict::GiveUp => DeliveryStatus::Failed,
        };
        let mut backoffs = lock(&self.state.backoffs);
        match outcome.verdict() {
            Verdict::Delivered | Verdict::GiveUp => drop(backoffs.remove(channel_id)),
            Verdict::Retry(asked) => backoffs.entry(channel_id.to_owned()).or_default().failed(
                Instant::now(),
                asked,
                rand::random(),
            ),
        }
        Tried { status, error, kind: Some(kind) }
    }

    async fn channel(&self, id: &str) -> Option<Channel> {
        let begun = Instant::now();
        loop {
            let channel = self.directory.look(|entries| entries.channel(id).cloned());
            if channel.is_some() || begun.elapsed() > KNOWN {
                return channel;
            }
            sleep(LOOK).await;
        }
    }

    /// A dashboard that shows the metric; the rule where there is none.
    fn link(&self, message: &Message) -> String {
        let base = self.public_url.trim_end_matches('/');
        let dashboard = self
            .directory
            .look(|entries| entries.dashboard(&message.project_id, &message.metric_id).map(str::to_owned));
        match dashboard {
            Some(id) => format!("{base}/dashboards/{id}"),
            None if message.alert_id.is_empty() => base.to_owned(),
            None => format!("{base}/alerts/{}", message.alert_id),
        }
    }
}
