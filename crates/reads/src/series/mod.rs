//! Time series, from queries to points. All modules but [`gather`] and [`read`] are pure functions without
//! clock or I/O.
//!
//! The steps of a read:
//! 1. [`series_query`] defines the series to read; [`buckets`] divides its range.
//! 2. [`cells`] divides series into whole hours or minutes, which are cached.
//! 3. [`batch`] groups series that one statement can read; [`query`] decides which hours come from the hour
//!    rollup and which from raw rows, and writes the statement.
//! 4. [`gather`] reads from the cache and the store.
//! 5. [`merge`] merges the parts of each bucket; [`fill`] adds buckets without points.
//!
//! [`read`] runs all steps.

pub mod aggregation;
pub mod batch;
pub mod buckets;
pub mod cells;
pub mod fill;
pub mod gather;
pub mod merge;
pub mod query;
pub mod read;
pub mod resolution;
pub mod rows;
pub mod series_query;
