//! Up to where the log was followed, and what its latest records touch.

use proto::v1::MetricBatch;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::ops::RangeInclusive;

/// How many touches are remembered; about 70 bytes each.
const REMEMBERED: usize = 100_000;

/// What a record brings of one metric: samples in a row with one name and unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    partition: usize,
    offset: i64,
    /// A hash: another metric that has the same is kept from being held, and no more.
    metric: u64,
    /// The least and the greatest of the event times, Unix milliseconds.
    pub times: RangeInclusive<i64>,
    /// A hash of the name that was given, if one was.
    name: Option<u64>,
    /// A hash of the unit that was given, if one was.
    unit: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Partition {
    /// The next offset to be read.
    next: i64,
    /// The touches of all records after it that were read are remembered.
    forgotten: i64,
}

/// What is known of the log.
#[derive(Debug)]
pub struct Log {
    /// By partition; none while the log is not followed.
    partitions: Option<Vec<Partition>>,
    touches: VecDeque<Touch>,
    remembered: usize,
    hasher: RandomState,
}

impl Default for Log {
    fn default() -> Self {
        Self::new(REMEMBERED)
    }
}

impl Log {
    /// A log that is not followed yet, of which so many touches are to be remembered.
    pub fn new(remembered: usize) -> Self {
        Self { partitions: None, touches: VecDeque::new(), remembered, hasher: RandomState::new() }
    }

    /// It is followed from these offsets on, by partition.
    pub fn begin(&mut self, from: &[i64]) {
        self.touches.clear();
        let partition = |&next: &i64| Partition { next, forgotten: next - 1 };
        self.partitions = Some(from.iter().map(partition).collect());
    }

    /// A partition that was not there before is followed from its beginning.
    pub fn add_partition(&mut self) {
        if let Some(partitions) = &mut self.partitions {
            partitions.push(Partition { next: 0, forgotten: -1 });
        }
    }

    /// It is no longer followed.
    pub fn end(&mut self) {
        self.partitions = None;
    }

    /// A record was read: what it touches, with the metrics' ids.
    pub fn pass<'a>(&mut self, partition: i32, offset: i64, batch: &'a MetricBatch) -> Vec<(&'a str, Touch)> {
        let mut touches: Vec<(&str, Touch)> = Vec::new();
        let (Some(_), Ok(partition)) = (self.advance(partition, offset), usize::try_from(partition)) else {
            return touches;
        };
        for sample in &batch.samples {
            let (name, unit) = (self.given(sample.metric_name.as_ref()), self.given(sample.unit.as_ref()));
            let at = sample.timestamp_ms;
            match touches.last_mut() {
                Some((metric, touch))
                    if *metric == sample.metric_id && touch.name == name && touch.unit == unit =>
                {
                    touch.times = *touch.times.start().min(&at)..=*touch.times.end().max(&at);
                }
                _ => {
                    let metric = self.metric(&batch.project_id, &sample.metric_id);
                    let touch = Touch { partition, offset, metric, times: at..=at, name, unit };
                    touches.push((&sample.metric_id, touch));
                }
            }
        }
        for (_, touch) in &touches {
            self.remember(touch.clone());
        }
        touches
    }

    /// A record was read that may touch anything.
    pub fn pass_unknown(&mut self, partition: i32, offset: i64) {
        if let Some(partition) = self.advance(partition, offset) {
            partition.forgotten = partition.forgotten.max(offset);
        }
    }

    /// Whether every record was looked at that a store has which has the log up to `stored`.
    pub fn passed(&self, stored: &[i64]) -> bool {
        self.partitions.as_ref().is_some_and(|partitions| {
            stored.len() <= partitions.len()
                && partitions.iter().zip(stored).all(|(partition, stored)| partition.next > *stored)
        })
    }

    /// What the records touch that were read and lie beyond `stored`; none if that is not known of them all.
    pub fn beyond(&self, stored: &[i64]) -> Option<impl Iterator<Item = &Touch>> {
        let of = |partition: usize| stored.get(partition).copied().unwrap_or(-1);
        let partitions = self.partitions.as_ref().filter(|partitions| stored.len() <= partitions.len())?;
        let known =
            partitions.iter().enumerate().all(|(number, partition)| partition.forgotten <= of(number));
        known.then(|| self.touches.iter().filter(move |touch| touch.offset > of(touch.partition)))
    }

    /// What a metric is called in touches.
    pub fn metric(&self, project: &str, metric: &str) -> u64 {
        self.hasher.hash_one((project, metric))
    }

    /// Whether a touch leaves it as it is that the newest name is `name` and the newest unit `unit`: whichever of two
    /// equal ones is newer.
    pub fn leaves(&self, touch: &Touch, name: &str, unit: &str) -> bool {
        let same =
            |given: Option<u64>, held: &str| given.is_none_or(|given| given == self.hasher.hash_one(held));
        same(touch.name, name) && same(touch.unit, unit)
    }

    fn given(&self, text: Option<&String>) -> Option<u64> {
        text.filter(|text| !text.is_empty()).map(|text| self.hasher.hash_one(text.as_str()))
    }

    fn advance(&mut self, partition: i32, offset: i64) -> Option<&mut Partition> {
        let partition = self.partitions.as_mut()?.get_mut(usize::try_from(partition).ok()?)?;
        partition.next = partition.next.max(offset + 1);
        Some(partition)
    }

    fn remember(&mut self, touch: Touch) {
        self.touches.push_back(touch);
        if self.touches.len() > self.remembered
            && let Some(oldest) = self.touches.pop_front()
            && let Some(partition) =
                self.partitions.as_mut().and_then(|partitions| partitions.get_mut(oldest.partition))
        {
            partition.forgotten = partition.forgotten.max(oldest.offset);
        }
    }
}

impl Touch {
    /// The metric, as [`Log::metric`] calls it.
    pub fn of(&self) -> u64 {
        self.metric
    }
}
