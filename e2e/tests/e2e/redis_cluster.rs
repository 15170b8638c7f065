//! Redis Cluster and the failure of one of its nodes.
//!
//! Invariants: no valid key is refused with 401 and no revoked key is accepted because the node that held it is
//! gone; no hour grants more requests than its plan.

use crate::support::batch;
use e2e::scratch::redis_cluster::RedisCluster;
use e2e::{Client, Installation, Project, Result, client, wait};
use reqwest::StatusCode;
use rustix::process::Signal;

const FREE_LIMIT: usize = 100;

async fn status(client: &Client, gateway: usize, project: &Project) -> Result<StatusCode> {
    Ok(client.send(gateway, &project.api_key, batch(project, "tried", 1)).await?.status())
}

/// Sends to two gateways in turn until a request is refused; returns how many were accepted, at most one over
/// the limit.
async fn use_up_quota(client: &Client, project: &Project) -> Result<usize> {
    for accepted in 0..=FREE_LIMIT {
        match status(client, accepted % 2, project).await? {
            StatusCode::OK => {}
            StatusCode::TOO_MANY_REQUESTS => return Ok(accepted),
            other => return Err(format!("unexpected status {other} after {accepted} requests").into()),
        }
    }
    Ok(FREE_LIMIT + 1)
}

/// Checks that a new project is granted exactly its quota; tries once more in case the clock hour changed
/// meanwhile.
async fn check_quota_is_exact(client: &Client) -> Result<()> {
    let mut accepted = use_up_quota(client, &client.project("free").await?).await?;
    if accepted > FREE_LIMIT {
        accepted = use_up_quota(client, &client.project("free").await?).await?;
    }
    assert_eq!(accepted, FREE_LIMIT);
    Ok(())
}

/// Makes both gateways cache a key. A gateway does not cache a lookup during which any key changed, so this
/// sends many requests.
async fn fill_key_caches(client: &Client, project: &Project) -> Result<()> {
    for gateway in (0..2).cycle().take(40) {
        assert_eq!(status(client, gateway, project).await?, StatusCode::OK);
    }
    Ok(())
}

async fn revoke(client: &Client, project: &Project) -> Result<()> {
    client.revoke(project).await?;
    for gateway in 0..2 {
        wait::until("the revoked key is refused", async || {
            Ok((status(client, gateway, project).await? == StatusCode::UNAUTHORIZED).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// Creates a project, which works once a master of the control entries is reachable.
async fn create_project(client: &Client) -> Result<Project> {
    wait::until("a project can be created", async || Ok(client.project("unlimited").await.ok())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_quotas_and_claims_survive_a_cluster_failover() -> Result<()> {
    let cluster = RedisCluster::start().await?;
    let url = cluster.url();
    let installation =
        Installation::start_with("cluster", 2, 1, &[("REDIS_URL", &url), ("KEY_OUTAGE_GRACE", "1h")]).await?;
    let client = installation.client();
    let unlimited = client.project("unlimited").await?;
    let revoked = client.project("unlimited").await?;
    for gateway in 0..2 {
        assert_eq!(status(&client, gateway, &unlimited).await?, StatusCode::OK);
        assert_eq!(status(&client, gateway, &revoked).await?, StatusCode::OK);
    }
    revoke(&client, &revoked).await?;

    // The quota windows of so many projects are on more than one node.
    for _ in 0..8 {
        check_quota_is_exact(&client).await?;
    }
    let body = batch(&unlimited, "once", 1);
    for (gateway, replayed) in [(0, false), (1, true)] {
        let response = client.send_idempotent(gateway, &unlimited.api_key, "same", body.clone()).await?;
        assert_eq!(response.headers().contains_key("idempotent-replayed"), replayed);
        client::expect(response, StatusCode::OK).await?;
    }
    let key_counts = cluster.key_counts().await?;
    assert!(key_counts.iter().filter(|&&keys| keys > 0).count() > 1, "{key_counts:?}");
    let output = installation.run_command_ok(&["rebuild", "redis"]).await?;
    assert!(output.contains("Redis rebuilt"), "{output}");
    wait::until("key lookups work again", async || {
        let both = [status(&client, 0, &unlimited).await?, status(&client, 1, &unlimited).await?];
        Ok((both == [StatusCode::OK; 2]).then_some(()))
    })
    .await?;

    // The master of all control entries freezes without closing its connections, and its replica takes over.
    // Cached keys keep working meanwhile.
    fill_key_caches(&client, &unlimited).await?;
    let control = format!("{{tidemark-{}}}", installation.namespace);
    let frozen = cluster.master_of(0, &control).await?;
    let witness = (frozen + 1) % 3;
    cluster.signal(frozen, Signal::STOP)?;
    wait::until("the replica has taken over", async || {
        for gateway in 0..2 {
            let status = status(&client, gateway, &unlimited).await?;
            assert_eq!(status, StatusCode::OK, "a cached key was refused");
        }
        Ok((cluster.master_of(witness, &control).await? != frozen).then_some(()))
    })
    .await?;
    let fresh = create_project(&client).await?;
    for gateway in 0..2 {
        wait::until("the new project's key works", async || {
            let status = status(&client, gateway, &fresh).await?;
            assert_ne!(status, StatusCode::UNAUTHORIZED, "a valid key was refused");
            Ok((status == StatusCode::OK).then_some(()))
        })
        .await?;
        assert_eq!(status(&client, gateway, &revoked).await?, StatusCode::UNAUTHORIZED);
    }
    revoke(&client, &fresh).await?;
    wait::until("quotas are exact again", async || {
        let free = client.project("free").await?;
        Ok((use_up_quota(&client, &free).await? == FREE_LIMIT).then_some(()))
    })
    .await?;

    // The former master wakes up and becomes a replica; nobody uses its outdated data.
    cluster.signal(frozen, Signal::CONT)?;
    let late = create_project(&client).await?;
    fill_key_caches(&client, &late).await?;
    revoke(&client, &late).await?;
    Ok(())
}
