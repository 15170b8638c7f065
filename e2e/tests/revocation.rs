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

/// What a round has measured.
struct Round {
    /// How many requests were accepted.
    accepted: usize,
    /// From sending the call that ends the key to the last accepted request's answer.
    from_call: Duration,
    /// From that call's answer to the answer of the last accepted request that was begun after it.
    from_answer: Duration,
}

/// Makes a connection, puts its key under load at every gateway, and ends it.
async fn round(client: &Client, project: &Project, rotate: bool) -> Result<Round> {
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
    let called = Instant::now();
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
    let accepted: Vec<&Heard> = heard.iter().filter(|heard| heard.accepted).collect();
    let late = accepted.iter().filter(|heard| heard.begun >= ended);
    Ok(Round {
        accepted: accepted.len(),
        from_call: accepted.iter().map(|heard| heard.ended - called).max().unwrap_or_default(),
        from_answer: late.map(|heard| heard.ended - ended).max().unwrap_or_default(),
    })
}

/// The median and the longest.
fn spread(times: impl Iterator<Item = Duration>) -> String {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    let last = times.len().saturating_sub(1);
    format!("{:?} (median), {:?} (longest)", times.get(times.len() / 2), times.get(last))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_ended_under_load_is_refused_by_every_gateway_and_never_accepted_again() -> Result<()>
{
    let installation = Installation::start("revocation", GATEWAYS, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    for rotate in [false, true] {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS / 2 {
            rounds.push(round(&client, &project, rotate).await?);
        }
        println!(
            "{}: {} rounds with {} accepted requests; accepted after the call for {}; begun after its answer for {}",
            if rotate { "rotate" } else { "revoke" },
            rounds.len(),
            rounds.iter().map(|round| round.accepted).sum::<usize>(),
            spread(rounds.iter().map(|round| round.from_call)),
            spread(rounds.iter().map(|round| round.from_answer)),
        );
    }
    Ok(())
}
