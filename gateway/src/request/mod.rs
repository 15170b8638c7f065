//! What a request is made of before its JSON: its head, its key, its body as bytes.

pub mod body;
pub mod encoding;
pub mod head;
