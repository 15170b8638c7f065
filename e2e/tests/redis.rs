//! Redis is a projection: what it loses comes back from Kafka, and meanwhile nobody is told that a good key is wrong.

use e2e::{Installation, Result, client, wait};
use reqwest::StatusCode;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn keys_work_again_after_redis_lost_everything() -> Result<()> {
    let mut installation = Installation::start("wiped", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let other = client.project("unlimited").await?;
    let body = json!({"projectId": project.project_id, "metricId": "m", "value": 1}).to_string();
    client::expect(client.send(0, &project.api_key, body.clone()).await?, StatusCode::OK).await?;

    // With the worker stopped nobody fills Redis again, so that the time between can be looked at.
    installation.workers[0].terminate().await?;
    let mut redis = redis::Client::open(e2e::installation::part("REDIS_URL")?)?
        .get_multiplexed_async_connection()
        .await?;
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg(format!("tidemark-{}:*", installation.namespace))
        .query_async(&mut redis)
        .await?;
    assert!(!keys.is_empty());
    redis::cmd("DEL").arg(&keys).query_async::<()>(&mut redis).await?;

    // A key that the gateway has never seen cannot be looked up: 503, never 401.
    let unseen = json!({"projectId": other.project_id, "metricId": "m", "value": 1}).to_string();
    let answer = client.send(0, &other.api_key, unseen.clone()).await?;
    let answer = client::expect(answer, StatusCode::SERVICE_UNAVAILABLE).await?;
    assert_eq!(answer["error"], "unavailable");

    installation.workers[0].restart()?;
    for (key, body) in [(&project.api_key, &body), (&other.api_key, &unseen)] {
        wait::until("the key works again", async || {
            let status = client.send(0, key, body.clone()).await?.status();
            assert_ne!(status, StatusCode::UNAUTHORIZED, "a good key was called wrong");
            Ok((status == StatusCode::OK).then_some(()))
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_redis_is_right_after_a_rebuild() -> Result<()> {
    let installation = Installation::start("corrupt", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let other = client.project("unlimited").await?;
    let mut redis = redis::Client::open(e2e::installation::part("REDIS_URL")?)?
        .get_multiplexed_async_connection()
        .await?;
    let prefix = format!("tidemark-{}", installation.namespace);
    let key_ids = [&project.api_key, &other.manage_key].map(|key| key.split('_').nth(1).unwrap_or_default());
    let [name, of_other] = key_ids.map(|id| format!("{prefix}:{{{prefix}}}:key:{id}"));
    let good: std::collections::HashMap<String, Vec<u8>> =
        redis::cmd("HGETALL").arg(&name).query_async(&mut redis).await?;
    // A state that says nothing, under an offset that the next event would not exceed; a key that is no hash; a
    // revocation that nobody made; and what is no entity and must stay.
    redis::cmd("HSET").arg(&name).arg(&["v", "", "o", "9000000000"]).query_async::<()>(&mut redis).await?;
    redis::cmd("SET").arg(&of_other).arg("rubbish").query_async::<()>(&mut redis).await?;
    let invented = format!("{prefix}:{{{prefix}}}:revocation:{}", key_ids[0]);
    redis::cmd("HSET")
        .arg(&invented)
        .arg(&["v", "x", "l", "y", "o", "1"])
        .query_async::<()>(&mut redis)
        .await?;
    let bystander = format!("{prefix}:quota-test:{{a}}");
    redis::cmd("SET").arg(&bystander).arg("1").query_async::<()>(&mut redis).await?;

    let said = installation.commanded(&["rebuild", "redis"]).await?;
    assert!(said.contains("Redis is filled"), "{said}");
    let now: std::collections::HashMap<String, Vec<u8>> =
        redis::cmd("HGETALL").arg(&name).query_async(&mut redis).await?;
    assert_eq!(now, good);
    let (invented, bystander): (bool, bool) = (
        redis::cmd("EXISTS").arg(&invented).query_async(&mut redis).await?,
        redis::cmd("EXISTS").arg(&bystander).query_async(&mut redis).await?,
    );
    assert!(!invented && bystander, "entities go, all else stays");
    // The gateway and the query service find out within a second that Redis is to be believed again.
    for key in [&project.manage_key, &other.manage_key] {
        wait::until("the key works again", async || {
            let status = client.get("/api/v1/metrics", key).await?.status();
            assert_ne!(status, StatusCode::UNAUTHORIZED, "a good key was called wrong");
            Ok((status == StatusCode::OK).then_some(()))
        })
        .await?;
    }
    wait::until("the key of the connection works again", async || {
        let body = json!({"projectId": project.project_id, "metricId": "m", "value": 1}).to_string();
        let status = client.send(0, &project.api_key, body).await?.status();
        assert_ne!(status, StatusCode::UNAUTHORIZED, "a good key was called wrong");
        Ok((status == StatusCode::OK).then_some(()))
    })
    .await?;
    // What is made afterwards arrives: the worker follows on.
    let later = client.project("unlimited").await?;
    let body = json!({"projectId": later.project_id, "metricId": "m", "value": 1}).to_string();
    client::expect(client.send(0, &later.api_key, body).await?, StatusCode::OK).await?;
    Ok(())
}
