//! The query API as a client sees it, on real stores: `deploy/local/test -p query-api` starts them.
//!
//! One service is shared; each test has a project of its own. Who needs Kafka's offsets for itself starts another one.

mod alerts;
mod auth;
mod batch;
mod catalogue;
mod channels;
mod commands;
mod connections;
mod dashboards;
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
mod page;
mod plans;
mod points;
mod projects;
mod prometheus;
mod promql;
mod receiver;
mod series;
mod session;
mod stream;
mod support;
mod usage;
mod watermark;
