//! Time series: from questions to points. All but [`gather`] and [`read`] are pure functions without clock or I/O.
//!
//! [`question`] says what is asked for, [`buckets`] cuts the range, [`cells`] those that are made of whole hours or minutes,
//! which are held. [`batch`] puts together what one statement can read, [`query`] decides what is read from the hour rollup
//! and what from raw rows, [`merge`] puts the parts of a bucket together, [`fill`] says what stands where there was
//! nothing. [`gather`] asks the cache and the store, [`read`] takes them all.

pub mod aggregation;
pub mod batch;
pub mod buckets;
pub mod cells;
pub mod fill;
pub mod gather;
pub mod merge;
pub mod query;
pub mod question;
pub mod read;
pub mod rows;
