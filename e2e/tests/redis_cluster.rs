//! Redis as a cluster of servers. What may never happen: a good key is called wrong, or a revoked one works, because the
//! server that held it is gone; an hour grants more requests than its plan.

use e2e::own::cluster::RedisCluster;
use e2e::{Client, Installation, Project, Result, client, wait};
use reqwest::StatusCode;
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

async fn revoke(client: &Client, project: &Project) -> Result<()> {
    let connections = client.read("/api/v1/connections", &project.manage_key).await?;
    let id = client::text(&connections["items"][0], "connectionId")?;
    let path = format!("/api/v1/connections/{id}/revoke");
    let answer = client.post(&path, &project.manage_key, &json!({})).await?;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    for gateway in 0..2 {
        wait::until("the revoked key is refused", async || {
            let answer = client.send(gateway, &project.api_key, batch(project)).await?;
            Ok((answer.status() == StatusCode::UNAUTHORIZED).then_some(()))
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_quotas_and_claims_live_in_a_cluster_and_outlive_the_node_that_held_the_keys() -> Result<()> {
    let mut cluster = RedisCluster::start().await?;
    let url = cluster.url();
    let installation = Installation::start_with("cluster", 2, 1, &[("REDIS_URL", &url)]).await?;
    let client = installation.client();
    let unlimited = client.project("unlimited").await?;
    let revoked = client.project("unlimited").await?;
    for gateway in 0..2 {
        assert_eq!(status(&client, gateway, &unlimited).await?, StatusCode::OK);
        assert_eq!(status(&client, gateway, &revoked).await?, StatusCode::OK);
    }
    revoke(&client, &revoked).await?;

    // Counted exactly, wherever a project's hour is; so many projects are on more than one node.
    for _ in 0..4 {
        let free = client.project("free").await?;
        let accepted = use_up(&client, &free).await?;
        // The clock hour may turn meanwhile, once.
        let accepted = if accepted > FREE_LIMIT { use_up(&client, &free).await? } else { accepted };
        assert_eq!(accepted, FREE_LIMIT);
    }
    let again = json!({"projectId": unlimited.project_id, "metricId": "once", "value": 1}).to_string();
    for (gateway, replayed) in [(0, false), (1, true)] {
        let answer = client.send_once(gateway, &unlimited.api_key, "same", again.clone()).await?;
        assert_eq!(answer.headers().contains_key("idempotent-replayed"), replayed);
        client::expect(answer, StatusCode::OK).await?;
    }
    let spread = cluster.sizes().await;
    assert!(spread.iter().flatten().filter(|&&keys| keys > 0).count() > 2, "{spread:?}");
    let said = installation.commanded(&["rebuild", "redis"]).await?;
    assert!(said.contains("Redis is filled"), "{said}");
    wait::until("keys are looked up again", async || {
        let both = [status(&client, 0, &unlimited).await?, status(&client, 1, &unlimited).await?];
        Ok((both == [StatusCode::OK; 2]).then_some(()))
    })
    .await?;

    // The node with all that the control log says dies; its replica takes over. Keys that are known go on meanwhile.
    let control = format!("{{tidemark-{}}}", installation.namespace);
    let first = cluster.holder(0, &control).await?;
    let witness = (first + 1) % 3;
    cluster.kill(first)?;
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
    Ok(())
}
