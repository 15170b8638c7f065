//! The contract with the `clickhouse` crate: what the pipeline's services rely on, against the front or, where
//! `CLICKHOUSE_URL` is set, against a server.

#[path = "../support/mod.rs"]
mod support;

mod http;
mod insert;
mod query;
