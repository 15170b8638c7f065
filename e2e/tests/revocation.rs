//! What may never happen: a gateway that has refused a revoked key accepts it again; a gateway never comes to refuse it; a
//! key that was ours is called unknown.

use e2e::{Client, Installation, Project, Result, client};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::timeout;

const GATEWAYS: usize = 3;
const CLIENTS: usize = 2 * GATEWAYS;
const ROUNDS: usize = 100;
/// So many times each client asks again after it was refused.
const AFTER: usize = 5;
/// So long a round may take before a gateway counts as one that never refuses.
const PATIENCE: Duration = Duration::from_secs(120);

/// What one request heard.
#[derive(Debug, Clone, Copy)]
struct Heard {
    gateway: usize,
    begun: Instant,
    ended: Instant,
    accepted: bool,
}

/// What the clients of a round have heard so far.
type Log = Arc<Mutex<Vec<Heard>>>;

async fn one(client: &Client, gateway: usize, key: &str, body: &str) -> Result<Heard> {
    let begun = Instant::now();
    let answer = client.send(gateway, key, body.to_owned()).await?;
    let status = answer.status();
    let answer: Value = serde_json::from_str(&answer.text().await?)?;
    let ended = Instant::now();
    let refused = status == StatusCode::UNAUTHORIZED && answer["error"] == "revoked_key";
    if status != StatusCode::OK && !refused {
        return Err(format!("neither accepted nor refused as revoked: {status} {answer}").into());
    }
    Ok(Heard { gateway, begun, ended, accepted: !refused })
}

/// Sends without a pause until the gateway refuses, and some times more.
async fn load(client: Client, gateway: usize, key: String, body: String, log: Log) -> Result<()> {
    let mut refusals = 0;
    while refusals <= AFTER {
        let heard = one(&client, gateway, &key, &body).await?;
        refusals += usize::from(!heard.accepted);
        log.lock().unwrap_or_else(PoisonError::into_inner).push(heard);
    }
    Ok(())
}

/// Makes a connection, puts its key under load at every gateway, ends it, and tells how long after the answer the last
/// accepted request was answered that had begun after it.
async fn round(client: &Client, project: &Project, rotate: bool) -> Result<Duration> {
    let made = client.post("/api/v1/connections", &project.manage_key, &json!({"name": "Short"})).await?;
    let made = client::expect(made, StatusCode::CREATED).await?;
    let (id, key) = (client::text(&made, "connectionId")?, client::text(&made, "apiKey")?);
    let body = json!({"projectId": project.project_id, "metricId": "under_load", "value": 1}).to_string();
    let log = Log::default();
    let mut clients = JoinSet::new();
    for index in 0..CLIENTS {
        clients.spawn(load(client.clone(), index % GATEWAYS, key.clone(), body.clone(), log.clone()));
    }
    let heard = || log.lock().unwrap_or_else(PoisonError::into_inner).clone();
    e2e::wait::until("every gateway knows the key", async || {
        let known: BTreeSet<usize> = heard().iter().map(|heard| heard.gateway).collect();
        Ok((known.len() == GATEWAYS).then_some(()))
    })
    .await?;

    let (call, body, expected) = match rotate {
        true => ("rotate", json!({"graceSeconds": 0}), StatusCode::OK),
        false => ("revoke", json!({}), StatusCode::NO_CONTENT),
    };
    let path = format!("/api/v1/connections/{id}/{call}");
    let answer = client.post(&path, &project.manage_key, &body).await?;
    assert_eq!(answer.status(), expected, "{call}: {}", answer.text().await?);
    let ended = Instant::now();
    let results = timeout(PATIENCE, clients.join_all()).await;
    results.map_err(|_| "a gateway never came to refuse the key")?.into_iter().collect::<Result<()>>()?;

    let heard = heard();
    for gateway in 0..GATEWAYS {
        let own = || heard.iter().filter(|heard| heard.gateway == gateway);
        let first_refusal = own().filter(|heard| !heard.accepted).map(|heard| heard.ended).min();
        let first_refusal = first_refusal.ok_or("a gateway never refused")?;
        let late = own().find(|heard| heard.accepted && heard.begun > first_refusal);
        assert!(late.is_none(), "gateway {gateway} accepted a key that it had refused: {late:?}");
    }
    let late = heard.iter().filter(|heard| heard.accepted && heard.begun >= ended);
    Ok(late.map(|heard| heard.ended - ended).max().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_ended_under_load_is_refused_by_every_gateway_and_never_accepted_again() -> Result<()>
{
    let installation = Installation::start("revocation", GATEWAYS, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    for rotate in [false, true] {
        let mut delays = Vec::new();
        for _ in 0..ROUNDS / 2 {
            delays.push(round(&client, &project, rotate).await?);
        }
        delays.sort();
        println!(
            "{}: a request begun after the answer was accepted for {:?} (median), {:?} (longest) of {} rounds",
            if rotate { "rotate" } else { "revoke" },
            delays[delays.len() / 2],
            delays[delays.len() - 1],
            delays.len()
        );
    }
    Ok(())
}
