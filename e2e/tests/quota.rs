//! What may never happen: an hour sees one request more than the plan allows; two requests are told the same number of
//! remaining ones; somebody is refused while something is left.

use e2e::{Client, Installation, Project, Result, client, wait};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const LIMIT: u64 = 100;
const GATEWAYS: usize = 3;
const CLIENTS: usize = 64;
const REQUESTS: usize = 5;

struct Answer {
    status: StatusCode,
    limit: u64,
    remaining: u64,
    reset: u64,
}

fn number(response: &Response, name: &str) -> Result<u64> {
    let value =
        response.headers().get(name).ok_or_else(|| format!("{} without {name}", response.status()))?;
    Ok(value.to_str()?.parse().map_err(|_| format!("{name}: {value:?} is no number of what is left"))?)
}

async fn send(client: &Client, gateway: usize, project: &Project) -> Result<Answer> {
    let body = json!({"projectId": project.project_id, "metricId": "raced", "value": 1}).to_string();
    let response = client.send(gateway, &project.api_key, body).await?;
    let answer = Answer {
        status: response.status(),
        limit: number(&response, "x-ratelimit-limit")?,
        remaining: number(&response, "x-ratelimit-remaining")?,
        reset: number(&response, "x-ratelimit-reset")?,
    };
    if answer.status == StatusCode::TOO_MANY_REQUESTS {
        let retry_after = number(&response, "retry-after")?;
        let body: Value = response.json().await?;
        assert_eq!((&body["error"], &body["retryAfter"]), (&json!("quota_exceeded"), &json!(retry_after)));
        assert!((1..=3600).contains(&retry_after), "{retry_after} s until the hour ends");
        assert_eq!(answer.remaining, 0);
    }
    Ok(answer)
}

/// All the answers to clients that race on a fresh project, over all gateways.
async fn race(client: &Client) -> Result<Vec<Answer>> {
    let project = client.project("free").await?;
    let mut clients = tokio::task::JoinSet::new();
    for index in 0..CLIENTS {
        let (client, project) = (client.clone(), project.clone());
        clients.spawn(async move {
            let mut answers = Vec::new();
            for request in 0..REQUESTS {
                answers.push(send(&client, index + request, &project).await?);
            }
            Ok::<_, e2e::Error>(answers)
        });
    }
    let answers: Result<Vec<Vec<Answer>>> = clients.join_all().await.into_iter().collect();
    Ok(answers?.into_iter().flatten().collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_race_let_exactly_the_hours_requests_through() -> Result<()> {
    let installation = Installation::start("quota", GATEWAYS, 1).await?;
    let client = installation.client();
    let answers = loop {
        let answers = race(&client).await?;
        let hours: BTreeSet<u64> = answers.iter().map(|answer| answer.reset).collect();
        // Where the hour turned in the middle, two of them were used.
        if hours.len() == 1 {
            assert!(hours.iter().all(|reset| reset % 3600 == 0), "{hours:?}");
            break answers;
        }
    };
    assert!(answers.iter().all(|answer| answer.limit == LIMIT));
    let (passed, refused): (Vec<&Answer>, Vec<&Answer>) =
        answers.iter().partition(|answer| answer.status == StatusCode::OK);
    assert_eq!(passed.len() as u64, LIMIT);
    assert!(refused.iter().all(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS));
    let left: BTreeSet<u64> = passed.iter().map(|answer| answer.remaining).collect();
    assert!(left.into_iter().eq(0..LIMIT), "each number of remaining requests is told once");
    Ok(())
}

/// What a round of clients heard while one gateway was killed in its middle.
async fn round_with_a_kill(
    installation: &mut Installation,
    project: &Project,
    victim: usize,
) -> Result<Vec<Answer>> {
    const ROUND_CLIENTS: usize = 16;
    const KILL_AFTER: usize = 30;
    let client = installation.client();
    let heard = Arc::new(AtomicUsize::new(0));
    let mut clients = tokio::task::JoinSet::new();
    for index in 0..ROUND_CLIENTS {
        let (client, project, heard) = (client.clone(), project.clone(), heard.clone());
        clients.spawn(async move {
            let mut answers = Vec::new();
            for request in 0..3 * REQUESTS {
                // A gateway that is gone answers nobody; whether it had counted is unknown.
                if let Ok(answer) = send(&client, index + request, &project).await {
                    answers.push(answer);
                }
                heard.fetch_add(1, Ordering::Relaxed);
            }
            answers
        });
    }
    wait::until("the round is under way", async || {
        Ok((heard.load(Ordering::Relaxed) >= KILL_AFTER).then_some(()))
    })
    .await?;
    installation.gateways[victim].kill()?;
    let answers = clients.join_all().await.into_iter().flatten().collect();
    installation.gateways[victim].restart()?;
    installation.gateways[victim].ready().await?;
    Ok(answers)
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_are_killed_let_no_request_through_that_is_over_the_limit() -> Result<()> {
    const PRO_LIMIT: usize = 1000;
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
        // Where the hour turned in the middle, two of them were used.
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
    let told: BTreeSet<&u64> = passed.iter().collect();
    assert_eq!(told.len(), passed.len(), "a number of remaining requests is told once");
    // Not only what was answered: what a killed gateway had handed to Kafka was counted too.
    let series = "/api/v1/metrics/raced/timeseries?interval=day&aggregation=count";
    let stored = wait::until("what was acknowledged can be read", async || {
        let series = client.read(series, &project.manage_key).await?;
        let points = series["points"].as_array().map(Vec::as_slice).unwrap_or_default();
        let stored: u64 = points.iter().filter_map(|point| point["count"].as_u64()).sum();
        Ok((stored >= passed.len() as u64).then_some(stored))
    })
    .await?;
    assert!(stored <= PRO_LIMIT as u64, "{stored} requests were stored");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_without_a_limit_hears_nothing_of_it() -> Result<()> {
    let installation = Installation::start("no_quota", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let body = json!({"projectId": project.project_id, "metricId": "free", "value": 1}).to_string();
    let response = client.send(0, &project.api_key, body).await?;
    assert!(!response.headers().keys().any(|name| name.as_str().starts_with("x-ratelimit")));
    client::expect(response, StatusCode::OK).await?;
    Ok(())
}
