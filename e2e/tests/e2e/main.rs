//! Tests of the whole pipeline: the real binaries on real stores. Each module states the invariants that its
//! tests check.
//!
//! Every test has its own [`e2e::Installation`] and its own names, so that tests run side by side, as threads
//! of one process or as one process each.

mod alerts;
mod backpressure;
mod browser;
mod cached_reads;
mod command_line;
mod dead_letters;
mod deduplication;
mod deletion;
mod documentation;
mod exactly_once;
mod examples;
mod fault_injection;
mod first_metric;
mod idempotency;
mod integrations;
mod load;
mod metrics_documentation;
mod monitoring;
mod openapi;
mod outages;
mod promises;
mod quota;
mod rebuild;
mod redis_cluster;
mod redis_rebuild;
mod revocation;
mod rolling_restart;
mod scaling;
mod secrets;
mod support;
mod tidemarkctl;
mod tls;
mod traces;
mod usage;
mod worker;
