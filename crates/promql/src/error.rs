//! Failures of queries.

/// Reason why a query was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The request is malformed.
    #[error("{0}")]
    BadData(String),
    /// The query is well-formed but cannot be evaluated.
    #[error("{0}")]
    Execution(String),
    /// The query exceeded its time limit.
    #[error("query timed out")]
    Timeout,
}

impl Error {
    /// Returns the error for the invalid parameter `name`.
    pub fn parameter(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::BadData(format!("invalid parameter {name:?}: {reason}"))
    }

    /// Returns the error for a PromQL construct that is not evaluated.
    pub fn unsupported(construct: impl std::fmt::Display) -> Self {
        Self::Execution(format!("{construct} is not supported"))
    }
}
