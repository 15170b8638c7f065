//! The clients in `examples/`, run as `examples/README.md` says.

use crate::support::{batch, repository};
use e2e::client::{expect, text};
use e2e::{Client, Installation, Project, Result, wait};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::process::{Command, Output};

const WRONG_KEY: &str = "tm_wrong";

/// Runs a client with an API key; returns its output once it has exited.
async fn run(example: &str, arguments: &[&str], project: &Project, key: &str) -> Result<Output> {
    let mut command = Command::new(repository().join("examples").join(example));
    command.args(arguments).envs([
        ("TIDEMARK_URL", project.webhook_url.as_str()),
        ("TIDEMARK_API_KEY", key),
        ("TIDEMARK_PROJECT_ID", project.project_id.as_str()),
    ]);
    Ok(tokio::task::spawn_blocking(move || command.output()).await??)
}

/// Sends one metric under its own id, and one with a wrong key, which the server refuses with `refusal`.
async fn check(example: &str, client: &Client, project: &Project, refusal: &str) -> Result<()> {
    let id = example.replace('.', "_");
    let output = run(example, &[&id, "1.5", "Daily Signups", "count"], project, &project.api_key).await?;
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{example}: {text}");
    assert!(!text.contains(&project.api_key), "{example} printed the key");
    wait::until(&format!("the metric of {example} is stored"), async || {
        let page = client.get(&format!("/api/v1/metrics/{id}/points?limit=1"), &project.manage_key).await?;
        let page: Value = page.json().await?;
        Ok((page["items"][0]["value"] == json!(1.5)).then_some(()))
    })
    .await?;
    let metric = client.get_json(&format!("/api/v1/metrics/{id}"), &project.manage_key).await?;
    assert_eq!((&metric["metricName"], &metric["unit"]), (&json!("Daily Signups"), &json!("count")));

    let output = run(example, &[&id, "1"], project, WRONG_KEY).await?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{example}: {stderr}");
    assert!(stderr.contains(refusal), "{example} does not print the server's message: {stderr}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_send_metrics_and_report_refusals() -> Result<()> {
    let installation = Installation::start("examples", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let refused = client.send(0, WRONG_KEY, batch(&project, "m", 1)).await?;
    let refusal = text(&expect(refused, StatusCode::UNAUTHORIZED).await?, "message")?;
    tokio::try_join!(
        check("send.sh", &client, &project, &refusal),
        check("send.mjs", &client, &project, &refusal),
        check("send.py", &client, &project, &refusal),
    )?;
    Ok(())
}
