//! Behaviour that the services rely on, through the `clickhouse` crate and in raw HTTP. Tests
//! `clickhouse-embedded` or, if `CLICKHOUSE_URL` is set, the server at that address.

#[path = "../support/mod.rs"]
mod support;

mod http;
mod insert;
mod query;
