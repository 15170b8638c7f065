//! Which replica evaluates: a lease in Redis, for quiet.
//!
//! It keeps two replicas from doing the same work; that they cannot both do it is Kafka's part ([`super::journal`]).
//! While Redis is away the holder goes on, for nobody else can take the lease then. A holder that stood still for
//! longer than the lease sends nothing before it has looked again.

use control::lease;
use control::projection::Projection;
use redis_access::Redis;
use redis::RedisError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a lease lasts.
pub const LENGTH: Duration = Duration::from_secs(6);
/// How often its holder renews it, and how often others try.
pub const EVERY: Duration = Duration::from_secs(2);

/// A replica's claim to the lease. Clones are the same claim.
#[derive(Clone)]
pub struct Lease {
    lease: lease::Lease,
    looked: Arc<Mutex<Option<Instant>>>,
}

impl Lease {
    /// A claim to the installation's lease.
    pub fn new(namespace: &str, redis: Redis) -> Self {
        let name = Projection::new(namespace).key("lease", "alerts");
        Self { lease: lease::Lease::new(redis, name), looked: Arc::default() }
    }

    /// Takes or renews the lease; tells whether it is ours.
    pub async fn take(&self) -> Result<bool, RedisError> {
        let begun = Instant::now();
        let taken = self.lease.take(LENGTH).await?;
        if taken {
            self.look(Some(begun));
        }
        Ok(taken)
    }

    /// Holds the lease until it is lost.
    pub async fn hold(&self) {
        loop {
            tokio::time::sleep(EVERY).await;
            match self.take().await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::debug!(%error, "the lease cannot be renewed; nobody else can take it");
                    self.look(Some(Instant::now()));
                }
            }
        }
    }

    /// Whether we looked lately enough to be sure that we did not stand still for longer than the lease.
    pub fn fresh(&self) -> bool {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| at.elapsed() < LENGTH)
    }

    /// Ends the lease, so that another replica need not wait for its end.
    pub async fn release(&self) {
        self.look(None);
        self.lease.give_back().await;
    }

    fn look(&self, at: Option<Instant>) {
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }
}
