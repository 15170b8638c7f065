//! Fuzzes the decoding of ClickHouse's compressed frames.
#![no_main]

#[path = "../checks/frames.rs"]
mod check;
#[path = "../../crates/clickhouse-embedded/src/frames.rs"]
mod frames;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::assert_invariants(data));
