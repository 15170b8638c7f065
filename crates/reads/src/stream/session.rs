//! Session of one listener: replays the records that it missed, then sends new ones, as the text of
//! server-sent events.

use super::cursor::Cursor;
use super::listeners::{MetricFilter, StreamRecord};
use super::replay::{ReplayError, ReplayRange};
use super::tail::Streams;
use crate::deletions::DeletionMask;
use bytes::Bytes;
use proto::Message as _;
use proto::v1::MetricBatch;
use serde::Serialize;
use std::fmt::Write as _;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Number of records that a replay may buffer for its listener.
const REPLAY_BUFFER: usize = 64;
/// Delay before a client reconnects, milliseconds.
const RETRY_MS: u32 = 1000;

/// Session of a listener.
pub struct Session {
    streams: Streams,
    project: String,
    filter: MetricFilter,
    /// Deletions whose points are not sent.
    deletions: watch::Sender<DeletionMask>,
    /// Position up to which the client has received everything.
    cursor: Cursor,
    /// Position at which the queue begins.
    queue_start: Cursor,
    queue: mpsc::Receiver<Arc<StreamRecord>>,
    start: Start,
}

/// First step of a stream.
enum Start {
    /// Send new records.
    Live,
    /// Replay missed records first.
    Replay(ReplayRange),
    /// Report a gap first, because the missed records cannot be replayed.
    Gap,
}

/// Message of a replay to its session.
enum ReplayMessage {
    Record(StreamRecord),
    End(Result<(), ReplayError>),
}

/// Data of a `point` event.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PointEvent<'a> {
    metric_id: &'a str,
    timestamp: i64,
    value: f64,
    received_at: i64,
}

/// The client disconnected, or the stream ended.
struct StreamEnded;

impl Session {
    /// Creates the session of a listener whose queue begins at `queue_start`. `resume`: id of the last event
    /// that the client has received.
    pub(super) fn new(
        streams: Streams,
        project: &str,
        (filter, deletions): (MetricFilter, DeletionMask),
        queue_start: Cursor,
        queue: mpsc::Receiver<Arc<StreamRecord>>,
        resume: Option<&str>,
    ) -> Self {
        let (cursor, start) = match resume.map(Cursor::parse) {
            None => (queue_start.clone(), Start::Live),
            Some(None) => (queue_start.clone(), Start::Gap),
            Some(Some(cursor)) => {
                let missed = ReplayRange::between(|partition| cursor.next(partition), queue_start.offsets());
                if missed.is_empty() {
                    (cursor, Start::Live)
                } else if missed.records() > streams.0.settings.max_replayed_records {
                    (queue_start.clone(), Start::Gap)
                } else {
                    (cursor, Start::Replay(missed))
                }
            }
        };
        let (project, deletions) = (project.to_owned(), watch::Sender::new(deletions));
        Self { streams, project, filter, deletions, cursor, queue_start, queue, start }
    }

    /// Writes events to `out` until the client disconnects or is too slow, or the service stops. `authorize`
    /// is called periodically: it returns the current deletions, or `None` once the client may no longer read
    /// the project.
    pub async fn run<F>(mut self, out: mpsc::Sender<Bytes>, authorize: impl Fn() -> F)
    where
        F: Future<Output = Option<DeletionMask>>,
    {
        let client = out.clone();
        let stop = self.streams.0.stop.clone();
        let interval = self.streams.0.settings.key_check_interval;
        let deletions = self.deletions.clone();
        let access_revoked = async {
            loop {
                tokio::time::sleep(interval).await;
                let Some(current) = authorize().await else { break };
                deletions.send_replace(current);
            }
        };
        tokio::select! {
            _ = self.send_events(out) => {}
            () = access_revoked => {}
            () = client.closed() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn send_events(&mut self, out: mpsc::Sender<Bytes>) -> Result<(), StreamEnded> {
        let out = &out;
        let send = |text: String| async move {
            if text.is_empty() { Ok(()) } else { out.send(text.into()).await.map_err(|_| StreamEnded) }
        };
        match std::mem::replace(&mut self.start, Start::Live) {
            // The id lets a client resume that loses its connection before the first point.
            Start::Live => send(format!("retry: {RETRY_MS}\nid: {}\n\n", self.cursor.encode())).await?,
            Start::Gap => send(self.gap()).await?,
            Start::Replay(range) => {
                let mut replay = self.replay(range);
                loop {
                    match replay.recv().await {
                        Some(ReplayMessage::Record(record)) => send(self.events(&record)).await?,
                        Some(ReplayMessage::End(Ok(()))) => break,
                        Some(ReplayMessage::End(Err(ReplayError::Gone))) => break send(self.gap()).await?,
                        Some(ReplayMessage::End(Err(_))) | None => return Err(StreamEnded),
                    }
                }
            }
        }
        let interval = self.streams.0.settings.heartbeat_interval;
        let mut heartbeat = interval_at(Instant::now() + interval, interval);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                record = self.queue.recv() => {
                    let record = record.ok_or(StreamEnded)?;
                    send(self.events(&record)).await?;
                }
                _ = heartbeat.tick() => {
                    // Every record before these offsets is already in the queue. Send those records before
                    // the heartbeat, whose id covers them.
                    let delivered = self.streams.0.listeners().delivered();
                    loop {
                        match self.queue.try_recv() {
                            Ok(record) => send(self.events(&record)).await?,
                            Err(mpsc::error::TryRecvError::Empty) => break,
                            Err(mpsc::error::TryRecvError::Disconnected) => return Err(StreamEnded),
                        }
                    }
                    self.cursor.merge(&delivered.unwrap_or_default());
                    send(format!(": beat\nid: {}\n\n", self.cursor.encode())).await?;
                }
            }
        }
    }

    /// Returns the events for the samples of a record that the client has not received, and advances the
    /// cursor.
    fn events(&mut self, record: &StreamRecord) -> String {
        let mut text = String::new();
        let Ok(partition) = usize::try_from(record.partition) else { return text };
        let Some(received) = self.cursor.samples_received(partition, record.offset) else { return text };
        let samples = record.batch.samples.iter().enumerate().skip(received);
        let deletions = self.deletions.borrow().clone();
        let visible = |metric: &str| {
            self.filter.accepts(metric) && !deletions.covers(metric, record.partition, record.offset)
        };
        let mut samples = samples.filter(|(_, sample)| visible(&sample.metric_id)).peekable();
        while let Some((index, sample)) = samples.next() {
            if samples.peek().is_some() {
                self.cursor.advance_within(partition, record.offset, index + 1);
            } else {
                self.cursor.advance_past(partition, record.offset);
                self.cursor.merge(&record.next);
            }
            let event = PointEvent {
                metric_id: &sample.metric_id,
                timestamp: sample.timestamp_ms,
                value: sample.value,
                received_at: record.batch.received_at_ms,
            };
            // Serializing finite numbers and strings does not fail, nor does writing to a string.
            let data = serde_json::to_string(&event).unwrap_or_default();
            let _ = write!(text, "id: {}\nevent: point\ndata: {data}\n\n", self.cursor.encode());
        }
        self.cursor.advance_past(partition, record.offset);
        text
    }

    /// Returns a `gap` event, which tells the client that points may be missing, and moves the cursor to the
    /// start of the queue.
    fn gap(&mut self) -> String {
        self.cursor = self.queue_start.clone();
        let data =
            r#"{"message":"Points may be missing here: read them by GET /metrics/{metricId}/points."}"#;
        format!("retry: {RETRY_MS}\nid: {}\nevent: gap\ndata: {data}\n\n", self.cursor.encode())
    }

    /// Starts a replay in the background. At most [`super::tail::MAX_CONCURRENT_REPLAYS`] run at a time.
    fn replay(&self, range: ReplayRange) -> mpsc::Receiver<ReplayMessage> {
        let (messages, received) = mpsc::channel(REPLAY_BUFFER);
        let (inner, project, filter) = (self.streams.0.clone(), self.project.clone(), self.filter.clone());
        tokio::spawn(async move {
            let Ok(permit) = inner.replays.clone().acquire_owned().await else { return };
            let blocking = tokio::task::spawn_blocking(move || {
                let take = |partition, offset, payload: &[u8]| {
                    if messages.is_closed() {
                        return false;
                    }
                    let batch = MetricBatch::decode(payload).ok();
                    let stored =
                        batch.and_then(|batch| inner.listeners().stored_batch(partition, offset, batch));
                    let Some(batch) = stored else { return true };
                    let accepts = batch.samples.iter().any(|sample| filter.accepts(&sample.metric_id));
                    if batch.project_id != project || !accepts {
                        return true;
                    }
                    let record = StreamRecord { partition, offset, batch, next: Vec::new() };
                    messages.blocking_send(ReplayMessage::Record(record)).is_ok()
                };
                let result = range.read(&inner.brokers, &inner.topic, take);
                if let Err(ReplayError::Kafka(error)) = &result {
                    tracing::warn!(%error, "stream replay failed: Kafka unavailable");
                }
                let _ = messages.blocking_send(ReplayMessage::End(result));
                drop(permit);
            });
            let _ = blocking.await;
        });
        received
    }
}
