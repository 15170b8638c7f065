//! Redis as a cluster of servers. What may never happen: a good key is called wrong, or a revoked one works, because the
//! server that held it is gone; an hour grants more requests than its plan.

use e2e::own::cluster::RedisCluster;
use e2e::{Client, Installation, Project, Result, client, wait};
use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::json;

const FREE_LIMIT: usize = 100;

fn batch(project: &Project) -> String {
    json!({"projectId": project.project_id, "metricId": "tried", "value": 1}).to_string()
}

async fn status(client: &Client, gateway: usize, project: &Project) -> Result<StatusCode> {
    Ok(client.send(gateway, &project.api_key, batch(project)).await?.status())
}

/// Sends to two gateways by turns until one refuses; tells how many were accepted.
async fn use_up(client: &Client, project: &Project) -> Result<usize> {
    for accepted in 0..=FREE_LIMIT {
        match status(client, accepted % 2, project).await? {
            StatusCode::OK => {}
            StatusCode::TOO_MANY_REQUESTS => return Ok(accepted),
            other => return Err(format!("{other} came after {accepted} requests").into()),
        }
    }
    Ok(FREE_LIMIT + 1)
}

/// The plan's requests pass, of a project that has not sent yet; once more, should the clock hour turn meanwhile.
async fn is_counted_exactly(client: &Client) -> Result<()> {
    let mut accepted = use_up(client, &client.project("free").await?).await?;
    if accepted > FREE_LIMIT {
        accepted = use_up(client, &client.project("free").await?).await?;
    }
    assert_eq!(accepted, FREE_LIMIT);
    Ok(())
}

/// Both gateways keep the key in memory: one of many answers of Redis's, during which nothing changed, is kept.
async fn is_known(client: &Client, project: &Project) -> Result<()> {
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

#[tokio::test(flavor = "multi_thread")]
async fn keys_quotas_and_claims_live_in_a_cluster_and_outlive_the_node_that_held_the_keys() -> Result<()> {
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

    // Counted exactly, wherever a project's hour is; so many projects are on more than one node.
    for _ in 0..8 {
        is_counted_exactly(&client).await?;
    }
    let again = json!({"projectId": unlimited.project_id, "metricId": "once", "value": 1}).to_string();
    for (gateway, replayed) in [(0, false), (1, true)] {
        let answer = client.send_once(gateway, &unlimited.api_key, "same", again.clone()).await?;
        assert_eq!(answer.headers().contains_key("idempotent-replayed"), replayed);
        client::expect(answer, StatusCode::OK).await?;
    }
    let spread = cluster.sizes().await?;
    assert!(spread.iter().filter(|&&keys| keys > 0).count() > 1, "{spread:?}");
    let said = installation.commanded(&["rebuild", "redis"]).await?;
    assert!(said.contains("Redis is filled"), "{said}");
    wait::until("keys are looked up again", async || {
        let both = [status(&client, 0, &unlimited).await?, status(&client, 1, &unlimited).await?];
        Ok((both == [StatusCode::OK; 2]).then_some(()))
    })
    .await?;

    // The node with all that the control log says falls silent, and hangs up on nobody; its replica takes over. Keys that
    // are known go on meanwhile.
    is_known(&client, &unlimited).await?;
    let control = format!("{{tidemark-{}}}", installation.namespace);
    let first = cluster.holder(0, &control).await?;
    let witness = (first + 1) % 3;
    cluster.signal(first, Signal::STOP)?;
    wait::until("the replica has taken over", async || {
        for gateway in 0..2 {
            assert_eq!(
                status(&client, gateway, &unlimited).await?,
                StatusCode::OK,
                "a known key was refused"
            );
        }
        Ok((cluster.holder(witness, &control).await? != first).then_some(()))
    })
    .await?;
    let fresh =
        wait::until("a project can be made", async || Ok(client.project("unlimited").await.ok())).await?;
    for gateway in 0..2 {
        wait::until("its key works", async || {
            let status = status(&client, gateway, &fresh).await?;
            assert_ne!(status, StatusCode::UNAUTHORIZED, "a good key was called wrong");
            Ok((status == StatusCode::OK).then_some(()))
        })
        .await?;
        assert_eq!(status(&client, gateway, &revoked).await?, StatusCode::UNAUTHORIZED);
    }
    revoke(&client, &fresh).await?;
    wait::until("hours are counted exactly again", async || {
        let free = client.project("free").await?;
        Ok((use_up(&client, &free).await? == FREE_LIMIT).then_some(()))
    })
    .await?;

    // It wakes up as a replica that nobody is led astray by.
    cluster.signal(first, Signal::CONT)?;
    let late =
        wait::until("a project can be made", async || Ok(client.project("unlimited").await.ok())).await?;
    is_known(&client, &late).await?;
    revoke(&client, &late).await?;
    Ok(())
}
