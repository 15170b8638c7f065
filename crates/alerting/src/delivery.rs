//! Delivers messages to channels.
//!
//! Each channel has one task that delivers in the topic's order, so that no receiver is notified of a resolution before the
//! firing. Each delivery attempt is recorded before the next one. A message is abandoned after [`MAX_ATTEMPTS`] attempts, or
//! when the receiver rejects it permanently. A failing channel is paused ([`crate::outgoing::receiver_backoff`]), whatever its next message is.

use super::alert_state::PendingDelivery;
use super::directory::Directory;
use super::follower::Follower;
use super::journal::Journal;
use super::lease::Lease;
use super::metrics::{AlertMetrics, DeliveryLabels};
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

/// Maximum number of delivery attempts of a message; with the delays between them about a quarter of an hour.
pub const MAX_ATTEMPTS: u32 = 12;
/// Maximum number of requests in flight.
const MAX_IN_FLIGHT: usize = 64;
/// Time to wait until a channel is known: it may have been created just before the message.
const CHANNEL_LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval at which the directory and the lease are polled.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Delivers messages to channels. Clones share their state.
#[derive(Clone)]
pub struct Deliverer {
    /// Source of the deliveries.
    pub follower: Follower,
    /// Records delivery attempts.
    pub journal: Journal,
    /// Channels and dashboards of all projects.
    pub directory: Directory,
    /// HTTP client.
    pub client: Client,
    /// The lease. Nothing is sent while it is not fresh.
    pub lease: Lease,
    /// URL of the page, for links in messages.
    pub public_url: Arc<str>,
    /// Prometheus metrics.
    pub metrics: AlertMetrics,
    /// Backoff of receivers, and channels with a running task.
    pub state: Arc<DelivererState>,
}

/// Backoff of receivers, and channels with a running task.
pub struct DelivererState {
    busy: Mutex<HashSet<String>>,
    backoffs: Mutex<HashMap<String, ReceiverBackoff>>,
    slots: Semaphore,
}

impl Default for DelivererState {
    fn default() -> Self {
        Self { busy: Mutex::default(), backoffs: Mutex::default(), slots: Semaphore::new(MAX_IN_FLIGHT) }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Result of a delivery attempt.
struct AttemptResult {
    status: DeliveryStatus,
    error: String,
    kind: Option<Kind>,
}

impl Deliverer {
    /// Delivers messages for ever.
    pub async fn run(self) {
        let mut changed = self.follower.pending_deliveries();
        let mut workers = JoinSet::new();
        loop {
            changed.mark_unchanged();
            for channel in self.follower.read(|states| states.pending_channels()) {
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

    /// Delivers all messages of one channel.
    async fn serve(self, channel_id: String) {
        loop {
            let Some(delivery) = self.follower.read(|states| states.next_delivery(&channel_id)) else {
                lock(&self.state.busy).remove(&channel_id);
                // A message may have arrived in between; the first task to notice it continues.
                let more = self.follower.read(|states| states.next_delivery(&channel_id)).is_some();
                if more && lock(&self.state.busy).insert(channel_id.clone()) {
                    continue;
                }
                return;
            };
            let result = self.attempt(&channel_id, &delivery).await;
            let status = match result.status {
                DeliveryStatus::Delivered => "delivered",
                DeliveryStatus::Retrying => "retrying",
                DeliveryStatus::Failed | DeliveryStatus::Unspecified => "failed",
            };
            let kind = result.kind.map_or("unknown", Kind::as_str);
            self.metrics.deliveries.get_or_create(&DeliveryLabels { kind, status }).inc();
            let attempt = AlertDelivery {
                event_id: delivery.message.id.clone(),
                project_id: delivery.message.project_id.clone(),
                channel_id: channel_id.clone(),
                at_ms: service::clock::now_ms(),
                status: result.status.into(),
                attempt: delivery.attempts + 1,
                error: result.error,
                channel_kind: kind.to_owned(),
                alert_id: delivery.message.alert_id.clone(),
            };
            let record = AlertRecord { kind: Some(alert_record::Kind::Delivery(attempt)) };
            match self.journal.write(vec![record]).await {
                Ok(offset) => self.follower.reached(offset).await,
                // Leadership is lost; the next leader repeats attempts that were not recorded.
                Err(_) => return,
            }
        }
    }

    async fn attempt(&self, channel_id: &str, delivery: &PendingDelivery) -> AttemptResult {
        let failed = |error: &str, kind| AttemptResult {
            status: DeliveryStatus::Failed,
            error: error.to_owned(),
            kind,
        };
        let delay = lock(&self.state.backoffs)
            .get(channel_id)
            .map_or(Duration::ZERO, |backoff| backoff.wait(Instant::now()));
        sleep(delay).await;
        // After the delay, during which the channel may have been removed.
        let Some(channel) = self.channel(channel_id).await else {
            return failed("the channel was removed", None);
        };
        let Some(kind) = Kind::parse(&channel.kind) else {
            return failed("this version of query-api does not know the kind of the channel", None);
        };
        let message = Message { link: self.link(&delivery.message), ..(*delivery.message).clone() };
        let Some((headers, body)) = payload(kind, &channel.signing_key, &message, service::clock::now_ms())
        else {
            return match kind {
                Kind::InApp => AttemptResult {
                    status: DeliveryStatus::Delivered,
                    error: String::new(),
                    kind: Some(kind),
                },
                _ => failed("the message could not be signed", Some(kind)),
            };
        };
        let Ok(target) = Target::parse(&channel.url) else {
            return failed("the URL of the channel is invalid", Some(kind));
        };
        // The semaphore is never closed; without a permit only more requests run at once.
        let _slot = self.state.slots.acquire().await;
        while !self.lease.is_fresh() {
            sleep(POLL_INTERVAL).await;
        }
        let outcome = self.client.post(&target, &headers, body).await;
        let error = outcome.error();
        let status = match outcome.verdict() {
            Verdict::Delivered => DeliveryStatus::Delivered,
            Verdict::Retry(_) if delivery.is_test() || delivery.attempts + 1 >= MAX_ATTEMPTS => {
                DeliveryStatus::Failed
            }
            Verdict::Retry(_) => DeliveryStatus::Retrying,
            Verdict::GiveUp => DeliveryStatus::Failed,
        };
        let mut backoffs = lock(&self.state.backoffs);
        match outcome.verdict() {
            Verdict::Delivered | Verdict::GiveUp => drop(backoffs.remove(channel_id)),
            Verdict::Retry(requested) => backoffs.entry(channel_id.to_owned()).or_default().failed(
                Instant::now(),
                requested,
                rand::random(),
            ),
        }
        AttemptResult { status, error, kind: Some(kind) }
    }

    async fn channel(&self, id: &str) -> Option<Channel> {
        let started = Instant::now();
        loop {
            let channel = self.directory.read(|entries| entries.channel(id).cloned());
            if channel.is_some() || started.elapsed() > CHANNEL_LOOKUP_TIMEOUT {
                return channel;
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Returns the URL of a dashboard that shows the metric, or of the rule if there is none.
    fn link(&self, message: &Message) -> String {
        let base = self.public_url.trim_end_matches('/');
        let dashboard = self
            .directory
            .read(|entries| entries.dashboard(&message.project_id, &message.metric_id).map(str::to_owned));
        match dashboard {
            Some(id) => format!("{base}/dashboards/{id}"),
            None if message.alert_id.is_empty() => base.to_owned(),
            None => format!("{base}/alerts/{}", message.alert_id),
        }
    }
}
