//! Failures of reads.

/// Reason why a read failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The project has no such metric.
    #[error("no such metric")]
    UnknownMetric,
    /// The generation to read, or the deletions of the project, could not be looked up.
    #[error("store unknown")]
    StoreUnknown,
    /// ClickHouse or Kafka could not be read.
    #[error("query failed")]
    QueryFailed,
    /// The query exceeded its time limit.
    #[error("query timed out")]
    QueryTimeout,
    /// The project has too many queries waiting.
    #[error("too many queries")]
    TooManyQueries,
    /// The project has too many open streams.
    #[error("too many streams")]
    TooManyStreams,
}
