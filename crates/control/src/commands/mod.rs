//! Commands: each locks an entity, checks it, publishes its new state to the log and applies that to Redis.
//!
//! When a command returns, its change is in the log on all in-sync replicas, and in Redis. Commands on one entity run
//! one after another ([`lock`]). A crash between two events of a command leaves a harmless state: each command states
//! the order of its events and the reason for it. A new secret exists only in the command's return value, so nobody
//! holds a key whose command failed.

mod connections;
mod deletions;
mod entities;
mod error;
mod executor;
mod expected_version;
mod keys;
pub mod lock;
mod project_entities;
mod projects;
mod rotation;

pub use connections::Rotated;
pub use error::CommandError;
pub use executor::Commands;
pub use expected_version::ExpectedVersion;
pub use projects::ProjectChange;
