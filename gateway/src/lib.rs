//! The gateway accepts batches of metrics over HTTP and publishes them to Kafka.
//!
//! Read [`handle`] first: it shows the request pipeline from top to bottom. [`error`] lists every error
//! answer.
//!
//! # Guarantees
//! - A 200 is sent only after Kafka has acknowledged the batch on all in-sync replicas. On a cluster, the
//!   gateway refuses a topic on which a single replica could acknowledge, unless `--allow-single-replica` is
//!   set.
//! - A batch is accepted or rejected as a whole.
//! - Each request has exactly one outcome, and that outcome is counted.
//! - A retry with the same idempotency key and body stores nothing twice. While Redis keeps the claims, the
//!   retry gets the first 200 again.
//! - While Redis is unavailable, cached keys stay valid for `--key-outage-grace`, `--quota-outage` decides
//!   about projects with a quota, and batches are published without a claim. The worker then drops the
//!   copies.
//!
//! # Dependencies
//! - The crate never depends on ClickHouse, the ingest worker or the query API. It shares only the messages
//!   and topics in `proto` with them.
//! - [`handle`] reaches Redis and Kafka only through the traits [`handle::Authenticator`], [`quota::Quota`],
//!   [`idempotency::Claims`] and [`publish::Publish`]. The tests implement these traits in memory.
//! - [`parse`], [`validate`], [`fault`] and [`outcomes::tally`] do no I/O and take the time as an argument.

pub mod error;
pub mod fault;
pub mod handle;
pub mod idempotency;
pub mod kafka;
pub mod metrics;
pub mod openapi;
pub mod outcomes;
pub mod parse;
pub mod publish;
pub mod quota;
pub mod request;
pub mod response;
pub mod settings;
pub mod validate;

pub use handle::Gateway;
