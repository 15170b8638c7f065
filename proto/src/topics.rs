//! Topics: names, settings, and the headers of dead letters.

use std::fmt;

/// Names of an installation's topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// `MetricBatch` records. Unlimited retention, because stores are rebuilt from this topic.
    pub metrics: String,
    /// `Entity` records. Compacted; a single partition, so that all events have one order.
    pub control: String,
    /// Dead letters: unchanged records of `metrics` and `outcomes` that cannot be stored, with the reason in
    /// headers.
    pub dead: String,
    /// `OutcomeCounts` records: outcomes of requests per minute. Retained for 30 days.
    pub outcomes: String,
    /// `AlertRecord` records. A single partition, so that all records have one order. Unlimited retention,
    /// because the states of alert rules are derived from this topic.
    pub alerts: String,
}

impl Topics {
    /// Returns the topics of the installation `namespace`. It is empty for an installation that does not
    /// share its Kafka.
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

/// Settings with which a topic is created. An existing topic keeps its own settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Name of the topic.
    pub name: String,
    /// Number of partitions.
    pub partitions: i32,
    /// Names and values of Kafka's topic settings.
    pub config: &'static [(&'static str, &'static str)],
}

impl Topics {
    /// Returns the settings with which the topics are created.
    pub fn specs(&self) -> [TopicSpec; 5] {
        /// Unlimited retention, unless an operator changes it.
        const UNLIMITED: &[(&str, &str)] =
            &[("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")];
        /// Retention of 30 days.
        const MONTH: &[(&str, &str)] = &[("cleanup.policy", "delete"), ("retention.ms", "2592000000")];
        /// Keeps the newest record of each key.
        const COMPACTED: &[(&str, &str)] = &[("cleanup.policy", "compact")];
        let spec = |name: &str, partitions, config| TopicSpec { name: name.to_owned(), partitions, config };
        [
            spec(&self.metrics, 4, UNLIMITED),
            spec(&self.control, 1, COMPACTED),
            spec(&self.dead, 1, UNLIMITED),
            spec(&self.outcomes, 1, MONTH),
            spec(&self.alerts, 1, UNLIMITED),
        ]
    }
}

/// Names of the headers of dead letters, of notes about them, and of retried records.
pub mod dead_letter_header {
    /// Machine-readable reason why the record cannot be stored.
    pub const REASON: &str = "reason";
    /// Human-readable reason why the record cannot be stored.
    pub const MESSAGE: &str = "message";
    /// Original position of the record, a [`super::RecordPosition`]. It is also the key of the dead letter.
    pub const SOURCE: &str = "source";
    /// Position of the failed record, a [`super::RecordPosition`]. It differs from the source if the record
    /// was a retry.
    pub const POSITION: &str = "place";
    /// On a record of the metrics topic: source of the dead letter that the record retries.
    pub const ORIGIN: &str = "origin";
    /// On a record of the dead-letter topic that is a note and not a dead letter: `retried` or `dropped`. It
    /// applies to all dead letters of the note's source up to the note's position.
    pub const NOTE: &str = "note";
}

/// Position of a record in Kafka, written as `topic/partition/offset`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordPosition {
    /// Name of the topic.
    pub topic: String,
    /// Number of the partition.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
}

impl RecordPosition {
    /// Parses `topic/partition/offset`.
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

impl fmt::Display for RecordPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displayed_position_parses_to_itself() {
        let position = RecordPosition { topic: "test.metrics.v1".to_owned(), partition: 3, offset: 1_234 };
        assert_eq!(RecordPosition::parse(&position.to_string()), Some(position));
        for invalid in ["", "metrics.v1", "metrics.v1/0", "metrics.v1/0/x", "metrics.v1/x/0"] {
            assert_eq!(RecordPosition::parse(invalid), None, "{invalid}");
        }
    }
}
