//! Tests the gateway from outside, over real sockets and with the real handler. Keys, quotas, claims and
//! Kafka are fakes, so every answer of the API can be provoked without Redis and Kafka.

mod auth_throttle;
mod body;
mod body_rows;
mod connection;
mod encodings;
mod head;
mod idempotency;
mod malformed;
mod openapi;
mod quota;
mod support;
