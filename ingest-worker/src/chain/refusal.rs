//! Reasons for refusing to write to a partition, with the text that the operator reads.

use std::fmt;

/// Reason why the worker stops writing to a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The chain does not begin where the generation begins.
    WrongBeginning { first: i64, expected: i64 },
    /// A part of the table is missing, or is present twice.
    ChainBroken { first: i64, last: i64 },
    /// The head was at `before` earlier: the table was wiped, restored from an older copy, or lost its newest parts.
    HeadWentBack {
        before: i64,
        /// The head now, or none if the partition has no marker.
        now: Option<i64>,
    },
    /// The log begins after the next record to store: retention removed records, or the topic was recreated.
    LogTruncated {
        /// First lost offset.
        from: i64,
        /// Last lost offset.
        to: i64,
    },
    /// The log ends before the head: the topic was recreated, or lost its tail.
    LogTooShort {
        head: i64,
        /// Offset after the last record of the log.
        end: i64,
    },
    /// The log holds a different record at the head: the topic was recreated.
    AnotherLog { head: i64 },
    /// ClickHouse rejects the block, and none of it is stored.
    BlockRejected { first: i64, last: i64 },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongBeginning { first, expected } => write!(
                f,
                "the stored chain begins at offset {first} instead of {expected}: offsets {expected} to {} are missing \
                 from the table",
                first - 1
            ),
            Self::ChainBroken { first, last } => write!(
                f,
                "the stored chain from offset {first} to {last} has a gap or an overlap: a part of the table is missing \
                 or was attached twice"
            ),
            Self::HeadWentBack { before, now: Some(now) } => write!(
                f,
                "the table had reached offset {before} and now ends at {now}: it was restored from an older copy or lost \
                 parts, and offsets {} to {before} are missing; restore them, or rebuild the table with `ingest-worker \
                 rebuild clickhouse`",
                now + 1
            ),
            Self::HeadWentBack { before, now: None } => write!(
                f,
                "the table had reached offset {before} and now has no blocks of this partition: restore them, or rebuild \
                 the table with `ingest-worker rebuild clickhouse`"
            ),
            Self::LogTruncated { from, to } => write!(
                f,
                "offsets {from} to {to} are no longer in Kafka and were never stored: retention removed them, or the \
                 topic was recreated"
            ),
            Self::LogTooShort { head, end } => write!(
                f,
                "the table reaches offset {head}, but the Kafka partition ends before {end}: the topic was recreated or \
                 lost its tail"
            ),
            Self::AnotherLog { head } => write!(
                f,
                "the Kafka record at offset {head} is not the record that was stored: the topic was recreated"
            ),
            Self::BlockRejected { first, last } => write!(
                f,
                "ClickHouse rejects offsets {first} to {last} and would reject them again; none of them is stored. Its \
                 error message is in the log line before this one"
            ),
        }
    }
}
