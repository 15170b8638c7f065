//! Revocation and rotation of keys under load.
//!
//! Invariants: a gateway that has refused a revoked key never accepts it again; every gateway comes to refuse
//! it; a revoked key is answered `revoked_key`, not `invalid_key`.

use crate::support::batch;
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
/// Number of requests that each client sends after its first refusal.
const REQUESTS_AFTER_REFUSAL: usize = 5;
const ROUND_TIMEOUT: Duration = Duration::from_secs(120);

/// One request and its outcome.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    gateway: usize,
    started: Instant,
    ended: Instant,
    accepted: bool,
}

/// Attempts of all clients of a round so far.
type Attempts = Arc<Mutex<Vec<Attempt>>>;

/// Sends a request, and again while the gateway is too busy to tell: a 503 neither accepts nor refuses the key.
async fn send(client: &Client, gateway: usize, key: &str, body: &str) -> Result<Attempt> {
    loop {
        let started = Instant::now();
        let response = client.send(gateway, key, body.to_owned()).await?;
        let status = response.status();
        let answer: Value = serde_json::from_str(&response.text().await?)?;
        let ended = Instant::now();
        let refused = status == StatusCode::UNAUTHORIZED && answer["error"] == "revoked_key";
        if status == StatusCode::OK || refused {
            return Ok(Attempt { gateway, started, ended, accepted: !refused });
        }
        if status != StatusCode::SERVICE_UNAVAILABLE {
            return Err(format!("expected 200, 503 or revoked_key, got {status}: {answer}").into());
        }
    }
}

/// Sends without a pause until the gateway refuses, and [`REQUESTS_AFTER_REFUSAL`] times more.
async fn load(client: Client, gateway: usize, key: String, body: String, attempts: Attempts) -> Result<()> {
    let mut refusals = 0;
    while refusals <= REQUESTS_AFTER_REFUSAL {
        let attempt = send(&client, gateway, &key, &body).await?;
        refusals += usize::from(!attempt.accepted);
        attempts.lock().unwrap_or_else(PoisonError::into_inner).push(attempt);
    }
    Ok(())
}

/// Measurements of a round.
struct Round {
    /// Number of accepted requests.
    accepted: usize,
    /// From sending the call that revokes the key to the answer of the last accepted request.
    from_call: Duration,
    /// From that call's answer to the answer of the last accepted request that was sent after it.
    from_answer: Duration,
}

/// Creates a connection, puts its key under load at every gateway, and revokes or rotates it.
async fn round(client: &Client, project: &Project, rotate: bool) -> Result<Round> {
    let created = client.post("/api/v1/connections", &project.manage_key, &json!({"name": "Short"})).await?;
    let created = client::expect(created, StatusCode::CREATED).await?;
    let (id, key) = (client::text(&created, "connectionId")?, client::text(&created, "apiKey")?);
    let body = batch(project, "under_load", 1);
    let attempts = Attempts::default();
    let mut clients = JoinSet::new();
    for index in 0..CLIENTS {
        clients.spawn(load(client.clone(), index % GATEWAYS, key.clone(), body.clone(), attempts.clone()));
    }
    let snapshot = || attempts.lock().unwrap_or_else(PoisonError::into_inner).clone();
    e2e::wait::until("every gateway has answered a request with the key", async || {
        let gateways: BTreeSet<usize> = snapshot().iter().map(|attempt| attempt.gateway).collect();
        Ok((gateways.len() == GATEWAYS).then_some(()))
    })
    .await?;

    let (call, body, expected) = match rotate {
        true => ("rotate", json!({"graceSeconds": 0}), StatusCode::OK),
        false => ("revoke", json!({}), StatusCode::NO_CONTENT),
    };
    let path = format!("/api/v1/connections/{id}/{call}");
    let called = Instant::now();
    let response = client.post(&path, &project.manage_key, &body).await?;
    assert_eq!(response.status(), expected, "{call}: {}", response.text().await?);
    let answered = Instant::now();
    let results = timeout(ROUND_TIMEOUT, clients.join_all()).await;
    results.map_err(|_| "a gateway keeps accepting the key")?.into_iter().collect::<Result<()>>()?;

    let attempts = snapshot();
    check_refusal_is_final(&attempts)?;
    let accepted: Vec<&Attempt> = attempts.iter().filter(|attempt| attempt.accepted).collect();
    let late = accepted.iter().filter(|attempt| attempt.started >= answered);
    Ok(Round {
        accepted: accepted.len(),
        from_call: accepted.iter().map(|attempt| attempt.ended - called).max().unwrap_or_default(),
        from_answer: late.map(|attempt| attempt.ended - answered).max().unwrap_or_default(),
    })
}

/// Checks that every gateway refused the key, and accepted no request that was sent after its first refusal.
fn check_refusal_is_final(attempts: &[Attempt]) -> Result<()> {
    for gateway in 0..GATEWAYS {
        let of_gateway = || attempts.iter().filter(|attempt| attempt.gateway == gateway);
        let first_refusal =
            of_gateway().filter(|attempt| !attempt.accepted).map(|attempt| attempt.ended).min();
        let first_refusal =
            first_refusal.ok_or_else(|| format!("gateway {gateway} never refused the key"))?;
        let late = of_gateway().find(|attempt| attempt.accepted && attempt.started > first_refusal);
        assert!(late.is_none(), "gateway {gateway} accepted a key that it had refused: {late:?}");
    }
    Ok(())
}

/// Formats the median and the maximum.
fn spread(times: impl Iterator<Item = Duration>) -> String {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    let last = times.len().saturating_sub(1);
    format!("{:?} (median), {:?} (maximum)", times.get(times.len() / 2), times.get(last))
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_key_under_load_is_refused_by_every_gateway_for_good() -> Result<()> {
    let installation = Installation::start("revocation", GATEWAYS, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    for rotate in [false, true] {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS / 2 {
            rounds.push(round(&client, &project, rotate).await?);
        }
        println!(
            "{}: {} rounds with {} accepted requests; still accepted {} after the call; sent after its answer and \
             accepted for {}",
            if rotate { "rotate" } else { "revoke" },
            rounds.len(),
            rounds.iter().map(|round| round.accepted).sum::<usize>(),
            spread(rounds.iter().map(|round| round.from_call)),
            spread(rounds.iter().map(|round| round.from_answer)),
        );
    }
    Ok(())
}
