//! Hourly quotas over several gateways.
//!
//! Invariants: no hour accepts more requests than the plan allows; no two requests are told the same number of
//! remaining requests; no request is refused while quota is left.

use crate::support::batch;
use e2e::{Client, Installation, Project, Result, client, wait};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const FREE_LIMIT: u64 = 100;
const PRO_LIMIT: usize = 1000;
const GATEWAYS: usize = 3;
const CLIENTS: usize = 64;
const REQUESTS: usize = 5;

struct Answer {
    status: StatusCode,
    limit: u64,
    remaining: u64,
    reset: u64,
}

fn numeric_header(response: &Response, name: &str) -> Result<u64> {
    let value = response
        .headers()
        .get(name)
        .ok_or_else(|| format!("the header {name} is missing from a {}", response.status()))?;
    Ok(value.to_str()?.parse().map_err(|_| format!("{name}: {value:?} is not a number"))?)
}

async fn send_counted(client: &Client, gateway: usize, project: &Project) -> Result<Answer> {
    let response = client.send(gateway, &project.api_key, batch(project, "raced", 1)).await?;
    let answer = Answer {
        status: response.status(),
        limit: numeric_header(&response, "x-ratelimit-limit")?,
        remaining: numeric_header(&response, "x-ratelimit-remaining")?,
        reset: numeric_header(&response, "x-ratelimit-reset")?,
    };
    if answer.status == StatusCode::TOO_MANY_REQUESTS {
        let retry_after = numeric_header(&response, "retry-after")?;
        let body: Value = response.json().await?;
        assert_eq!((&body["error"], &body["retryAfter"]), (&json!("quota_exceeded"), &json!(retry_after)));
        assert!((1..=3600).contains(&retry_after), "{retry_after} s until the hour ends");
        assert_eq!(answer.remaining, 0);
    }
    Ok(answer)
}

/// Sends concurrent requests for a new project through all gateways; returns all answers.
async fn race(client: &Client) -> Result<Vec<Answer>> {
    let project = client.project("free").await?;
    let mut clients = tokio::task::JoinSet::new();
    for index in 0..CLIENTS {
        let (client, project) = (client.clone(), project.clone());
        clients.spawn(async move {
            let mut answers = Vec::new();
            for request in 0..REQUESTS {
                answers.push(send_counted(&client, index + request, &project).await?);
            }
            Ok::<_, e2e::Error>(answers)
        });
    }
    let answers: Result<Vec<Vec<Answer>>> = clients.join_all().await.into_iter().collect();
    Ok(answers?.into_iter().flatten().collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_gateways_grant_exactly_the_hourly_limit() -> Result<()> {
    let installation = Installation::start("quota", GATEWAYS, 1).await?;
    let client = installation.client();
    let answers = loop {
        let answers = race(&client).await?;
        let hours: BTreeSet<u64> = answers.iter().map(|answer| answer.reset).collect();
        // If the clock hour changed meanwhile, the requests were counted in two windows.
        if hours.len() == 1 {
            assert!(hours.iter().all(|reset| reset % 3600 == 0), "{hours:?}");
            break answers;
        }
    };
    assert!(answers.iter().all(|answer| answer.limit == FREE_LIMIT));
    let (passed, refused): (Vec<&Answer>, Vec<&Answer>) =
        answers.iter().partition(|answer| answer.status == StatusCode::OK);
    assert_eq!(passed.len() as u64, FREE_LIMIT);
    assert!(refused.iter().all(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS));
    let remaining: BTreeSet<u64> = passed.iter().map(|answer| answer.remaining).collect();
    assert!(remaining.into_iter().eq(0..FREE_LIMIT), "each remaining count must be told exactly once");
    Ok(())
}

/// Runs concurrent clients and kills one gateway meanwhile; returns all answers.
async fn round_with_a_kill(
    installation: &mut Installation,
    project: &Project,
    victim: usize,
) -> Result<Vec<Answer>> {
    const ROUND_CLIENTS: usize = 16;
    const KILL_AFTER: usize = 30;
    let client = installation.client();
    let finished = Arc::new(AtomicUsize::new(0));
    let mut clients = tokio::task::JoinSet::new();
    for index in 0..ROUND_CLIENTS {
        let (client, project, finished) = (client.clone(), project.clone(), finished.clone());
        clients.spawn(async move {
            let mut answers = Vec::new();
            for request in 0..3 * REQUESTS {
                // A killed gateway answers nothing; whether it counted the request is unknown.
                if let Ok(answer) = send_counted(&client, index + request, &project).await {
                    answers.push(answer);
                }
                finished.fetch_add(1, Ordering::Relaxed);
            }
            answers
        });
    }
    wait::until("the round is in progress", async || {
        Ok((finished.load(Ordering::Relaxed) >= KILL_AFTER).then_some(()))
    })
    .await?;
    installation.gateways[victim].kill()?;
    let answers = clients.join_all().await.into_iter().flatten().collect();
    installation.gateways[victim].restart()?;
    installation.gateways[victim].ready().await?;
    Ok(answers)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_gateways_grant_no_more_than_the_hourly_limit() -> Result<()> {
    let mut installation = Installation::start("killed_quota", GATEWAYS, 1).await?;
    let client = installation.client();
    let (project, passed) = loop {
        let project = client.project("pro").await?;
        let mut answers = Vec::new();
        for victim in (0..GATEWAYS).cycle() {
            let round = round_with_a_kill(&mut installation, &project, victim).await?;
            let used_up = !round.is_empty() && round.iter().all(|answer| answer.status != StatusCode::OK);
            answers.extend(round);
            if used_up {
                break;
            }
        }
        let hours: BTreeSet<u64> = answers.iter().map(|answer| answer.reset).collect();
        // If the clock hour changed meanwhile, the requests were counted in two windows.
        if hours.len() == 1 {
            let passed: Vec<u64> = answers
                .iter()
                .filter(|answer| answer.status == StatusCode::OK)
                .map(|answer| answer.remaining)
                .collect();
            break (project, passed);
        }
    };
    assert!(passed.len() <= PRO_LIMIT, "{} requests passed", passed.len());
    let distinct: BTreeSet<&u64> = passed.iter().collect();
    assert_eq!(distinct.len(), passed.len(), "two requests were told the same remaining count");
    // Requests without an answer count too: a killed gateway may have published them before it could answer.
    let series = "/api/v1/metrics/raced/timeseries?interval=day&aggregation=count";
    let stored = wait::until("all acknowledged requests are stored", async || {
        let series = client.get_json(series, &project.manage_key).await?;
        let points = series["points"].as_array().map(Vec::as_slice).unwrap_or_default();
        let stored: u64 = points.iter().filter_map(|point| point["count"].as_u64()).sum();
        Ok((stored >= passed.len() as u64).then_some(stored))
    })
    .await?;
    assert!(stored <= PRO_LIMIT as u64, "{stored} requests were stored");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn unlimited_plan_sends_no_rate_limit_headers() -> Result<()> {
    let installation = Installation::start("no_quota", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let response = client.send(0, &project.api_key, batch(&project, "free", 1)).await?;
    assert!(!response.headers().keys().any(|name| name.as_str().starts_with("x-ratelimit")));
    client::expect(response, StatusCode::OK).await?;
    Ok(())
}
