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
