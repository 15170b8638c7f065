//! Reads how much of an hour is used.

use crate::store::{Keys, Used};
use redis::RedisError;
use redis_access::{KeyNames, Redis};

/// Reads the quota usage of an installation's projects. Clones share the connection.
#[derive(Clone)]
pub struct UsageReader {
    names: KeyNames,
    redis: Redis,
}

impl UsageReader {
    /// Returns a reader for the installation `namespace`.
    pub fn new(namespace: &str, redis: Redis) -> Self {
        Self { names: KeyNames::new(namespace), redis }
    }

    /// Returns how much of the running hour `project_id` has used. Changes nothing.
    pub async fn used(&self, project_id: &str) -> Result<Used, RedisError> {
        Keys::new(&self.names, project_id).used(&mut self.redis.clone()).await
    }
}
