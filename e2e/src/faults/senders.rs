//! Clients that send uniquely numbered metrics, and remember what they were answered.
//!
//! Request `r` carries the numbers from `r * 10` on, at most five of them. Every other request has an idempotency key and
//! is repeated, at one gateway or another, until it is answered 200; some of them are sent twice at once, or again
//! after their 200. The others are sent once: what becomes of those without an answer is nobody's promise.

use super::dice::Dice;
use crate::{Project, Result};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The first number of a request is so many times its own.
pub const APART: u64 = 10;
/// So many metrics there are.
pub const METRICS: u64 = 7;

const CLIENTS: u64 = 16;
const PAUSE: Duration = Duration::from_millis(200);
/// Longer than a gateway takes to say 503.
const PATIENCE: Duration = Duration::from_secs(7);
/// How long a keyed request is repeated after the last fault.
const AFTERWARDS: Duration = Duration::from_secs(120);

/// So many metrics request `request` carries.
pub fn size(request: u64) -> u64 {
    1 + request % 5
}

/// The metric that `number` belongs to.
pub fn metric_id(number: u64) -> String {
    format!("m_{}", number % METRICS)
}

/// What was sent, and what became of it.
#[derive(Debug, Default, Clone)]
pub struct Sent {
    /// Requests that were sent: all below this.
    pub requests: u64,
    /// Those that were answered 200.
    pub accepted: BTreeSet<u64>,
    /// Those with an idempotency key that were never answered 200.
    pub unanswered: BTreeSet<u64>,
    /// Answers by status; `no answer` for none.
    pub answers: BTreeMap<String, u64>,
    /// Repeats that were answered 200 with another batch id than the first time.
    pub other_ids: u64,
    /// Answers that a good request may never get.
    pub wrong: Vec<String>,
}

/// Clients at work.
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

enum Answer {
    Accepted(String),
    Other,
}

impl Senders {
    /// Starts them.
    pub fn start(gateways: &[String], project: Project, seed: u64) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(PATIENCE).build()?;
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

    /// Requests so far, and those of them that were accepted.
    pub fn so_far(&self) -> (u64, usize) {
        (self.shared.next.load(Ordering::Relaxed), self.shared.note(|sent| sent.accepted.len()))
    }

    /// No new request; waits until those with keys are answered, or are given up.
    pub async fn finish(self) -> Sent {
        self.stop.send_replace(true);
        self.tasks.join_all().await;
        let mut sent = self.shared.note(|sent| sent.clone());
        sent.requests = self.shared.next.load(Ordering::Relaxed);
        sent
    }
}

impl Shared {
    async fn work(&self, stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            let request = self.next.fetch_add(1, Ordering::Relaxed);
            let mut dice = Dice::new(self.seed ^ request);
            let body = self.body(request);
            if request.is_multiple_of(2) {
                self.repeat(request, &body, &mut dice, &stopped).await;
            } else if let Answer::Accepted(_) = self.send(&body, None, &mut dice).await {
                self.note(|sent| sent.accepted.insert(request));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Until it is answered 200, and some of them once more.
    async fn repeat(&self, request: u64, body: &str, dice: &mut Dice, stopped: &watch::Receiver<bool>) {
        let key = format!("request-{request}");
        let mut given_up_at = None;
        let mut first: Option<String> = None;
        let mut again = u64::from(dice.between(0, 4) == 0);
        loop {
            let answers = if dice.between(0, 8) == 0 {
                let mut other = dice.clone();
                other.roll();
                let both =
                    tokio::join!(self.send(body, Some(&key), dice), self.send(body, Some(&key), &mut other));
                vec![both.0, both.1]
            } else {
                vec![self.send(body, Some(&key), dice).await]
            };
            for answer in answers {
                if let Answer::Accepted(id) = answer {
                    let before = first.get_or_insert_with(|| id.clone());
                    let another = u64::from(*before != id);
                    self.note(|sent| {
                        sent.accepted.insert(request);
                        sent.other_ids += another;
                    });
                }
            }
            if first.is_some() {
                if again == 0 {
                    return;
                }
                again -= 1;
            }
            if *stopped.borrow() {
                let limit = *given_up_at.get_or_insert_with(|| Instant::now() + AFTERWARDS);
                if Instant::now() > limit {
                    break;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        if first.is_none() {
            self.note(|sent| sent.unanswered.insert(request));
        }
    }

    async fn send(&self, body: &str, key: Option<&str>, dice: &mut Dice) -> Answer {
        let gateway = &self.gateways[dice.roll() as usize % self.gateways.len()];
        let mut request = self
            .http
            .post(format!("{gateway}/api/webhooks/custom"))
            .bearer_auth(&self.project.api_key)
            .header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = match request.body(body.to_owned()).send().await {
            Ok(response) => {
                let status = response.status().as_u16();
                response.text().await.map(|text| (status, text))
            }
            Err(error) => Err(error),
        };
        let Ok((status, text)) = answer else {
            self.note(|sent| *sent.answers.entry("no answer".to_owned()).or_default() += 1);
            return Answer::Other;
        };
        let batch_id = serde_json::from_str(&text).ok().and_then(|answer: Value| {
            answer["batchId"].as_str().filter(|_| status == 200).map(str::to_owned)
        });
        self.note(|sent| {
            *sent.answers.entry(status.to_string()).or_default() += 1;
            // 408: a gateway that was stopped believes that the body stood still.
            if !(batch_id.is_some() || status == 503 || status == 408) {
                sent.wrong.push(format!("{status} from {gateway}: {text}"));
            }
        });
        batch_id.map_or(Answer::Other, Answer::Accepted)
    }

    fn body(&self, request: u64) -> String {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64);
        let metrics: Vec<Value> = (request * APART..request * APART + size(request))
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

    fn note<T>(&self, what: impl FnOnce(&mut Sent) -> T) -> T {
        // Whoever panicked left whole numbers behind.
        what(&mut self.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
