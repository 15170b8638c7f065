//! The guides in `docs/integrations`: the requests, scripts and workflows that they show are run, and their
//! metrics are stored.

use crate::support::repository;
use e2e::{Client, Installation, Project, Result, wait};
use serde_json::{Value, json};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Reads a file by its path in the repository.
fn file(path: &str) -> Result<String> {
    Ok(std::fs::read_to_string(repository().join(path)).map_err(|error| format!("{path}: {error}"))?)
}

/// Values of the placeholders in request files.
struct Placeholders {
    gateway_host: String,
    query_host: String,
    values: Vec<(&'static str, String)>,
}

impl Placeholders {
    fn new(client: &Client, project: &Project) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let host =
            |url: &str| url.trim_start_matches("http://").split('/').next().unwrap_or_default().to_owned();
        let (gateway_host, query_host) = (host(&project.webhook_url), host(client.query_url()));
        let values = vec![
            ("{{HOST}}", gateway_host.clone()),
            ("{{QUERY_HOST}}", query_host.clone()),
            ("{{API_KEY}}", project.api_key.clone()),
            ("{{READ_KEY}}", project.manage_key.clone()),
            ("{{PROJECT_ID}}", project.project_id.clone()),
            ("{{NOW}}", now.to_string()),
            ("{{HOUR_AGO}}", (now - 3600).to_string()),
        ];
        Ok(Self { gateway_host, query_host, values })
    }

    /// Sends a request file to `host`; returns the status line and the body of the response.
    async fn replay(&self, path: &str, host: &str) -> Result<(String, String)> {
        let text = self.values.iter().fold(file(path)?, |text, (name, value)| text.replace(name, value));
        let (head, body) = text.split_once("\n\n").ok_or("no empty line between head and body")?;
        let body = body.trim_end();
        let head = head.replace("{{LENGTH}}", &body.len().to_string()).replace('\n', "\r\n");
        assert!(!head.contains("{{") && !body.contains("{{"), "{path}: unknown placeholder");
        let mut stream = TcpStream::connect(host).await?;
        stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await?;
        let response = String::from_utf8_lossy(&response).into_owned();
        let status = response.lines().next().unwrap_or_default().to_owned();
        let (_, body) = response.split_once("\r\n\r\n").unwrap_or_default();
        Ok((status, body.to_owned()))
    }
}

/// Waits until the newest point of a metric has this value.
async fn wait_for_value(client: &Client, project: &Project, metric: &str, value: f64) -> Result<()> {
    wait::until(&format!("the newest point of {metric} is {value}"), async || {
        let path = format!("/api/v1/metrics/{metric}/points?limit=1");
        let page: Value = client.get(&path, &project.manage_key).await?.json().await?;
        Ok((page["items"][0]["value"] == json!(value)).then_some(()))
    })
    .await
}

/// Returns the first code block of this language on a page.
fn code_block<'a>(page: &'a str, language: &str) -> Result<&'a str> {
    let (_, rest) = page
        .split_once(&format!("```{language}\n"))
        .ok_or_else(|| format!("the page has no code block in {language}"))?;
    Ok(rest.split_once("\n```").ok_or("the code block does not end")?.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_platforms_are_accepted_byte_for_byte() -> Result<()> {
    let installation = Installation::start("platforms", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let placeholders = Placeholders::new(&client, &project)?;
    for (platform, metric, value) in [("zapier", "zapier_orders", 49.9), ("make", "make_new_leads", 3.0)] {
        let request = format!("examples/requests/{platform}.http");
        let guide = file(&format!("docs/integrations/{platform}.md"))?;
        assert!(
            file(&request)?.contains(code_block(&guide, "json")?),
            "{platform}: the guide shows a different body than {request}"
        );
        let (status, body) = placeholders.replay(&request, &placeholders.gateway_host).await?;
        assert!(status.contains(" 200 ") && body.contains(r#""accepted":1"#), "{platform}: {status} {body}");
        wait_for_value(&client, &project, metric, value).await?;
    }
    let (status, body) =
        placeholders.replay("examples/requests/grafana.http", &placeholders.query_host).await?;
    assert!(status.contains(" 200 "), "grafana: {status} {body}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn n8n_workflow_describes_an_accepted_request() -> Result<()> {
    let installation = Installation::start("n8n", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let workflow: Value = serde_json::from_str(&file("examples/n8n-workflow.json")?)?;
    let nodes = workflow["nodes"].as_array().ok_or("the workflow has no nodes")?;
    let node = nodes
        .iter()
        .find(|node| node["type"] == "n8n-nodes-base.httpRequest")
        .ok_or("the workflow has no HTTP request node")?;
    let parameters = &node["parameters"];
    assert_eq!(parameters["method"], "POST");
    assert!(parameters["url"].as_str().is_some_and(|url| url.ends_with("/api/webhooks/custom")));
    assert_eq!(parameters["genericAuthType"], "httpHeaderAuth");
    let header = &parameters["headerParameters"]["parameters"][0];
    assert_eq!(header["name"], "Idempotency-Key");
    assert!(node["retryOnFail"] == true && node["name"].is_string());
    assert_eq!(workflow["connections"]["Every hour"]["main"][0][0]["node"], node["name"]);
    let body = parameters["jsonBody"].as_str().ok_or("the node has no body")?;
    let body = body.replace("prj_…", &project.project_id);
    for _ in 0..2 {
        let response =
            client.send_idempotent(0, &project.api_key, "workflow-execution", body.clone()).await?;
        assert_eq!(response.status(), 200);
    }
    wait_for_value(&client, &project, "n8n_runs", 1.0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn github_step_and_cron_line_send_metrics() -> Result<()> {
    let installation = Installation::start("scripts", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let settings = [
        ("TIDEMARK_URL", project.webhook_url.as_str()),
        ("TIDEMARK_PROJECT_ID", project.project_id.as_str()),
        ("TIDEMARK_API_KEY", project.api_key.as_str()),
        ("FAILED", "1"),
        ("GITHUB_RUN_ID", "4711"),
        ("GITHUB_RUN_ATTEMPT", "1"),
    ];
    let run = |shell: &str, script: &str| -> Result<()> {
        let output = Command::new(shell).args(["-c", script]).envs(settings).output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !stderr.contains(&project.api_key), "{stderr}");
        Ok(())
    };
    let workflow = file("examples/github-actions.yml")?;
    let (_, script) = workflow.split_once("run: |\n").ok_or("the workflow has no script")?;
    run("bash", script)?;
    wait_for_value(&client, &project, "builds", 1.0).await?;
    wait_for_value(&client, &project, "failed_builds", 1.0).await?;

    let page = file("docs/integrations/cron.md")?;
    let line = code_block(&page, "crontab")?.replace(r"\%", "%");
    // The line starts with five time fields and loads a file with the settings, which this test passes in the
    // environment.
    let command = line.split_once("; ").ok_or("no command after the settings")?.1;
    run("sh", command)?;
    wait::until("disk_used is stored", async || {
        let metric = client.get("/api/v1/metrics/disk_used", &project.manage_key).await?;
        let metric: Value = metric.json().await?;
        Ok((metric["unit"] == "bytes" && metric["lastValue"].as_f64() > Some(0.0)).then_some(()))
    })
    .await
}
