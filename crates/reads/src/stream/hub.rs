//! Who listens, and up to where the log was read: what the tail and the listeners share, without I/O.

use super::cursor::Cursor;
use super::seen::Seen;
use proto::v1::MetricBatch;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::mpsc;

/// How many keys are remembered; about 100 bytes each.
const KEYS: usize = 200_000;

/// A record that a listener wants.
#[derive(Debug)]
pub struct Entry {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// What is in it.
    pub batch: MetricBatch,
    /// Up to where everything was read once it was, by partition.
    pub read: Vec<i64>,
}

/// The metrics that a listener wants; all of its project where none are named.
#[derive(Debug, Clone, Default)]
pub struct Wanted(Option<Arc<HashSet<String>>>);

impl Wanted {
    /// These metrics; all if there are none.
    pub fn new(metrics: HashSet<String>) -> Self {
        Self((!metrics.is_empty()).then(|| Arc::new(metrics)))
    }

    /// Whether `metric` is one of them.
    pub fn has(&self, metric: &str) -> bool {
        self.0.as_ref().is_none_or(|metrics| metrics.contains(metric))
    }
}

#[derive(Debug)]
struct Listener {
    wanted: Wanted,
    entries: mpsc::Sender<Arc<Entry>>,
}

/// What the tail and the listeners share.
#[derive(Debug)]
pub struct Hub {
    /// By partition, the next offset to be read; none while the log is not read.
    read: Option<Vec<i64>>,
    /// Where the log ended when it was begun to be read: what lies before is read for the window of keys alone.
    begun: Vec<i64>,
    listeners: HashMap<String, Vec<Listener>>,
    seen: Seen,
}

impl Default for Hub {
    fn default() -> Self {
        Self { read: None, begun: Vec::new(), listeners: HashMap::new(), seen: Seen::new(KEYS) }
    }
}

/// Why a listener was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The log is not read at the moment.
    NotReading,
    /// The project has as many as it may have.
    TooMany,
}

impl Hub {
    /// The log is read from `from` on; it ended at `ends`, by partition.
    pub fn begin(&mut self, from: Vec<i64>, ends: Vec<i64>) {
        (self.read, self.begun) = (Some(from), ends);
    }

    /// The log is no longer read: all listeners are let go, after what they were given.
    pub fn end(&mut self) {
        self.read = None;
        self.listeners.clear();
    }

    /// A partition that was not there before.
    pub fn add_partition(&mut self) {
        if let Some(read) = &mut self.read {
            read.push(0);
            self.begun.push(0);
        }
    }

    /// Up to where everything was given to those who want it, by partition.
    pub fn read(&self) -> Option<Vec<i64>> {
        let read = self.read.as_ref()?;
        Some(read.iter().zip(&self.begun).map(|(read, begun)| *read.max(begun)).collect())
    }

    /// Lets a listener in: from the cursor on everything comes through the queue of `room` records.
    pub fn join(
        &mut self,
        project: &str,
        wanted: Wanted,
        room: usize,
        most: usize,
    ) -> Result<(Cursor, mpsc::Receiver<Arc<Entry>>), Refused> {
        let read = self.read().ok_or(Refused::NotReading)?;
        self.listeners.retain(|_, listeners| {
            listeners.retain(|listener| !listener.entries.is_closed());
            !listeners.is_empty()
        });
        let listeners = self.listeners.entry(project.to_owned()).or_default();
        if listeners.len() >= most {
            return Err(Refused::TooMany);
        }
        let (entries, received) = mpsc::channel(room);
        listeners.push(Listener { wanted, entries });
        Ok((Cursor::at(read), received))
    }

    /// A record was read, and what is in it, if that could be made out.
    pub fn take(&mut self, partition: i32, offset: i64, batch: Option<MetricBatch>) {
        let Ok(place) = usize::try_from(partition) else { return };
        let Some(next) = self.read.as_mut().and_then(|read| read.get_mut(place)) else { return };
        *next = (*next).max(offset + 1);
        let Some(batch) = batch.and_then(|batch| self.stored(partition, offset, batch)) else { return };
        if self.begun.get(place).is_some_and(|begun| offset < *begun) {
            return;
        }
        let Some(read) = self.read() else { return };
        let Some(listeners) = self.listeners.get_mut(&batch.project_id) else { return };
        let entry = Arc::new(Entry { partition, offset, batch, read });
        listeners.retain(|listener| {
            let wants = entry.batch.samples.iter().any(|sample| listener.wanted.has(&sample.metric_id));
            // Whoever has no room is let go.
            !wants || listener.entries.try_send(entry.clone()).is_ok()
        });
    }

    /// The batch of a record, if it is stored: not a copy, and nothing that no gateway writes.
    pub fn stored(&mut self, partition: i32, offset: i64, batch: MetricBatch) -> Option<MetricBatch> {
        let good = proto::batch_id(&batch.batch_id).is_some()
            && !batch.project_id.is_empty()
            && batch.samples.iter().all(|sample| sample.value.is_finite() && !sample.metric_id.is_empty());
        (good && !self.seen.is_copy(partition, offset, &batch)).then_some(batch)
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

    fn hub() -> Hub {
        let mut hub = Hub::default();
        hub.begin(vec![0, 0], vec![3, 0]);
        hub
    }

    fn offsets(entries: &mut mpsc::Receiver<Arc<Entry>>) -> Vec<i64> {
        std::iter::from_fn(|| entries.try_recv().ok()).map(|entry| entry.offset).collect()
    }

    #[test]
    fn each_gets_what_its_project_sent_of_the_metrics_that_it_wants() {
        let mut hub = hub();
        let only = |metric: &str| Wanted::new(HashSet::from([metric.to_owned()]));
        let (cursor, mut all) = hub.join("p", Wanted::default(), 9, 9).expect("room");
        let (_, mut some) = hub.join("p", only("a"), 9, 9).expect("room");
        let (_, mut other) = hub.join("q", only("a"), 9, 9).expect("room");
        assert_eq!(cursor, Cursor::at(vec![3, 0]));
        for (offset, (project, metric)) in (3..).zip([("p", "a"), ("p", "b"), ("q", "a"), ("q", "b")]) {
            hub.take(0, offset, record(project, metric, ""));
        }
        assert_eq!(offsets(&mut all), [3, 4]);
        assert_eq!(offsets(&mut some), [3]);
        assert_eq!(offsets(&mut other), [5]);
        assert_eq!(hub.read(), Some(vec![7, 0]));
    }

    #[test]
    fn what_was_there_before_is_read_for_its_keys_alone() {
        let mut hub = hub();
        let (_, mut entries) = hub.join("p", Wanted::default(), 9, 9).expect("room");
        hub.take(0, 2, record("p", "a", "k"));
        hub.take(0, 3, record("p", "a", "k"));
        hub.take(0, 4, record("p", "a", "l"));
        assert_eq!(offsets(&mut entries), [4], "offset 3 is a copy of offset 2");
    }

    #[test]
    fn whoever_is_too_slow_is_let_go_after_what_it_was_given() {
        let mut hub = hub();
        let (_, mut entries) = hub.join("p", Wanted::default(), 2, 9).expect("room");
        for offset in 3..9 {
            hub.take(0, offset, record("p", "a", ""));
        }
        assert_eq!(offsets(&mut entries), [3, 4]);
        assert!(entries.is_closed());
    }

    #[test]
    fn a_project_has_so_many_listeners_and_none_while_nothing_is_read() {
        let mut hub = hub();
        let first = hub.join("p", Wanted::default(), 1, 1).expect("room");
        assert_eq!(hub.join("p", Wanted::default(), 1, 1).map(|_| ()), Err(Refused::TooMany));
        assert!(hub.join("q", Wanted::default(), 1, 1).is_ok());
        drop(first);
        let (_, entries) = hub.join("p", Wanted::default(), 1, 1).expect("the place of the one that left");
        hub.end();
        assert!(entries.is_closed());
        assert_eq!(hub.join("p", Wanted::default(), 1, 1).map(|_| ()), Err(Refused::NotReading));
    }

    #[test]
    fn what_no_gateway_writes_is_not_shown() {
        let mut hub = hub();
        let (_, mut entries) = hub.join("p", Wanted::default(), 9, 9).expect("room");
        hub.take(0, 3, None);
        let nobodys = record("", "a", "");
        hub.take(0, 4, nobodys);
        hub.take(7, 3, record("p", "a", ""));
        assert_eq!(offsets(&mut entries), [] as [i64; 0]);
    }
}
