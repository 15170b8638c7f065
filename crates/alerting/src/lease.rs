//! The lease of the replica that evaluates alert rules.
//!
//! The lease only avoids duplicate work. That two replicas cannot both write is ensured by Kafka ([`super::journal`]).
//! While Redis is unavailable the holder continues, because no other replica can acquire the lease then. A holder that was
//! suspended for longer than the lease delivers nothing before it has renewed the lease.

use redis::RedisError;
use redis_access::{KeyNames, Redis};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Length of the lease.
pub const LENGTH: Duration = Duration::from_secs(6);
/// Interval at which the holder renews the lease and other replicas try to acquire it.
pub const INTERVAL: Duration = Duration::from_secs(2);

/// A replica's candidacy for the lease. Clones are the same candidate.
#[derive(Clone)]
pub struct Lease {
    lease: redis_access::Lease,
    /// The last renewal, or the last attempt that failed because Redis was unavailable.
    renewed: Arc<Mutex<Option<Instant>>>,
}

impl Lease {
    /// Creates a candidate for the lease of the installation `namespace`.
    pub fn new(namespace: &str, redis: Redis) -> Self {
        let name = KeyNames::new(namespace).key("lease", "alerts");
        Self { lease: redis_access::Lease::new(redis, name), renewed: Arc::default() }
    }

    /// Acquires or renews the lease. Returns false if another replica holds it.
    pub async fn acquire(&self) -> Result<bool, RedisError> {
        let started = Instant::now();
        let acquired = self.lease.acquire(LENGTH).await?;
        if acquired {
            self.set_renewed(Some(started));
        }
        Ok(acquired)
    }

    /// Renews the lease until it is lost.
    pub async fn hold(&self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            match self.acquire().await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::debug!(%error, "lease not renewed: Redis unavailable");
                    self.set_renewed(Some(Instant::now()));
                }
            }
        }
    }

    /// Returns whether the process was certainly not suspended for longer than the lease.
    pub fn is_fresh(&self) -> bool {
        self.renewed.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| at.elapsed() < LENGTH)
    }

    /// Releases the lease, so that another replica need not wait until it expires.
    pub async fn release(&self) {
        self.set_renewed(None);
        self.lease.release().await;
    }

    fn set_renewed(&self, at: Option<Instant>) {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }
}
