//! Reads of stored metrics: time series, points, the catalogue, usage and live streams.
//!
//! Everything that reads samples goes through [`engine::Engine`]: the HTTP API, the Prometheus API, alert
//! evaluations and previews share one aggregation code and one ClickHouse client.
//!
//! Guarantees:
//! - An answer contains every sample that its watermark covers ([`watermark`]), and nothing that was deleted
//!   ([`deletions`]), also when it comes from memory ([`cache`]).
//! - A request reads one generation of the store throughout ([`generations`]).
//! - No project holds more than half of the query slots ([`scheduler`]).
//!
//! This crate knows nothing about HTTP, PromQL or alert rules. It must not depend on `promql`, `alerting` or
//! `query-api`.

#![warn(missing_docs)]

pub mod cache;
pub mod deletions;
pub mod display_name;
pub mod engine;
mod error;
pub mod generations;
pub mod metrics;
pub mod scheduler;
pub mod series;
pub mod source;
pub mod store;
pub mod stream;
pub mod usage;
pub mod watermark;
pub mod windows;

pub use error::Error;
