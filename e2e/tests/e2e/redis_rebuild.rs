//! The Redis projection: lost or corrupt entries are restored from Kafka, and no valid key is refused with 401
//! meanwhile.

use crate::support::{batch, redis_connection, send};
use e2e::{Installation, Result, client, wait};
use reqwest::StatusCode;
use std::collections::HashMap;

#[tokio::test(flavor = "multi_thread")]
async fn keys_work_again_after_redis_lost_its_data() -> Result<()> {
    let mut installation = Installation::start("wiped", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let other = client.project("unlimited").await?;
    send(&client, &project, "m", 1).await?;

    // While the worker is stopped, Redis stays empty.
    installation.workers[0].terminate().await?;
    let mut redis = redis_connection().await?;
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg(format!("tidemark-{}:*", installation.namespace))
        .query_async(&mut redis)
        .await?;
    assert!(!keys.is_empty());
    redis::cmd("DEL").arg(&keys).query_async::<()>(&mut redis).await?;

    // The gateway cannot look up a key that is not in its cache: 503, never 401.
    let uncached = client.send(0, &other.api_key, batch(&other, "m", 1)).await?;
    let uncached = client::expect(uncached, StatusCode::SERVICE_UNAVAILABLE).await?;
    assert_eq!(uncached["error"], "unavailable");

    installation.workers[0].restart()?;
    for project in [&project, &other] {
        wait::until("the key works again", async || {
            let status = client.send(0, &project.api_key, batch(project, "m", 1)).await?.status();
            assert_ne!(status, StatusCode::UNAUTHORIZED, "a valid key was refused");
            Ok((status == StatusCode::OK).then_some(()))
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuild_corrects_corrupt_redis_entries() -> Result<()> {
    let installation = Installation::start("corrupt", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let other = client.project("unlimited").await?;
    let mut redis = redis_connection().await?;
    let prefix = format!("tidemark-{}", installation.namespace);
    let key_ids = [&project.api_key, &other.manage_key].map(|key| key.split('_').nth(1).unwrap_or_default());
    let [key_entry, other_entry] = key_ids.map(|id| format!("{prefix}:{{{prefix}}}:key:{id}"));
    let original: HashMap<String, Vec<u8>> =
        redis::cmd("HGETALL").arg(&key_entry).query_async(&mut redis).await?;
    // An empty state with an offset that no later event exceeds; a key entry that is not a hash; a revocation
    // without an event; and an entry outside the projection, which must stay.
    redis::cmd("HSET")
        .arg(&key_entry)
        .arg(&["v", "", "o", "9000000000"])
        .query_async::<()>(&mut redis)
        .await?;
    redis::cmd("SET").arg(&other_entry).arg("not a hash").query_async::<()>(&mut redis).await?;
    let invented = format!("{prefix}:{{{prefix}}}:revocation:{}", key_ids[0]);
    redis::cmd("HSET")
        .arg(&invented)
        .arg(&["v", "x", "l", "y", "o", "1"])
        .query_async::<()>(&mut redis)
        .await?;
    let unrelated = format!("{prefix}:quota-test:{{a}}");
    redis::cmd("SET").arg(&unrelated).arg("1").query_async::<()>(&mut redis).await?;

    let output = installation.run_command_ok(&["rebuild", "redis"]).await?;
    assert!(output.contains("Redis rebuilt"), "{output}");
    let rebuilt: HashMap<String, Vec<u8>> =
        redis::cmd("HGETALL").arg(&key_entry).query_async(&mut redis).await?;
    assert_eq!(rebuilt, original);
    let (invented, unrelated): (bool, bool) = (
        redis::cmd("EXISTS").arg(&invented).query_async(&mut redis).await?,
        redis::cmd("EXISTS").arg(&unrelated).query_async(&mut redis).await?,
    );
    assert!(!invented && unrelated, "entries of the projection are replaced, all others stay");
    // Gateway and query API notice within a second that Redis is complete again.
    for key in [&project.manage_key, &other.manage_key] {
        wait::until("the key works again", async || {
            let status = client.get("/api/v1/metrics", key).await?.status();
            assert_ne!(status, StatusCode::UNAUTHORIZED, "a valid key was refused");
            Ok((status == StatusCode::OK).then_some(()))
        })
        .await?;
    }
    wait::until("the key of the connection works again", async || {
        let status = client.send(0, &project.api_key, batch(&project, "m", 1)).await?.status();
        assert_ne!(status, StatusCode::UNAUTHORIZED, "a valid key was refused");
        Ok((status == StatusCode::OK).then_some(()))
    })
    .await?;
    // The worker goes on with later events.
    let later = client.project("unlimited").await?;
    send(&client, &later, "m", 1).await
}
