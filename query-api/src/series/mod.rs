//! Time series: from a question to points, in pure functions without clock or I/O.
//!
//! [`buckets`] cuts the range, [`query`] decides what is read from the hour rollup and what from raw rows, [`merge`]
//! puts the parts of a bucket together, [`fill`] says what stands where there was nothing.

pub mod aggregation;
pub mod buckets;
pub mod fill;
pub mod merge;
pub mod query;
