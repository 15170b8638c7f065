//! The query API as a client sees it, on real stores: `deploy/local/test -p query-api` starts them.
//!
//! One service is shared; each test has a project of its own. Who needs Kafka's offsets for itself starts another one.

mod auth;
mod batch;
mod catalogue;
mod docs;
mod engine;
mod errors;
mod limits;
mod management;
mod openapi;
mod outage;
mod points;
mod series;
mod stream;
mod support;
mod watermark;
