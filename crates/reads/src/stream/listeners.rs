//! Listeners, and the offsets up to which the log was read: the state that the tail and the sessions share.
//! No I/O.

use super::cursor::Cursor;
use super::deduplication::DeduplicationWindow;
use proto::v1::MetricBatch;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Number of idempotency keys in the deduplication window; about 100 bytes each.
const WINDOW_KEYS: usize = 200_000;

/// Record for a listener.
#[derive(Debug)]
pub struct StreamRecord {
    /// Kafka partition.
    pub partition: i32,
    /// Kafka offset.
    pub offset: i64,
    /// Decoded batch.
    pub batch: MetricBatch,
    /// Next offset of each partition at the time when this record had been read.
    pub next: Vec<i64>,
}

/// Metrics that a listener receives. The default is all metrics of its project.
#[derive(Debug, Clone, Default)]
pub struct MetricFilter(Option<Arc<HashSet<String>>>);

impl MetricFilter {
    /// Accepts `metrics`, or all metrics if it is empty.
    pub fn new(metrics: HashSet<String>) -> Self {
        Self((!metrics.is_empty()).then(|| Arc::new(metrics)))
    }

    /// Returns whether the listener receives `metric`.
    pub fn accepts(&self, metric: &str) -> bool {
        self.0.as_ref().is_none_or(|metrics| metrics.contains(metric))
    }
}

#[derive(Debug)]
struct Listener {
    filter: MetricFilter,
    queue: mpsc::Sender<Arc<StreamRecord>>,
}

/// Listeners of all projects, and the progress of the tail.
#[derive(Debug)]
pub struct Listeners {
    /// Next offset of each partition to read; `None` while the log is not read.
    next: Option<Vec<i64>>,
    /// End of each partition when the tail started. Earlier records only fill the deduplication window.
    initial_ends: Vec<i64>,
    by_project: HashMap<String, Vec<Listener>>,
    window: DeduplicationWindow,
}

impl Default for Listeners {
    fn default() -> Self {
        Self {
            next: None,
            initial_ends: Vec::new(),
            by_project: HashMap::new(),
            window: DeduplicationWindow::new(WINDOW_KEYS),
        }
    }
}

/// Reason why a listener was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinError {
    /// The log is not read at the moment.
    NotReading,
    /// The project has the maximum number of listeners.
    TooManyListeners,
}

impl Listeners {
    /// Starts reading the log at the offsets `from`. `ends`: current end of each partition.
    pub fn start(&mut self, from: Vec<i64>, ends: Vec<i64>) {
        (self.next, self.initial_ends) = (Some(from), ends);
    }

    /// Notes that the log is no longer read. Ends all listeners after the records that are in their queues.
    pub fn stop(&mut self) {
        self.next = None;
        self.by_project.clear();
    }

    /// Adds a partition that was added to the topic.
    pub fn add_partition(&mut self) {
        if let Some(next) = &mut self.next {
            next.push(0);
            self.initial_ends.push(0);
        }
    }

    /// Returns the offset of each partition before which every record was queued to its listeners.
    pub fn delivered(&self) -> Option<Vec<i64>> {
        let next = self.next.as_ref()?;
        Some(next.iter().zip(&self.initial_ends).map(|(next, end)| *next.max(end)).collect())
    }

    /// Adds a listener. Every record after the returned cursor comes through the returned queue of
    /// `queue_capacity` records.
    pub fn join(
        &mut self,
        project: &str,
        filter: MetricFilter,
        queue_capacity: usize,
        max_listeners: usize,
    ) -> Result<(Cursor, mpsc::Receiver<Arc<StreamRecord>>), JoinError> {
        let delivered = self.delivered().ok_or(JoinError::NotReading)?;
        self.by_project.retain(|_, listeners| {
            listeners.retain(|listener| !listener.queue.is_closed());
            !listeners.is_empty()
        });
        let listeners = self.by_project.entry(project.to_owned()).or_default();
        if listeners.len() >= max_listeners {
            return Err(JoinError::TooManyListeners);
        }
        let (queue, records) = mpsc::channel(queue_capacity);
        listeners.push(Listener { filter, queue });
        Ok((Cursor::before(delivered), records))
    }

    /// Queues a record that was read to the listeners that receive it. `batch`: `None` if it could not be
    /// decoded.
    pub fn deliver(&mut self, partition: i32, offset: i64, batch: Option<MetricBatch>) {
        let Ok(index) = usize::try_from(partition) else { return };
        let Some(next) = self.next.as_mut().and_then(|next| next.get_mut(index)) else { return };
        *next = (*next).max(offset + 1);
        let Some(batch) = batch.and_then(|batch| self.stored_batch(partition, offset, batch)) else { return };
        if self.initial_ends.get(index).is_some_and(|end| offset < *end) {
            return;
        }
        let Some(next) = self.delivered() else { return };
        let Some(listeners) = self.by_project.get_mut(&batch.project_id) else { return };
        let record = Arc::new(StreamRecord { partition, offset, batch, next });
        listeners.retain(|listener| {
            let samples = &record.batch.samples;
            let accepts = samples.iter().any(|sample| listener.filter.accepts(&sample.metric_id));
            // A listener whose queue is full is removed; its client reconnects with its cursor.
            !accepts || listener.queue.try_send(record.clone()).is_ok()
        });
    }

    /// Returns the batch of a record if the ingest worker stores it: it is valid and not a duplicate.
    pub fn stored_batch(&mut self, partition: i32, offset: i64, batch: MetricBatch) -> Option<MetricBatch> {
        let valid = proto::batch_id(&batch.batch_id).is_some()
            && !batch.project_id.is_empty()
            && batch.samples.iter().all(|sample| sample.value.is_finite() && !sample.metric_id.is_empty());
        (valid && !self.window.is_duplicate(partition, offset, &batch)).then_some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::v1::Sample;

    fn record(project: &str, metric: &str, key: &str) -> Option<MetricBatch> {
        let sample = Sample { metric_id: metric.to_owned(), value: 1.0, ..Sample::default() };
        Some(MetricBatch {
            batch_id: vec![7; 16],
            project_id: project.to_owned(),
            samples: vec![sample],
            idempotency_key: key.to_owned(),
            body_hash: vec![1; 32],
            ..MetricBatch::default()
        })
    }

    fn listeners() -> Listeners {
        let mut listeners = Listeners::default();
        listeners.start(vec![0, 0], vec![3, 0]);
        listeners
    }

    fn offsets(queue: &mut mpsc::Receiver<Arc<StreamRecord>>) -> Vec<i64> {
        std::iter::from_fn(|| queue.try_recv().ok()).map(|record| record.offset).collect()
    }

    #[test]
    fn listener_receives_the_selected_metrics_of_its_project() {
        let mut listeners = listeners();
        let only = |metric: &str| MetricFilter::new(HashSet::from([metric.to_owned()]));
        let (cursor, mut all) = listeners.join("p", MetricFilter::default(), 9, 9).expect("below the limit");
        let (_, mut some) = listeners.join("p", only("a"), 9, 9).expect("below the limit");
        let (_, mut other) = listeners.join("q", only("a"), 9, 9).expect("below the limit");
        assert_eq!(cursor, Cursor::before(vec![3, 0]));
        for (offset, (project, metric)) in (3..).zip([("p", "a"), ("p", "b"), ("q", "a"), ("q", "b")]) {
            listeners.deliver(0, offset, record(project, metric, ""));
        }
        assert_eq!(offsets(&mut all), [3, 4]);
        assert_eq!(offsets(&mut some), [3]);
        assert_eq!(offsets(&mut other), [5]);
        assert_eq!(listeners.delivered(), Some(vec![7, 0]));
    }

    #[test]
    fn earlier_records_only_fill_the_deduplication_window() {
        let mut listeners = listeners();
        let (_, mut queue) = listeners.join("p", MetricFilter::default(), 9, 9).expect("below the limit");
        listeners.deliver(0, 2, record("p", "a", "k"));
        listeners.deliver(0, 3, record("p", "a", "k"));
        listeners.deliver(0, 4, record("p", "a", "l"));
        assert_eq!(offsets(&mut queue), [4], "offset 3 is a duplicate of offset 2");
    }

    #[test]
    fn slow_listener_is_removed_after_its_queued_records() {
        let mut listeners = listeners();
        let (_, mut queue) = listeners.join("p", MetricFilter::default(), 2, 9).expect("below the limit");
        for offset in 3..9 {
            listeners.deliver(0, offset, record("p", "a", ""));
        }
        assert_eq!(offsets(&mut queue), [3, 4]);
        assert!(queue.is_closed());
    }

    #[test]
    fn listeners_are_limited_per_project_and_need_a_running_tail() {
        let mut listeners = listeners();
        let first = listeners.join("p", MetricFilter::default(), 1, 1).expect("below the limit");
        assert_eq!(
            listeners.join("p", MetricFilter::default(), 1, 1).map(|_| ()),
            Err(JoinError::TooManyListeners)
        );
        assert!(listeners.join("q", MetricFilter::default(), 1, 1).is_ok());
        drop(first);
        let (_, queue) = listeners.join("p", MetricFilter::default(), 1, 1).expect("the first listener left");
        listeners.stop();
        assert!(queue.is_closed());
        assert_eq!(
            listeners.join("p", MetricFilter::default(), 1, 1).map(|_| ()),
            Err(JoinError::NotReading)
        );
    }

    #[test]
    fn invalid_records_are_not_delivered() {
        let mut listeners = listeners();
        let (_, mut queue) = listeners.join("p", MetricFilter::default(), 9, 9).expect("below the limit");
        listeners.deliver(0, 3, None);
        let without_project = record("", "a", "");
        listeners.deliver(0, 4, without_project);
        listeners.deliver(7, 3, record("p", "a", ""));
        assert_eq!(offsets(&mut queue), [] as [i64; 0]);
    }
}
