//! The query API: the HTTP service that manages projects and keys, and reads metrics.
//!
//! Path of a request: [`middleware::handle`] gives it an id and reads its body; an extractor of [`auth`]
//! checks its key; [`params`] and [`body`] validate its parameters and body; a handler in [`routes`] or
//! [`prometheus`] reads through `reads` (ClickHouse) and `control` (the directory in Redis), or changes
//! something with a command to the control log; and [`middleware::handle`] writes the error if there is one.
//!
//! Guarantees:
//! - Every error has the same shape and a stable machine code ([`error`]); a request that breaks several
//!   rules gets all of its faults at once ([`faults`]).
//! - Parsing, validation and OpenAPI schema of a request come from one struct ([`fields::FromFields`]).
//! - A key is checked before anything else of a request, and sees its own project only.
//! - The service starts and stays up while Redis, Kafka or ClickHouse are unavailable; it answers 503
//!   meanwhile.
//!
//! This crate contains HTTP only. Reading and aggregating metrics belongs to `reads`, PromQL to `promql`,
//! alert rules to `alerting`, keys and the control log to `control`. Those crates must not depend on this
//! one, and no SQL is written here.

pub mod app;
pub mod auth;
pub mod body;
pub mod commands;
pub mod error;
pub mod faults;
pub mod fields;
pub mod metrics;
pub mod middleware;
pub mod params;
pub mod prometheus;
pub mod response;
pub mod router;
pub mod routes;
pub mod run;
pub mod session;
pub mod settings;
pub mod usage;
pub mod versions;
