//! Outages of Redis and Kafka.
//!
//! Invariants: no valid key is refused with 401; nothing is acknowledged that is not stored; one gateway grants
//! no project more than its plan; no service has to be restarted.

use crate::support::{batch, wait_for_metrics_line};
use e2e::{Client, Installation, Process, Project, Result, ScratchStore, client, wait};
use reqwest::{Response, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const FREE_LIMIT: u64 = 100;

async fn send(client: &Client, gateway: usize, project: &Project) -> Result<Response> {
    let response = client.send(gateway, &project.api_key, batch(project, "tried", 1)).await?;
    assert_ne!(response.status(), StatusCode::UNAUTHORIZED, "a valid key was refused");
    Ok(response)
}

/// Checks that a response is a 503 that says when to retry.
async fn expect_unavailable(response: Response) -> Result<()> {
    assert!(response.headers().contains_key("retry-after"), "{} without Retry-After", response.status());
    let body = client::expect(response, StatusCode::SERVICE_UNAVAILABLE).await?;
    assert_eq!(body["error"], "unavailable");
    assert!(body["retryAfter"].as_u64() >= Some(1), "{body}");
    Ok(())
}

/// Waits until `/readyz` lists exactly this dependency as missing.
async fn wait_until_missing(process: &Process, dependency: &str) -> Result<()> {
    wait::until(&format!("/readyz lists {dependency}"), async || {
        let (status, missing) = process.ops("/readyz").await?;
        Ok((status == StatusCode::SERVICE_UNAVAILABLE && missing.trim() == dependency).then_some(()))
    })
    .await
}

async fn wait_until_key_works(client: &Client, gateway: usize, project: &Project) -> Result<()> {
    wait::until(&format!("the key works at gateway {gateway}"), async || {
        Ok((send(client, gateway, project).await?.status() == StatusCode::OK).then_some(()))
    })
    .await
}

/// Makes a gateway cache a key. A gateway does not cache a lookup during which any key changed, so this sends
/// many requests.
async fn fill_key_cache(client: &Client, gateway: usize, project: &Project) -> Result<()> {
    wait_until_key_works(client, gateway, project).await?;
    for _ in 0..20 {
        client::expect(send(client, gateway, project).await?, StatusCode::OK).await?;
    }
    Ok(())
}

/// Returns the end of the quota window in which a response was counted.
fn quota_window(response: &Response) -> Result<String> {
    let reset = response.headers().get("x-ratelimit-reset").ok_or("no X-RateLimit-Reset")?;
    Ok(reset.to_str()?.to_owned())
}

/// Sends until a gateway that counts by itself refuses; it may accept at most the limit in each quota window.
async fn check_local_quota(client: &Client, gateway: usize, project: &Project) -> Result<()> {
    let mut passed = BTreeMap::<String, u64>::new();
    loop {
        let response = send(client, gateway, project).await?;
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
        let count = passed.entry(quota_window(&response)?).or_default();
        *count += 1;
        assert!(*count <= FREE_LIMIT, "{count} requests passed in one hour");
        client::expect(response, StatusCode::OK).await?;
    }
    assert!(!passed.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn cached_keys_survive_a_redis_outage_for_the_grace_period() -> Result<()> {
    // One gateway for each policy: it counts quotas by itself; it refuses what it cannot count; it trusts its
    // cache briefly.
    const OPEN: usize = 0;
    const CLOSED: usize = 1;
    const SHORT: usize = 2;
    let mut redis = ScratchStore::redis().await?;
    let url = format!("redis://{}", redis.address());
    let shared = [("REDIS_URL", &*url), ("KEY_OUTAGE_GRACE", "1h")];
    let mut installation = Installation::start_with("no_redis", 1, 1, &shared).await?;
    installation.add_gateway(&[("QUOTA_OUTAGE", "closed")])?;
    installation.add_gateway(&[("KEY_OUTAGE_GRACE", "5s")])?;
    for gateway in &mut installation.gateways {
        gateway.ready().await?;
    }
    let client = installation.client();
    let unlimited = client.project("unlimited").await?;
    let free = client.project("free").await?;
    let uncached = client.project("unlimited").await?;
    for gateway in [OPEN, CLOSED, SHORT] {
        fill_key_cache(&client, gateway, &unlimited).await?;
        fill_key_cache(&client, gateway, &free).await?;
    }

    redis.kill()?;
    for gateway in &installation.gateways {
        wait_until_missing(gateway, "redis").await?;
    }
    client::expect(send(&client, OPEN, &unlimited).await?, StatusCode::OK).await?;
    client::expect(send(&client, CLOSED, &unlimited).await?, StatusCode::OK).await?;
    for gateway in [OPEN, CLOSED, SHORT] {
        expect_unavailable(send(&client, gateway, &uncached).await?).await?;
    }
    wait::until("a cached key is refused after the grace period", async || {
        let response = send(&client, SHORT, &unlimited).await?;
        if response.status() == StatusCode::OK {
            return Ok(None);
        }
        expect_unavailable(response).await.map(Some)
    })
    .await?;

    expect_unavailable(send(&client, CLOSED, &free).await?).await?;
    check_local_quota(&client, OPEN, &free).await?;
    for (gateway, policy) in [(OPEN, "open"), (CLOSED, "closed")] {
        let gateway = &installation.gateways[gateway];
        wait_for_metrics_line(gateway, "tidemark_gateway_quota_outage 1").await?;
        let policy = format!("tidemark_gateway_quota_outage_policy{{policy=\"{policy}\"}} 1");
        wait_for_metrics_line(gateway, &policy).await?;
    }

    redis.restart().await?;
    for process in &mut installation.gateways {
        process.ready().await?;
    }
    for gateway in [OPEN, CLOSED, SHORT] {
        wait_until_key_works(&client, gateway, &unlimited).await?;
        wait_until_key_works(&client, gateway, &uncached).await?;
    }
    for gateway in [OPEN, CLOSED] {
        wait::until("quotas are counted in Redis again", async || {
            send(&client, gateway, &free).await?;
            let page = installation.gateways[gateway].metrics_page().await?;
            Ok(page.lines().any(|line| line == "tidemark_gateway_quota_outage 0").then_some(()))
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wiped_redis_revives_no_revoked_key() -> Result<()> {
    let redis = ScratchStore::redis().await?;
    let url = format!("redis://{}", redis.address());
    let installation = Installation::start_with("flushed", 1, 1, &[("REDIS_URL", &url)]).await?;
    let client = installation.client();
    let (valid, revoked) = (client.project("unlimited").await?, client.project("unlimited").await?);
    wait_until_key_works(&client, 0, &valid).await?;
    wait_until_key_works(&client, 0, &revoked).await?;
    client.revoke(&revoked).await?;
    let refusal = async || -> Result<Option<Value>> {
        let response = client.send(0, &revoked.api_key, batch(&revoked, "tried", 1)).await?;
        Ok(match response.status() {
            StatusCode::UNAUTHORIZED => Some(client::expect(response, StatusCode::UNAUTHORIZED).await?),
            _ => None,
        })
    };
    assert_eq!(wait::until("the revoked key is refused", &refusal).await?["error"], "revoked_key");

    let mut redis = redis::Client::open(url.as_str())?.get_multiplexed_async_connection().await?;
    redis::cmd("FLUSHALL").query_async::<()>(&mut redis).await?;
    wait::until("Redis is filled again", async || {
        // Until then, the cached key works, and the revoked one gets 401 or 503 but never 200.
        send(&client, 0, &valid).await?;
        let response = client.send(0, &revoked.api_key, batch(&revoked, "tried", 1)).await?;
        assert_ne!(response.status(), StatusCode::OK, "a revoked key was accepted");
        let keys: u64 = redis::cmd("DBSIZE").query_async(&mut redis.clone()).await?;
        let ready = installation.gateways[0].ops("/readyz").await?.0 == StatusCode::OK;
        Ok((keys > 0 && ready).then_some(()))
    })
    .await?;
    wait_until_key_works(&client, 0, &valid).await?;
    assert_eq!(wait::until("the revoked key is refused", &refusal).await?["error"], "revoked_key");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_outage_acknowledges_nothing_and_heals_by_itself() -> Result<()> {
    let mut kafka = ScratchStore::kafka().await?;
    let shared = [("KAFKA_BROKERS", kafka.address()), ("DELIVERY_TIMEOUT", "1s")];
    let mut installation = Installation::start_with("no_kafka", 1, 1, &shared).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let (mut acknowledged, mut sent) = (BTreeSet::new(), 0_u64);
    let mut send = async || -> Result<(u64, Response)> {
        sent += 1;
        Ok((sent, client.send(0, &project.api_key, batch(&project, "tried", sent)).await?))
    };
    for _ in 0..10 {
        let (value, response) = send().await?;
        client::expect(response, StatusCode::OK).await?;
        acknowledged.insert(value);
    }

    kafka.kill()?;
    for _ in 0..3 {
        expect_unavailable(send().await?.1).await?;
    }
    wait_until_missing(&installation.gateways[0], "kafka").await?;
    let created = client.post("/api/v1/connections", &project.manage_key, &json!({"name": "Lost"})).await?;
    client::expect(created, StatusCode::SERVICE_UNAVAILABLE).await?;

    kafka.restart().await?;
    installation.gateways[0].ready().await?;
    wait::until("batches are accepted again", async || {
        let (value, response) = send().await?;
        if response.status() != StatusCode::OK {
            expect_unavailable(response).await?;
            return Ok(None);
        }
        acknowledged.insert(value);
        Ok(Some(()))
    })
    .await?;

    // Acknowledged values are stored exactly once, all others at most once.
    let stored = wait::until("all acknowledged values are stored", async || {
        let page = client.get_json("/api/v1/metrics/tried/points?limit=1000", &project.manage_key).await?;
        let values = values(&page);
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

/// A broker that was frozen for longer than its session with the controller briefly tells clients that there
/// are no brokers.
#[tokio::test(flavor = "multi_thread")]
async fn frozen_kafka_is_found_again_without_a_restart() -> Result<()> {
    // Longer than `broker.session.timeout.ms`.
    const FREEZE: Duration = Duration::from_secs(6);
    let kafka = ScratchStore::kafka().await?;
    let shared = [("KAFKA_BROKERS", kafka.address())];
    let installation = Installation::start_with("standstill", 3, 1, &shared).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    for _ in 0..2 {
        for gateway in 0..3 {
            wait_until_key_works(&client, gateway, &project).await?;
        }
        kafka.signal(Signal::STOP)?;
        tokio::time::sleep(FREEZE).await;
        kafka.signal(Signal::CONT)?;
    }
    for gateway in 0..3 {
        wait_until_key_works(&client, gateway, &project).await?;
    }
    Ok(())
}
