//! What may never happen while Redis or Kafka is away: a good key is called wrong, something is said to be stored that
//! is not, a project gets more than its plan from one gateway, a service has to be started again by hand.

use e2e::{Client, Installation, OwnStore, Process, Result, client, wait};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const FREE_LIMIT: u64 = 100;

fn batch(project: &e2e::Project, value: u64) -> String {
    json!({"projectId": project.project_id, "metricId": "tried", "value": value}).to_string()
}

async fn send(client: &Client, gateway: usize, project: &e2e::Project) -> Result<Response> {
    let answer = client.send(gateway, &project.api_key, batch(project, 1)).await?;
    assert_ne!(answer.status(), StatusCode::UNAUTHORIZED, "a good key was called wrong");
    Ok(answer)
}

/// The answer is a 503 that says when to come again.
async fn unavailable(answer: Response) -> Result<()> {
    assert!(answer.headers().contains_key("retry-after"), "{} without Retry-After", answer.status());
    let body = client::expect(answer, StatusCode::SERVICE_UNAVAILABLE).await?;
    assert_eq!(body["error"], "unavailable");
    assert!(body["retryAfter"].as_u64() >= Some(1), "{body}");
    Ok(())
}

async fn ops(process: &Process, path: &str) -> Result<(StatusCode, String)> {
    let answer = reqwest::get(format!("{}{path}", process.ops_url())).await?;
    Ok((answer.status(), answer.text().await?))
}

/// Waits until `/readyz` names exactly this as missing.
async fn misses(process: &Process, part: &str) -> Result<()> {
    wait::until(&format!("/readyz misses {part}"), async || {
        let (status, missing) = ops(process, "/readyz").await?;
        Ok((status == StatusCode::SERVICE_UNAVAILABLE && missing.trim() == part).then_some(()))
    })
    .await
}

async fn metric(process: &Process, line: &str) -> Result<()> {
    wait::until(&format!("/metrics says {line}"), async || {
        Ok(ops(process, "/metrics").await?.1.lines().any(|found| found == line).then_some(()))
    })
    .await
}

async fn works(client: &Client, gateway: usize, project: &e2e::Project) -> Result<()> {
    wait::until(&format!("the key works at gateway {gateway}"), async || {
        Ok((send(client, gateway, project).await?.status() == StatusCode::OK).then_some(()))
    })
    .await
}

/// The gateway keeps the key in memory: an answer of Redis's during which anything changed is used once and not kept, so
/// one of many must be.
async fn known(client: &Client, gateway: usize, project: &e2e::Project) -> Result<()> {
    works(client, gateway, project).await?;
    for _ in 0..20 {
        client::expect(send(client, gateway, project).await?, StatusCode::OK).await?;
    }
    Ok(())
}

fn hour(answer: &Response) -> Result<String> {
    let reset = answer.headers().get("x-ratelimit-reset").ok_or("no X-RateLimit-Reset")?;
    Ok(reset.to_str()?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_known_keys_go_on_for_the_stated_time_and_all_heals_by_itself() -> Result<()> {
    const OPEN: usize = 0;
    const CLOSED: usize = 1;
    const SHORT: usize = 2;
    let mut redis = OwnStore::redis().await?;
    let url = format!("redis://{}", redis.address());
    let shared = [("REDIS_URL", &*url), ("KEY_OUTAGE_GRACE", "1h")];
    let mut installation = Installation::start_with("no_redis", 1, 1, &shared).await?;
    installation.add_gateway(&[("QUOTA_OUTAGE", "closed")])?.ready().await?;
    installation.add_gateway(&[("KEY_OUTAGE_GRACE", "5s")])?.ready().await?;
    let client = installation.client();
    let unlimited = client.project("unlimited").await?;
    let free = client.project("free").await?;
    let unseen = client.project("unlimited").await?;
    for gateway in [OPEN, CLOSED, SHORT] {
        known(&client, gateway, &unlimited).await?;
        known(&client, gateway, &free).await?;
    }

    redis.kill()?;
    for gateway in &installation.gateways {
        misses(gateway, "redis").await?;
    }
    client::expect(send(&client, OPEN, &unlimited).await?, StatusCode::OK).await?;
    client::expect(send(&client, CLOSED, &unlimited).await?, StatusCode::OK).await?;
    for gateway in [OPEN, CLOSED, SHORT] {
        unavailable(send(&client, gateway, &unseen).await?).await?;
    }
    wait::until("a known key is refused once its time is over", async || {
        let answer = send(&client, SHORT, &unlimited).await?;
        Ok(if answer.status() == StatusCode::OK { None } else { Some(unavailable(answer).await?) })
    })
    .await?;

    // One policy lets nothing through uncounted, the other one counts alone, up to the limit.
    unavailable(send(&client, CLOSED, &free).await?).await?;
    let mut passed = BTreeMap::<String, u64>::new();
    loop {
        let answer = send(&client, OPEN, &free).await?;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
        let count = passed.entry(hour(&answer)?).or_default();
        *count += 1;
        assert!(*count <= FREE_LIMIT, "{count} requests of one hour passed");
        client::expect(answer, StatusCode::OK).await?;
    }
    assert!(!passed.is_empty());
    for gateway in [OPEN, CLOSED] {
        metric(&installation.gateways[gateway], "tidemark_gateway_quota_outage 1").await?;
    }
    metric(&installation.gateways[OPEN], "tidemark_gateway_quota_outage_policy{policy=\"open\"} 1").await?;
    metric(&installation.gateways[CLOSED], "tidemark_gateway_quota_outage_policy{policy=\"closed\"} 1")
        .await?;

    redis.restart().await?;
    for process in &mut installation.gateways {
        process.ready().await?;
    }
    for gateway in [OPEN, CLOSED, SHORT] {
        works(&client, gateway, &unlimited).await?;
        works(&client, gateway, &unseen).await?;
    }
    for gateway in [OPEN, CLOSED] {
        wait::until("quotas are counted in Redis again", async || {
            send(&client, gateway, &free).await?;
            let page = ops(&installation.gateways[gateway], "/metrics").await?.1;
            Ok(page.lines().any(|line| line == "tidemark_gateway_quota_outage 0").then_some(()))
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_redis_was_wiped_good_keys_work_and_revoked_ones_do_not() -> Result<()> {
    let redis = OwnStore::redis().await?;
    let url = format!("redis://{}", redis.address());
    let installation = Installation::start_with("flushed", 1, 1, &[("REDIS_URL", &url)]).await?;
    let client = installation.client();
    let (good, revoked) = (client.project("unlimited").await?, client.project("unlimited").await?);
    works(&client, 0, &good).await?;
    works(&client, 0, &revoked).await?;
    client.revoke(&revoked).await?;
    let refused = async || -> Result<Option<Value>> {
        let answer = client.send(0, &revoked.api_key, batch(&revoked, 1)).await?;
        Ok(match answer.status() {
            StatusCode::UNAUTHORIZED => Some(client::expect(answer, StatusCode::UNAUTHORIZED).await?),
            _ => None,
        })
    };
    assert_eq!(wait::until("the revoked key is refused", &refused).await?["error"], "revoked_key");

    let mut redis = redis::Client::open(url.as_str())?.get_multiplexed_async_connection().await?;
    redis::cmd("FLUSHALL").query_async::<()>(&mut redis).await?;
    wait::until("Redis is filled again", async || {
        // Until then the key that is known goes on, and the other one is refused or told to wait; never accepted.
        send(&client, 0, &good).await?;
        let answer = client.send(0, &revoked.api_key, batch(&revoked, 1)).await?;
        assert_ne!(answer.status(), StatusCode::OK, "a revoked key came back");
        let keys: u64 = redis::cmd("DBSIZE").query_async(&mut redis.clone()).await?;
        let ready = ops(&installation.gateways[0], "/readyz").await?.0 == StatusCode::OK;
        Ok((keys > 0 && ready).then_some(()))
    })
    .await?;
    works(&client, 0, &good).await?;
    assert_eq!(wait::until("the revoked key is refused", &refused).await?["error"], "revoked_key");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_kafka_nothing_is_said_to_be_stored_and_all_heals_by_itself() -> Result<()> {
    let mut kafka = OwnStore::kafka().await?;
    let shared = [("KAFKA_BROKERS", kafka.address()), ("DELIVERY_TIMEOUT", "1s")];
    let mut installation = Installation::start_with("no_kafka", 1, 1, &shared).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let (mut acknowledged, mut sent) = (BTreeSet::new(), 0);
    let mut send = async || -> Result<(u64, Response)> {
        sent += 1;
        Ok((sent, client.send(0, &project.api_key, batch(&project, sent)).await?))
    };
    for _ in 0..10 {
        let (value, answer) = send().await?;
        client::expect(answer, StatusCode::OK).await?;
        acknowledged.insert(value);
    }

    kafka.kill()?;
    for _ in 0..3 {
        unavailable(send().await?.1).await?;
    }
    misses(&installation.gateways[0], "kafka").await?;
    let made = client.post("/api/v1/connections", &project.manage_key, &json!({"name": "Lost"})).await?;
    client::expect(made, StatusCode::SERVICE_UNAVAILABLE).await?;

    kafka.restart().await?;
    installation.gateways[0].ready().await?;
    wait::until("batches are stored again", async || {
        let (value, answer) = send().await?;
        if answer.status() != StatusCode::OK {
            unavailable(answer).await?;
            return Ok(None);
        }
        acknowledged.insert(value);
        Ok(Some(()))
    })
    .await?;

    // What was acknowledged is there once; what was not may be there, once.
    let stored = wait::until("what was acknowledged can be read", async || {
        let page = client.read("/api/v1/metrics/tried/points?limit=1000", &project.manage_key).await?;
        let values: Vec<u64> = values(&page);
        Ok(acknowledged.iter().all(|value| values.contains(value)).then_some(values))
    })
    .await?;
    assert_eq!(stored.iter().collect::<BTreeSet<_>>().len(), stored.len(), "stored twice: {stored:?}");
    Ok(())
}

fn values(page: &Value) -> Vec<u64> {
    let items = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item["value"].as_f64()).map(|value| value as u64).collect()
}

/// Stopped for longer than its session with the controller, Kafka tells its clients for a moment that there are no brokers.
#[tokio::test(flavor = "multi_thread")]
async fn a_kafka_that_stood_still_is_found_again_without_a_restart() -> Result<()> {
    const STANDSTILL: std::time::Duration = std::time::Duration::from_secs(6);
    let kafka = OwnStore::kafka().await?;
    let shared = [("KAFKA_BROKERS", kafka.address())];
    let installation = Installation::start_with("standstill", 3, 1, &shared).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    for _ in 0..2 {
        for gateway in 0..3 {
            works(&client, gateway, &project).await?;
        }
        kafka.signal(rustix::process::Signal::STOP)?;
        tokio::time::sleep(STANDSTILL).await;
        kafka.signal(rustix::process::Signal::CONT)?;
    }
    for gateway in 0..3 {
        works(&client, gateway, &project).await?;
    }
    Ok(())
}
