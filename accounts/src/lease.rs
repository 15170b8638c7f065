//! Leases: names in Redis that have one holder at a time and end by themselves. They are no fence: who stood still may
//! think that it holds one that has ended, so whoever acts under one looks at its age first.

use crate::servers::Redis;
use redis::{RedisError, Script};
use std::sync::LazyLock;
use std::time::Duration;

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lease/take.lua")));
static GIVE_BACK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lease/give_back.lua")));

/// A claim to a lease. Clones are the same claim; two that were made apart exclude each other.
#[derive(Clone)]
pub struct Lease {
    redis: Redis,
    name: String,
    holder: String,
}

impl Lease {
    /// A claim to the lease `name`, which is not taken yet.
    pub fn new(redis: Redis, name: String) -> Self {
        Self { redis, name, holder: format!("{:032x}", rand::random::<u128>()) }
    }

    /// Takes the lease, or renews it, so that it lasts `length` from now; false if another claim holds it.
    pub async fn take(&self, length: Duration) -> Result<bool, RedisError> {
        let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        let mut redis = self.redis.clone();
        TAKE.key(&self.name).arg(&self.holder).arg(length).invoke_async(&mut redis).await
    }

    /// Ends it, so that others need not wait for its end. Where that fails it ends by itself, which is noted.
    pub async fn give_back(&self) {
        let mut redis = self.redis.clone();
        let given: Result<i32, _> =
            GIVE_BACK.key(&self.name).arg(&self.holder).invoke_async(&mut redis).await;
        if let Err(error) = given {
            tracing::warn!(lease = self.name, %error, "a lease could not be given back, and ends by itself");
        }
    }
}
