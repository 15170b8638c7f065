//! The topics: their names and what they are made with.

use std::fmt;

/// The names of an installation's topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// `MetricBatch` records. Kept for ever: the stores are rebuilt from it.
    pub metrics: String,
    /// `Entity` records, compacted, one partition: one order for all.
    pub control: String,
    /// Records of `metrics` that cannot be stored, as they were, with the reason in headers.
    pub dead: String,
    /// `OutcomeCounts` records: how requests ended, by minute. Kept for 30 days.
    pub outcomes: String,
    /// `AlertRecord` records, one partition: one order for all. Kept for ever: what rules are in follows from it.
    pub alerts: String,
}

impl Topics {
    /// The topics of the installation `namespace`; the empty one is an installation that shares its Kafka with no other.
    pub fn new(namespace: &str) -> Self {
        let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}.") };
        Self {
            metrics: format!("{prefix}metrics.v1"),
            control: format!("{prefix}control.v1"),
            dead: format!("{prefix}metrics.v1.dead"),
            outcomes: format!("{prefix}outcomes.v1"),
            alerts: format!("{prefix}alerts.v1"),
        }
    }
}

/// A topic and what it is made with. One that is there already keeps what it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// The topic's name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// Topic settings, as Kafka names them.
    pub config: &'static [(&'static str, &'static str)],
}

impl Topics {
    /// What each topic is made with.
    pub fn specs(&self) -> [TopicSpec; 5] {
        /// Nothing expires unless an operator decides so.
        const KEPT: &[(&str, &str)] =
            &[("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")];
        const MONTH: &[(&str, &str)] = &[("cleanup.policy", "delete"), ("retention.ms", "2592000000")];
        /// The last state of each entity is kept.
        const COMPACTED: &[(&str, &str)] = &[("cleanup.policy", "compact")];
        let spec = |name: &str, partitions, config| TopicSpec { name: name.to_owned(), partitions, config };
        [
            spec(&self.metrics, 4, KEPT),
            spec(&self.control, 1, COMPACTED),
            spec(&self.dead, 1, KEPT),
            spec(&self.outcomes, 1, MONTH),
            spec(&self.alerts, 1, KEPT),
        ]
    }
}

/// Headers of a dead letter, of a note about one, and of a record that is retried.
pub mod dead {
    /// Why the record cannot be stored: a word for machines.
    pub const REASON: &str = "reason";
    /// Why the record cannot be stored: a sentence for people.
    pub const MESSAGE: &str = "message";
    /// Where the record stood first, a [`super::Place`]; the key of the dead letter too.
    pub const SOURCE: &str = "source";
    /// Where the record stood this time, a [`super::Place`]: another one than the source if it was retried.
    pub const PLACE: &str = "place";
    /// On a record of the metrics topic: it is a retried dead letter of this source.
    pub const ORIGIN: &str = "origin";
    /// On a record of the dead-letter topic that is no letter: what became of all letters of its source up to its place,
    /// `retried` or `dropped`.
    pub const NOTE: &str = "note";
}

/// The place of a record: `topic/partition/offset`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

impl Place {
    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.rsplitn(3, '/');
        let (offset, partition, topic) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self {
            topic: topic.to_owned(),
            partition: partition.parse().ok()?,
            offset: offset.parse().ok()?,
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_as_it_was_written() {
        let place = Place { topic: "test.metrics.v1".to_owned(), partition: 3, offset: 1_234 };
        assert_eq!(Place::parse(&place.to_string()), Some(place));
        for wrong in ["", "metrics.v1", "metrics.v1/0", "metrics.v1/0/x", "metrics.v1/x/0"] {
            assert_eq!(Place::parse(wrong), None, "{wrong}");
        }
    }
}
