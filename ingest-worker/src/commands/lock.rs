//! Changes of the entity that lists the generations, one at a time: under a lock in Redis, from what the control log
//! says, and not published once the lock may have run out.

use super::Failure;
use crate::generation::Generator;
use accounts::projection::Projection;
use accounts::servers::connect;
use proto::control::GENERATIONS_ID;
use proto::v1::Generations;
use redis::Script;
use std::time::{Duration, Instant};

/// The lock ends by itself: longer than a change takes with Kafka's timeout behind it.
const LOCK: Duration = Duration::from_secs(30);
/// What is older when it is to be published is given up.
const OLDEST: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(200);

/// KEYS[1] the lock, ARGV[1] its holder. Lets it go if it is still the holder's; returns how many were let go.
const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// Changes the generations: `edit` sees them as they are, and may refuse.
pub async fn change<T>(
    generator: &Generator,
    redis_url: &str,
    edit: impl FnOnce(&mut Generations) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut redis = connect(redis_url)?;
    let lock = Projection::new(&generator.namespace).key("generations-lock", GENERATIONS_ID);
    let holder = uuid::Uuid::new_v4().to_string();
    let begun = Instant::now();
    let held = loop {
        let asked = Instant::now();
        let mut set = redis::cmd("SET");
        set.arg(&lock).arg(&holder).arg("NX").arg("PX").arg(u64::try_from(LOCK.as_millis())?);
        if set.query_async::<Option<String>>(&mut redis).await?.is_some() {
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
    // If it cannot be let go it ends by itself.
    let _ = Script::new(RELEASE).key(lock).arg(holder).invoke_async::<i32>(&mut redis).await;
    result
}
