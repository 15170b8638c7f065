//! Fuzzes the decoding of a record of `metrics.v1`.
//!
//! `record.rs` is included by path because the module is private to the crate `ingest-worker`, and depending on that crate
//! would add the ClickHouse client to this workspace.
#![no_main]

#[path = "../checks/record.rs"]
mod check;
#[path = "../../ingest-worker/src/record.rs"]
mod record;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::assert_invariants(data));
