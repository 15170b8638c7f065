//! The query API: projects and keys are managed here, metrics are read here.
//!
//! The way of a request: [`answer::finish`] names it and takes its body in, an extractor of [`auth`] checks its key,
//! [`params`] or [`body`] read what it asks, a handler in [`routes`] answers from [`store`] (ClickHouse) or by a command
//! to the control log, and [`answer::finish`] writes the error if there is one.

pub mod answer;
pub mod app;
pub mod auth;
pub mod body;
pub mod commands;
pub mod error;
pub mod fault;
pub mod metrics;
pub mod params;
pub mod prometheus;
pub mod router;
pub mod routes;
pub mod run;
pub mod session;
pub mod settings;
pub mod usage;
pub mod versions;
