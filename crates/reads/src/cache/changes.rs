//! Offsets up to which the log was read, and the changes that its latest records make.

use proto::v1::MetricBatch;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::ops::RangeInclusive;

/// Maximum number of changes that are kept; about 70 bytes each.
const CAPACITY: usize = 100_000;

/// Change of one metric by a record: consecutive samples with one name and unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    partition: usize,
    offset: i64,
    /// Hash of project and metric. A collision only prevents another metric from being cached.
    metric: u64,
    /// Minimum and maximum event time, Unix milliseconds.
    pub times: RangeInclusive<i64>,
    /// Hash of the name, if the samples have one.
    name: Option<u64>,
    /// Hash of the unit, if the samples have one.
    unit: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Partition {
    /// Next offset to read.
    next: i64,
    /// The changes of every record that was read after this offset are still kept.
    evicted: i64,
}

/// Latest changes by records of the log.
#[derive(Debug)]
pub struct Changes {
    /// State of each partition; `None` while the log is not followed.
    partitions: Option<Vec<Partition>>,
    latest: VecDeque<Change>,
    capacity: usize,
    hasher: RandomState,
}

impl Default for Changes {
    fn default() -> Self {
        Self::new(CAPACITY)
    }
}

impl Changes {
    /// Creates the state of a log that is not followed yet. At most `capacity` changes are kept.
    pub fn new(capacity: usize) -> Self {
        Self { partitions: None, latest: VecDeque::new(), capacity, hasher: RandomState::new() }
    }

    /// Starts following the log. `from`: first offset of each partition that will be read.
    pub fn start(&mut self, from: &[i64]) {
        self.latest.clear();
        let partition = |&next: &i64| Partition { next, evicted: next - 1 };
        self.partitions = Some(from.iter().map(partition).collect());
    }

    /// Follows a partition that was added to the topic, from its first offset.
    pub fn add_partition(&mut self) {
        if let Some(partitions) = &mut self.partitions {
            partitions.push(Partition { next: 0, evicted: -1 });
        }
    }

    /// Stops following the log.
    pub fn stop(&mut self) {
        self.partitions = None;
    }

    /// Adds the changes of a record that was read, and returns them with the ids of their metrics.
    pub fn add<'a>(&mut self, partition: i32, offset: i64, batch: &'a MetricBatch) -> Vec<(&'a str, Change)> {
        let mut changes: Vec<(&str, Change)> = Vec::new();
        let (Some(_), Ok(partition)) = (self.advance(partition, offset), usize::try_from(partition)) else {
            return changes;
        };
        for sample in &batch.samples {
            let (name, unit) =
                (self.hash_given(sample.metric_name.as_ref()), self.hash_given(sample.unit.as_ref()));
            let at = sample.timestamp_ms;
            match changes.last_mut() {
                Some((metric, change))
                    if *metric == sample.metric_id && change.name == name && change.unit == unit =>
                {
                    change.times = *change.times.start().min(&at)..=*change.times.end().max(&at);
                }
                _ => {
                    let metric = self.metric_hash(&batch.project_id, &sample.metric_id);
                    let change = Change { partition, offset, metric, times: at..=at, name, unit };
                    changes.push((&sample.metric_id, change));
                }
            }
        }
        for (_, change) in &changes {
            self.push(change.clone());
        }
        changes
    }

    /// Notes that a record was read that could not be decoded, and so may change anything.
    pub fn add_undecodable(&mut self, partition: i32, offset: i64) {
        if let Some(partition) = self.advance(partition, offset) {
            partition.evicted = partition.evicted.max(offset);
        }
    }

    /// Returns whether every record was read that a store with the log up to `stored` may contain.
    pub fn has_passed(&self, stored: &[i64]) -> bool {
        self.partitions.as_ref().is_some_and(|partitions| {
            stored.len() <= partitions.len()
                && partitions.iter().zip(stored).all(|(partition, stored)| partition.next > *stored)
        })
    }

    /// Returns the changes of the records that were read beyond `stored`; `None` if some of them are no
    /// longer kept.
    pub fn after(&self, stored: &[i64]) -> Option<impl Iterator<Item = &Change>> {
        let stored_in = |partition: usize| stored.get(partition).copied().unwrap_or(-1);
        let partitions = self.partitions.as_ref().filter(|partitions| stored.len() <= partitions.len())?;
        let complete =
            partitions.iter().enumerate().all(|(number, partition)| partition.evicted <= stored_in(number));
        complete.then(|| self.latest.iter().filter(move |change| change.offset > stored_in(change.partition)))
    }

    /// Returns the hash by which changes identify a metric.
    pub fn metric_hash(&self, project: &str, metric: &str) -> u64 {
        self.hasher.hash_one((project, metric))
    }

    /// Returns whether the newest name and unit are still `name` and `unit` after a change: it has none, or
    /// equal ones.
    pub fn preserves_names(&self, change: &Change, name: &str, unit: &str) -> bool {
        let same = |given: Option<u64>, cached: &str| {
            given.is_none_or(|given| given == self.hasher.hash_one(cached))
        };
        same(change.name, name) && same(change.unit, unit)
    }

    fn hash_given(&self, text: Option<&String>) -> Option<u64> {
        text.filter(|text| !text.is_empty()).map(|text| self.hasher.hash_one(text.as_str()))
    }

    fn advance(&mut self, partition: i32, offset: i64) -> Option<&mut Partition> {
        let partition = self.partitions.as_mut()?.get_mut(usize::try_from(partition).ok()?)?;
        partition.next = partition.next.max(offset + 1);
        Some(partition)
    }

    fn push(&mut self, change: Change) {
        self.latest.push_back(change);
        if self.latest.len() > self.capacity
            && let Some(oldest) = self.latest.pop_front()
            && let Some(partition) =
                self.partitions.as_mut().and_then(|partitions| partitions.get_mut(oldest.partition))
        {
            partition.evicted = partition.evicted.max(oldest.offset);
        }
    }
}

impl Change {
    /// Returns the hash of the metric, as of [`Changes::metric_hash`].
    pub fn metric(&self) -> u64 {
        self.metric
    }
}
