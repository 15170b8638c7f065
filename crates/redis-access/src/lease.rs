//! Leases: keys in Redis that have at most one holder at a time and expire by themselves.
//!
//! A lease is not a fence: a process that was suspended may believe that it holds a lease which has expired. Code that
//! acts under a lease therefore checks its age first ([`HeldLease::age`]).

use crate::connection::Redis;
use redis::{RedisError, Script};
use service::clock::BootInstant;
use std::sync::LazyLock;
use std::time::Duration;

static ACQUIRE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lease/acquire.lua")));
static RELEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lease/release.lua")));

/// A candidate for a lease. Clones are the same candidate; separately created ones exclude each other.
#[derive(Clone)]
pub struct Lease {
    redis: Redis,
    name: String,
    holder: String,
}

/// A lease that was acquired.
pub struct HeldLease {
    lease: Lease,
    /// Taken before Redis was asked, so that the age is never underestimated.
    acquired_at: BootInstant,
}

impl Lease {
    /// Creates a candidate for the lease `name` without acquiring it.
    pub fn new(redis: Redis, name: String) -> Self {
        Self { redis, name, holder: format!("{:032x}", rand::random::<u128>()) }
    }

    /// Acquires or renews the lease for `length` from now. Returns false if another candidate holds it.
    pub async fn acquire(&self, length: Duration) -> Result<bool, RedisError> {
        let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        let mut redis = self.redis.clone();
        ACQUIRE.key(&self.name).arg(&self.holder).arg(length_ms).invoke_async(&mut redis).await
    }

    /// Acquires the lease for `length`, retrying at the interval `retry` for up to `timeout` while another candidate
    /// holds it. Returns none if the timeout expired.
    pub async fn acquire_within(
        self,
        timeout: Duration,
        retry: Duration,
        length: Duration,
    ) -> Result<Option<HeldLease>, RedisError> {
        let started_at = BootInstant::now();
        loop {
            let acquired_at = BootInstant::now();
            if self.acquire(length).await? {
                return Ok(Some(HeldLease { lease: self, acquired_at }));
            }
            if started_at.elapsed() >= timeout {
                return Ok(None);
            }
            tokio::time::sleep(retry).await;
        }
    }

    /// Releases the lease so that others need not wait until it expires. A failure is logged; the lease then expires
    /// by itself.
    pub async fn release(&self) {
        let mut redis = self.redis.clone();
        let released: Result<i32, _> =
            RELEASE.key(&self.name).arg(&self.holder).invoke_async(&mut redis).await;
        if let Err(error) = released {
            tracing::warn!(lease = self.name, %error, "lease not released: it will expire");
        }
    }
}

impl HeldLease {
    /// Returns an upper bound of the time since the lease was acquired.
    pub fn age(&self) -> Duration {
        self.acquired_at.elapsed()
    }

    /// Releases the lease, see [`Lease::release`].
    pub async fn release(self) {
        self.lease.release().await;
    }
}
