//! Fuzzes the parsing of a request body.
#![no_main]

#[path = "../checks/request.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::assert_invariants(data));
