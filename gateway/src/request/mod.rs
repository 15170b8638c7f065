//! The parts of a request below the JSON: its head, its API key, and its body as bytes.

pub mod body;
pub mod encoding;
pub mod head;
