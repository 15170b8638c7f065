//! Choice between the rows of the samples table and its ClickHouse PROJECTIONs.
//!
//! ClickHouse would choose by itself, by comparing each projection of each part with the rows. That takes a
//! third of the time of a short statement. The author of a statement knows the best choice and states it; the
//! answer is the same either way.

use clickhouse::query::Query;

/// Source of a statement's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The rows of the table.
    Rows,
    /// The projection with hourly aggregates of each metric.
    Hours,
    /// The projection with one row per metric.
    Catalogue,
    /// The projection with the heads of the chains.
    Chain,
}

impl Source {
    /// Adds the settings that make ClickHouse use this source.
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

/// SQL statement and its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// SQL text.
    pub text: String,
    /// Source that it reads.
    pub source: Source,
}
