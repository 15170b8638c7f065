//! The topics: their names and what they are made with.

/// The names of an installation's topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// `MetricBatch` records. Kept for ever: the stores are rebuilt from it.
    pub metrics: String,
    /// `Entity` records, compacted, one partition: one order for all.
    pub control: String,
    /// Records of `metrics` that cannot be stored, as they were, with the reason in headers.
    pub dead: String,
}

impl Topics {
    /// The topics of the installation `namespace`; the empty one is an installation that shares its Kafka with no other.
    pub fn new(namespace: &str) -> Self {
        let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}.") };
        Self {
            metrics: format!("{prefix}metrics.v1"),
            control: format!("{prefix}control.v1"),
            dead: format!("{prefix}metrics.v1.dead"),
        }
    }
}

/// Partitions that `metrics` is made with on a new installation.
pub const METRICS_PARTITIONS: i32 = 4;

/// Settings of `metrics` and of its dead letters: nothing expires unless an operator decides so.
pub const KEPT: [(&str, &str); 3] =
    [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")];

/// Settings of `control`: the last state of each entity is kept.
pub const COMPACTED: [(&str, &str); 1] = [("cleanup.policy", "compact")];

/// Headers of a dead letter.
pub mod dead {
    /// Why the record cannot be stored: a word for machines.
    pub const REASON: &str = "reason";
    /// Why the record cannot be stored: a sentence for people.
    pub const MESSAGE: &str = "message";
    /// The record's place: `topic/partition/offset`; the key of the dead letter too.
    pub const SOURCE: &str = "source";
}
