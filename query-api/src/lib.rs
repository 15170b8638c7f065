//! The query API: projects and keys are managed here, metrics are read here.
//!
//! The way of a request: [`answer::finish`] names it and takes its body in, an extractor of [`auth`] checks its key,
//! [`params`] or [`body`] read what it asks, a handler in [`routes`] answers from [`store`] (ClickHouse) or by a command
//! to the control log, and [`answer::finish`] writes the error if there is one.

pub mod alerts;
pub mod answer;
pub mod app;
pub mod auth;
pub mod body;
pub mod cache;
pub mod error;
pub mod fault;
pub mod generations;
pub mod hidden;
pub mod metrics;
pub mod notify;
pub mod outgoing;
pub mod params;
pub mod prometheus;
pub mod routes;
pub mod run;
pub mod scheduler;
pub mod series;
pub mod session;
pub mod settings;
pub mod source;
pub mod store;
pub mod stream;
pub mod title;
pub mod usage;
pub mod versions;
pub mod watermark;
pub mod words;
