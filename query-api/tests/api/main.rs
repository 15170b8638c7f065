//! Tests of the query API as a client sees it, on real stores, which `deploy/local/test -p query-api` starts.
//!
//! The tests share one service, and each has its own project. A test that needs its own topics starts its own
//! service.

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
