//! Time series: from questions to points. All but [`read`] are pure functions without clock or I/O.
//!
//! [`question`] says what is asked for, [`buckets`] cuts the range, [`batch`] puts together what one statement can read,
//! [`query`] decides what is read from the hour rollup and what from raw rows, [`merge`] puts the parts of a bucket
//! together, [`fill`] says what stands where there was nothing. [`read`] takes them all and asks the store.

pub mod aggregation;
pub mod batch;
pub mod buckets;
pub mod fill;
pub mod merge;
pub mod query;
pub mod question;
pub mod read;
pub mod rows;
