//! Changes of the entity that lists the generations, one at a time: under a lock in Redis, from what the control log
//! says, and not published once the lock may have run out.

use super::Failure;
use crate::generation::Generator;
use accounts::lease::Lease;
use accounts::projection::Projection;
use accounts::servers::connect;
use proto::control::GENERATIONS_ID;
use proto::v1::Generations;
use std::time::{Duration, Instant};

/// The lock ends by itself: longer than a change takes with Kafka's timeout behind it.
const LOCK: Duration = Duration::from_secs(30);
/// What is older when it is to be published is given up.
const OLDEST: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(200);

/// Changes the generations: `edit` sees them as they are, and may refuse.
pub async fn change<T>(
    generator: &Generator,
    redis_url: &str,
    edit: impl FnOnce(&mut Generations) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let name = Projection::new(&generator.namespace).key("generations-lock", GENERATIONS_ID);
    let lock = Lease::new(connect(redis_url)?, name);
    let begun = Instant::now();
    let held = loop {
        let asked = Instant::now();
        if lock.take(LOCK).await? {
            break asked;
        }
        if begun.elapsed() > LOCK {
            return Err("another command is changing the generations: wait until it has ended".into());
        }
        tokio::time::sleep(PAUSE).await;
    };
    let changed = async {
        let (all, _) = generator.recorded().await?;
        let mut all =
            all.ok_or("there is no generation yet: start an ingest-worker, which makes the first")?;
        let result = edit(&mut all)?;
        if held.elapsed() > OLDEST {
            return Err("this took too long to be safe; nothing was changed: run it again".into());
        }
        generator.record(all).await?;
        Ok(result)
    };
    let result = changed.await;
    lock.give_back().await;
    result
}
