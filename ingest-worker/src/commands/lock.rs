//! Serializes changes of the list of generations: each takes a lock in Redis, starts from the control log, and is not
//! published if the lock may have expired.

use super::Failure;
use crate::generation::GenerationManager;
use accounts::lease::Lease;
use accounts::projection::Projection;
use accounts::servers::connect;
use proto::control::GENERATIONS_ID;
use proto::v1::Generations;
use std::time::{Duration, Instant};

/// Duration of the lock: longer than [`MAX_CHANGE_TIME`] plus the timeout of publishing to Kafka.
const LOCK_DURATION: Duration = Duration::from_secs(30);
/// A change that takes longer than this is not published.
const MAX_CHANGE_TIME: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(200);

/// Changes the list of generations. `edit` receives the current list, and may reject the change.
pub async fn update_generations<T>(
    manager: &GenerationManager,
    redis_url: &str,
    edit: impl FnOnce(&mut Generations) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let name = Projection::new(&manager.namespace).key("generations-lock", GENERATIONS_ID);
    let lock = Lease::new(connect(redis_url)?, name);
    let started = Instant::now();
    let locked_at = loop {
        let requested_at = Instant::now();
        if lock.take(LOCK_DURATION).await? {
            break requested_at;
        }
        if started.elapsed() > LOCK_DURATION {
            return Err("another command is changing the generations: try again once it has ended".into());
        }
        tokio::time::sleep(PAUSE).await;
    };
    let change = async {
        let (all, _) = manager.recorded().await?;
        let mut all =
            all.ok_or("no generation exists yet: start an ingest-worker, which creates the first one")?;
        let result = edit(&mut all)?;
        if locked_at.elapsed() > MAX_CHANGE_TIME {
            return Err(
                "the change took too long, and its lock may expire; nothing was changed: try again".into()
            );
        }
        manager.publish(all).await?;
        Ok(result)
    };
    let result = change.await;
    lock.give_back().await;
    result
}
