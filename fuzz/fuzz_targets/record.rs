//! A record of `metrics.v1`.
#![no_main]

#[path = "../checks/record.rs"]
mod check;
#[path = "../../ingest-worker/src/record.rs"]
mod record;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::holds(data));
