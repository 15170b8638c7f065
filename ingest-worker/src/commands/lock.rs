//! Serializes changes of the list of generations: each takes a lock in Redis, starts from the control log, and is not
//! published if the lock may have expired.

use super::Failure;
use crate::generation::GenerationManager;
use proto::control::GENERATIONS_ID;
use proto::v1::Generations;
use redis_access::{KeyNames, Lease, connect};
use service::connections::RedisEndpoint;
use std::time::Duration;

/// Duration of the lock: longer than [`MAX_CHANGE_TIME`] plus the timeout of publishing to Kafka.
const LOCK_DURATION: Duration = Duration::from_secs(30);
/// A change that takes longer than this is not published.
const MAX_CHANGE_TIME: Duration = Duration::from_secs(15);
/// Interval between attempts to acquire the lock.
const RETRY: Duration = Duration::from_millis(200);

/// Changes the list of generations. `edit` receives the current list, and may reject the change.
pub async fn update_generations<T>(
    manager: &GenerationManager,
    redis: &RedisEndpoint,
    edit: impl FnOnce(&mut Generations) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let name = KeyNames::new(&manager.namespace).key("generations-lock", GENERATIONS_ID);
    let lock = Lease::new(connect(redis)?, name).acquire_within(LOCK_DURATION, RETRY, LOCK_DURATION).await?;
    let lock = lock.ok_or("another command is changing the generations: try again once it has ended")?;
    let change = async {
        let (all, _) = manager.recorded().await?;
        let mut all =
            all.ok_or("no generation exists yet: start an ingest-worker, which creates the first one")?;
        let result = edit(&mut all)?;
        if lock.age() > MAX_CHANGE_TIME {
            return Err(
                "the change took too long, and its lock may expire; nothing was changed: try again".into()
            );
        }
        manager.publish(all).await?;
        Ok(result)
    };
    let result = change.await;
    lock.release().await;
    result
}
