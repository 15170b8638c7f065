//! The query API as a client sees it, on real stores: `deploy/local/test -p query-api` starts them.
//!
//! One service is shared; each test has a project of its own. Who needs Kafka's offsets for itself starts another one.

mod auth;
mod batch;
mod catalogue;
mod commands;
mod connections;
mod deletion;
mod docs;
mod engine;
mod errors;
mod isolation;
mod keys;
mod limits;
mod management;
mod openapi;
mod outage;
mod plans;
mod points;
mod projects;
mod prometheus;
mod series;
mod session;
mod stream;
mod support;
mod usage;
mod watermark;
