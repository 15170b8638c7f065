//! Wiring.
mod chain;
fn main() {}
