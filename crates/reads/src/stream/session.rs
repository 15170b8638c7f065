//! One listener, from its coming to its leaving: what it missed, then what comes, as the text of server-sent events.

use super::cursor::Cursor;
use super::hub::{Entry, Wanted};
use super::replay::{Failed, Missed};
use super::tail::Streams;
use crate::hidden::Hidden;
use bytes::Bytes;
use proto::Message as _;
use proto::v1::MetricBatch;
use serde::Serialize;
use std::fmt::Write as _;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// How many records a replay may be ahead of its listener.
const AHEAD: usize = 64;
/// How soon a client that lost its stream comes back, in milliseconds.
const RETRY_MS: u32 = 1000;

/// A listener.
pub struct Session {
    streams: Streams,
    project: String,
    wanted: Wanted,
    /// What was deleted, and is not to be shown.
    hidden: watch::Sender<Hidden>,
    /// What it has seen.
    at: Cursor,
    /// Where its queue begins.
    now: Cursor,
    entries: mpsc::Receiver<Arc<Entry>>,
    missed: Start,
}

/// How a stream begins.
enum Start {
    Now,
    /// After what was missed.
    Replay(Missed),
    /// What was missed cannot be told.
    Gap,
}

/// What a replay gives.
enum Replayed {
    Record(Entry),
    End(Result<(), Failed>),
}

/// What is pushed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pushed<'a> {
    metric_id: &'a str,
    timestamp: i64,
    value: f64,
    received_at: i64,
}

/// The client left, or the stream is over.
struct Over;

impl Session {
    /// A listener whose queue begins at `now`.
    pub(super) fn new(
        streams: Streams,
        project: &str,
        (wanted, hidden): (Wanted, Hidden),
        now: Cursor,
        entries: mpsc::Receiver<Arc<Entry>>,
        resume: Option<&str>,
    ) -> Self {
        let (at, missed) = match resume.map(Cursor::parse) {
            None => (now.clone(), Start::Now),
            Some(None) => (now.clone(), Start::Gap),
            Some(Some(seen)) => {
                let missed = Missed::between(|partition| seen.next(partition), now.offsets());
                if missed.is_empty() {
                    (seen, Start::Now)
                } else if missed.records() > streams.0.settings.replayed {
                    (now.clone(), Start::Gap)
                } else {
                    (seen, Start::Replay(missed))
                }
            }
        };
        let (project, hidden) = (project.to_owned(), watch::Sender::new(hidden));
        Self { streams, project, wanted, hidden, at, now, entries, missed }
    }

    /// Writes events to `out` until the client leaves, the service stops, or the client was too slow. `look` tells, every
    /// now and then, what is to be hidden; nothing once the client may not listen any more.
    pub async fn run<F>(mut self, out: mpsc::Sender<Bytes>, look: impl Fn() -> F)
    where
        F: Future<Output = Option<Hidden>>,
    {
        let gone = out.clone();
        let stop = self.streams.0.stop.clone();
        let key_check = self.streams.0.settings.key_check;
        let hidden = self.hidden.clone();
        let forbidden = async {
            loop {
                tokio::time::sleep(key_check).await;
                let Some(now) = look().await else { break };
                hidden.send_replace(now);
            }
        };
        tokio::select! {
            _ = self.push(out) => {}
            () = forbidden => {}
            () = gone.closed() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn push(&mut self, out: mpsc::Sender<Bytes>) -> Result<(), Over> {
        let out = &out;
        let send = |text: String| async move {
            if text.is_empty() { Ok(()) } else { out.send(text.into()).await.map_err(|_| Over) }
        };
        match std::mem::replace(&mut self.missed, Start::Now) {
            // So that a client that loses its stream before the first point knows where it was.
            Start::Now => send(format!("retry: {RETRY_MS}\nid: {}\n\n", self.at.text())).await?,
            Start::Gap => send(self.gap()).await?,
            Start::Replay(missed) => {
                let mut replay = self.replay(missed);
                loop {
                    match replay.recv().await {
                        Some(Replayed::Record(entry)) => send(self.events(&entry)).await?,
                        Some(Replayed::End(Ok(()))) => break,
                        Some(Replayed::End(Err(Failed::Gone))) => break send(self.gap()).await?,
                        Some(Replayed::End(Err(_))) | None => return Err(Over),
                    }
                }
            }
        }
        let beat = self.streams.0.settings.beat;
        let mut beats = interval_at(Instant::now() + beat, beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                entry = self.entries.recv() => {
                    let entry = entry.ok_or(Over)?;
                    send(self.events(&entry)).await?;
                }
                _ = beats.tick() => {
                    // All that was given before `read` was asked for is in the queue: first that, then the beat.
                    let read = self.streams.0.hub().read();
                    loop {
                        match self.entries.try_recv() {
                            Ok(entry) => send(self.events(&entry)).await?,
                            Err(mpsc::error::TryRecvError::Empty) => break,
                            Err(mpsc::error::TryRecvError::Disconnected) => return Err(Over),
                        }
                    }
                    self.at.merge(&read.unwrap_or_default());
                    send(format!(": beat\nid: {}\n\n", self.at.text())).await?;
                }
            }
        }
    }

    /// The events of a record, of what was not seen yet.
    fn events(&mut self, entry: &Entry) -> String {
        let mut text = String::new();
        let Ok(partition) = usize::try_from(entry.partition) else { return text };
        let Some(seen) = self.at.seen(partition, entry.offset) else { return text };
        let samples = entry.batch.samples.iter().enumerate().skip(seen);
        let hidden = self.hidden.borrow().clone();
        let shown =
            |metric: &str| self.wanted.has(metric) && !hidden.covers(metric, entry.partition, entry.offset);
        let mut samples = samples.filter(|(_, sample)| shown(&sample.metric_id)).peekable();
        while let Some((index, sample)) = samples.next() {
            if samples.peek().is_some() {
                self.at.enter(partition, entry.offset, index + 1);
            } else {
                self.at.pass(partition, entry.offset);
                self.at.merge(&entry.read);
            }
            let pushed = Pushed {
                metric_id: &sample.metric_id,
                timestamp: sample.timestamp_ms,
                value: sample.value,
                received_at: entry.batch.received_at_ms,
            };
            // Finite numbers and strings can always be written, and writing to a string does not fail.
            let data = serde_json::to_string(&pushed).unwrap_or_default();
            let _ = write!(text, "id: {}\nevent: point\ndata: {data}\n\n", self.at.text());
        }
        self.at.pass(partition, entry.offset);
        text
    }

    /// Says that points may be missing, and goes on where the queue begins.
    fn gap(&mut self) -> String {
        self.at = self.now.clone();
        let data =
            r#"{"message":"Points may be missing here: read them by GET /metrics/{metricId}/points."}"#;
        format!("retry: {RETRY_MS}\nid: {}\nevent: gap\ndata: {data}\n\n", self.at.text())
    }

    fn replay(&self, missed: Missed) -> mpsc::Receiver<Replayed> {
        let (records, received) = mpsc::channel(AHEAD);
        let (inner, project, wanted) = (self.streams.0.clone(), self.project.clone(), self.wanted.clone());
        tokio::spawn(async move {
            let Ok(permit) = inner.replays.clone().acquire_owned().await else { return };
            let blocking = tokio::task::spawn_blocking(move || {
                let take = |partition, offset, payload: &[u8]| {
                    if records.is_closed() {
                        return false;
                    }
                    let batch = MetricBatch::decode(payload).ok();
                    let stored = batch.and_then(|batch| inner.hub().stored(partition, offset, batch));
                    let Some(batch) = stored else { return true };
                    let wants = batch.samples.iter().any(|sample| wanted.has(&sample.metric_id));
                    if batch.project_id != project || !wants {
                        return true;
                    }
                    let entry = Entry { partition, offset, batch, read: Vec::new() };
                    records.blocking_send(Replayed::Record(entry)).is_ok()
                };
                let result = missed.read(&inner.brokers, &inner.topic, take);
                if let Err(Failed::Kafka(error)) = &result {
                    tracing::warn!(%error, "what a stream missed could not be read again");
                }
                let _ = records.blocking_send(Replayed::End(result));
                drop(permit);
            });
            let _ = blocking.await;
        });
        received
    }
}
