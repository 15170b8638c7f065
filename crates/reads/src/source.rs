//! Which of the table's copies of the samples a statement reads.
//!
//! ClickHouse finds that out by itself, by weighing each projection of each part against the rows: a third of the time
//! that a short statement takes. Whoever writes a statement knows, and says so; the answer is the same either way.

use clickhouse::query::Query;

/// What a statement reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The rows.
    Rows,
    /// The projection with the hours of each metric.
    Hours,
    /// The projection with what is known of each metric.
    Catalogue,
    /// The projection with the ends of the chains.
    Chain,
}

impl Source {
    /// Tells ClickHouse.
    pub fn hint(self, query: Query) -> Query {
        let projection = match self {
            Self::Rows => return query.with_setting("optimize_use_projections", "0"),
            Self::Hours => "rollup_1h",
            Self::Catalogue => "catalogue",
            Self::Chain => "chain",
        };
        query.with_setting("preferred_optimize_projection_name", projection)
    }
}

/// A statement's text, and what it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The text.
    pub text: String,
    /// What it reads.
    pub source: Source,
}
