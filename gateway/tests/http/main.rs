//! The gateway from outside: real sockets against the real handler. Keys, quotas and Kafka are stand-ins, so that every answer
//! of the contract can be asked for without either.

mod body;
mod body_rows;
mod connection;
mod encodings;
mod head;
mod idempotency;
mod malformed;
mod openapi;
mod quota;
mod slowdown;
mod support;
