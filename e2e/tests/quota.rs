//! What may never happen: an hour sees one request more than the plan allows; two requests are told the same number of
//! remaining ones; somebody is refused while something is left.

use e2e::{Client, Installation, Project, Result, client};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;

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
