//! Clients that send uniquely numbered metrics and record the responses.
//!
//! Request `r` carries at most five metrics with the numbers from `r * 10` on. Requests with an even number
//! have an idempotency key and are repeated, at varying gateways, until they are answered 200; some of them are
//! sent twice concurrently, or once more after their 200. Requests with an odd number are sent once: nothing is
//! promised about those that get no response.

use super::rng::Rng;
use crate::client::Project;
use crate::error::Result;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Distance between the first numbers of two consecutive requests.
pub const NUMBERS_PER_REQUEST: u64 = 10;
/// Number of distinct metric ids.
pub const METRICS: u64 = 7;

const CLIENTS: u64 = 16;
const PAUSE: Duration = Duration::from_millis(200);
/// Longer than a gateway takes to answer 503.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(7);
/// Time after the last fault for which requests with an idempotency key are repeated.
const RECOVERY_LIMIT: Duration = Duration::from_secs(120);

/// Number of metrics in a request.
pub fn size(request: u64) -> u64 {
    1 + request % 5
}

/// Metric id of a number.
pub fn metric_id(number: u64) -> String {
    format!("m_{}", number % METRICS)
}

/// Requests that were sent, and their responses.
#[derive(Debug, Default, Clone)]
pub struct Sent {
    /// Number of requests; they are numbered from 0.
    pub requests: u64,
    /// Requests that were answered 200.
    pub accepted: BTreeSet<u64>,
    /// Requests with an idempotency key that were never answered 200.
    pub unanswered: BTreeSet<u64>,
    /// Number of responses by status; `no response` counts failed connections and timeouts.
    pub responses: BTreeMap<String, u64>,
    /// Repeats that were answered 200 with a different batch id than the first time.
    pub changed_batch_ids: u64,
    /// Responses that a valid request must never get.
    pub unexpected: Vec<String>,
}

/// Running clients.
pub struct Senders {
    tasks: JoinSet<()>,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
}

struct Shared {
    gateways: Vec<String>,
    project: Project,
    http: reqwest::Client,
    next: AtomicU64,
    sent: Mutex<Sent>,
    seed: u64,
}

impl Senders {
    /// Starts the clients.
    pub fn start(gateways: &[String], project: Project, seed: u64) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).build()?;
        let shared = Arc::new(Shared {
            gateways: gateways.to_vec(),
            project,
            http,
            next: AtomicU64::new(0),
            sent: Mutex::default(),
            seed,
        });
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for _ in 0..CLIENTS {
            let (shared, stopped) = (shared.clone(), stopped.clone());
            tasks.spawn(async move { shared.work(stopped).await });
        }
        Ok(Self { tasks, shared, stop })
    }

    /// Number of requests so far, and number of accepted requests.
    pub fn progress(&self) -> (u64, usize) {
        (self.shared.next.load(Ordering::Relaxed), self.shared.update(|sent| sent.accepted.len()))
    }

    /// Sends no new requests, and waits until those with an idempotency key are answered or given up.
    pub async fn finish(self) -> Sent {
        self.stop.send_replace(true);
        self.tasks.join_all().await;
        let mut sent = self.shared.update(|sent| sent.clone());
        sent.requests = self.shared.next.load(Ordering::Relaxed);
        sent
    }
}

impl Shared {
    async fn work(&self, stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            let request = self.next.fetch_add(1, Ordering::Relaxed);
            let mut rng = Rng::new(self.seed ^ request);
            let body = self.body(request);
            if request.is_multiple_of(2) {
                self.send_until_accepted(request, &body, &mut rng, &stopped).await;
            } else if self.send(&body, None, &mut rng).await.is_some() {
                self.update(|sent| sent.accepted.insert(request));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Repeats a request until it is answered 200; every fourth one, at random, once more after that.
    async fn send_until_accepted(
        &self,
        request: u64,
        body: &str,
        rng: &mut Rng,
        stopped: &watch::Receiver<bool>,
    ) {
        let key = format!("request-{request}");
        let mut give_up_at = None;
        let mut first_batch_id: Option<String> = None;
        let mut further_repeats = u64::from(rng.between(0, 4) == 0);
        loop {
            for batch_id in self.send_once_or_twice(&key, body, rng).await.into_iter().flatten() {
                let first = first_batch_id.get_or_insert_with(|| batch_id.clone());
                let changed = u64::from(*first != batch_id);
                self.update(|sent| {
                    sent.accepted.insert(request);
                    sent.changed_batch_ids += changed;
                });
            }
            if first_batch_id.is_some() {
                if further_repeats == 0 {
                    return;
                }
                further_repeats -= 1;
            }
            if *stopped.borrow() {
                let limit = *give_up_at.get_or_insert_with(|| Instant::now() + RECOVERY_LIMIT);
                if Instant::now() > limit {
                    break;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        if first_batch_id.is_none() {
            self.update(|sent| sent.unanswered.insert(request));
        }
    }

    /// Sends a request with an idempotency key; every eighth one, at random, twice concurrently.
    async fn send_once_or_twice(&self, key: &str, body: &str, rng: &mut Rng) -> Vec<Option<String>> {
        if rng.between(0, 8) != 0 {
            return vec![self.send(body, Some(key), rng).await];
        }
        let mut other = rng.clone();
        other.next_u64();
        let both = tokio::join!(self.send(body, Some(key), rng), self.send(body, Some(key), &mut other));
        vec![both.0, both.1]
    }

    /// Sends a request to a random gateway and records the response; returns the batch id of a 200.
    async fn send(&self, body: &str, key: Option<&str>, rng: &mut Rng) -> Option<String> {
        let gateway = &self.gateways[rng.next_u64() as usize % self.gateways.len()];
        let mut request = self
            .http
            .post(format!("{gateway}/api/webhooks/custom"))
            .bearer_auth(&self.project.api_key)
            .header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let response = match request.body(body.to_owned()).send().await {
            Ok(response) => {
                let status = response.status().as_u16();
                response.text().await.map(|text| (status, text))
            }
            Err(error) => Err(error),
        };
        let Ok((status, text)) = response else {
            self.update(|sent| *sent.responses.entry("no response".to_owned()).or_default() += 1);
            return None;
        };
        let batch_id = serde_json::from_str(&text)
            .ok()
            .and_then(|body: Value| body["batchId"].as_str().filter(|_| status == 200).map(str::to_owned));
        self.update(|sent| {
            *sent.responses.entry(status.to_string()).or_default() += 1;
            // 408 comes from a gateway that was frozen: to it, the body seems to have stopped arriving.
            if !(batch_id.is_some() || status == 503 || status == 408) {
                sent.unexpected.push(format!("{status} from {gateway}: {text}"));
            }
        });
        batch_id
    }

    fn body(&self, request: u64) -> String {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64);
        let first = request * NUMBERS_PER_REQUEST;
        let metrics: Vec<Value> = (first..first + size(request))
            .map(|number| {
                let hours_ago = number % 5;
                json!({
                    "metricId": metric_id(number),
                    "value": number,
                    "timestamp": now_ms - hours_ago * 3_600_000,
                })
            })
            .collect();
        json!({"projectId": self.project.project_id, "metrics": metrics}).to_string()
    }

    fn update<T>(&self, change: impl FnOnce(&mut Sent) -> T) -> T {
        // A change that panics leaves consistent counts behind.
        change(&mut self.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
