//! Which replica evaluates: a lease in Redis, for quiet.
//!
//! It keeps two replicas from doing the same work; that they cannot both do it is Kafka's part ([`super::journal`]).
//! While Redis is away the holder goes on, for nobody else can take the lease then. A holder that stood still for
//! longer than the lease sends nothing before it has looked again.

use accounts::servers::Redis;
use redis::{RedisError, Script};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a lease lasts.
pub const LENGTH: Duration = Duration::from_secs(6);
/// How often its holder renews it, and how often others try.
pub const EVERY: Duration = Duration::from_secs(2);

/// KEYS\[1\]: the lease. ARGV\[1\]: the holder. ARGV\[2\]: its length in milliseconds. Returns 1 if the lease is the holder's
/// now: it was before, or nobody's.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local holder = redis.call('GET', KEYS[1]) \
         if holder and holder ~= ARGV[1] then return 0 end \
         redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1",
    )
});

/// KEYS\[1\]: the lease. ARGV\[1\]: the holder. Ends the lease if it is the holder's.
static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0",
    )
});

/// A replica's claim to the lease. Clones are the same claim.
#[derive(Clone)]
pub struct Lease {
    key: String,
    holder: String,
    redis: Redis,
    looked: Arc<Mutex<Option<Instant>>>,
}

impl Lease {
    /// A claim to the installation's lease.
    pub fn new(namespace: &str, redis: Redis) -> Self {
        let prefix = if namespace.is_empty() { String::new() } else { format!("-{namespace}") };
        let (key, holder) = (format!("tidemark{prefix}:alert-lease"), uuid::Uuid::new_v4().to_string());
        Self { key, holder, redis, looked: Arc::default() }
    }

    /// Takes or renews the lease; tells whether it is ours.
    pub async fn take(&self) -> Result<bool, RedisError> {
        let begun = Instant::now();
        let length = LENGTH.as_millis().to_string();
        let taken: i32 =
            TAKE.key(&self.key).arg(&self.holder).arg(length).invoke_async(&mut self.redis.clone()).await?;
        if taken == 1 {
            self.look(Some(begun));
        }
        Ok(taken == 1)
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
        let released: Result<i32, _> =
            RELEASE.key(&self.key).arg(&self.holder).invoke_async(&mut self.redis.clone()).await;
        if let Err(error) = released {
            tracing::debug!(%error, "the lease ends by itself");
        }
    }

    fn look(&self, at: Option<Instant>) {
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }
}
