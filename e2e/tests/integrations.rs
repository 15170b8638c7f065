//! The guides of `docs/integrations`: what they tell to send is sent, byte for byte, and arrives.

use e2e::{Client, Installation, Project, Result, wait};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn file(path: &str) -> Result<String> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    Ok(std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?)
}

/// What a request file's names stand for.
fn names(client: &Client, project: &Project) -> Result<Vec<(&'static str, String)>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let host = |url: &str| url.trim_start_matches("http://").split('/').next().unwrap_or_default().to_owned();
    Ok(vec![
        ("{{HOST}}", host(&project.webhook_url)),
        ("{{QUERY_HOST}}", host(client.query_url())),
        ("{{API_KEY}}", project.api_key.clone()),
        ("{{READ_KEY}}", project.manage_key.clone()),
        ("{{PROJECT_ID}}", project.project_id.clone()),
        ("{{NOW}}", now.to_string()),
        ("{{HOUR_AGO}}", (now - 3600).to_string()),
    ])
}

/// Sends a request file to `host`; gives the answer's status line and the last line of its body.
async fn replay(path: &str, host: &str, names: &[(&'static str, String)]) -> Result<(String, String)> {
    let text = names.iter().fold(file(path)?, |text, (name, value)| text.replace(name, value));
    let (head, body) = text.split_once("\n\n").ok_or("a request has a head and a body")?;
    let body = body.trim_end();
    let head = head.replace("{{LENGTH}}", &body.len().to_string()).replace('\n', "\r\n");
    assert!(!head.contains("{{") && !body.contains("{{"), "{path}: a name that stands for nothing");
    let mut stream = TcpStream::connect(host).await?;
    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let first = answer.lines().next().unwrap_or_default().to_owned();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    Ok((first, body.to_owned()))
}

/// Waits until the newest point of a metric has this value.
async fn arrives(client: &Client, project: &Project, metric: &str, value: f64) -> Result<()> {
    wait::until(&format!("{metric} is {value}"), async || {
        let path = format!("/api/v1/metrics/{metric}/points?limit=1");
        let page: Value = client.get(&path, &project.manage_key).await?.json().await?;
        Ok((page["items"][0]["value"] == json!(value)).then_some(()))
    })
    .await
}

/// The text of the first fence of this language on a page.
fn fence<'a>(page: &'a str, language: &str) -> Result<&'a str> {
    let (_, rest) = page.split_once(&format!("```{language}\n")).ok_or("the page has no such fence")?;
    Ok(rest.split_once("\n```").ok_or("the fence does not end")?.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_guides_for_platforms_show_is_taken() -> Result<()> {
    let installation = Installation::start("platforms", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let names = names(&client, &project)?;
    for (platform, metric, value) in [("zapier", "zapier_orders", 49.9), ("make", "make_new_leads", 3.0)] {
        let request = format!("examples/requests/{platform}.http");
        // The guide shows the body that is replayed.
        let guide = file(&format!("docs/integrations/{platform}.md"))?;
        assert!(
            file(&request)?.contains(fence(&guide, "json")?),
            "{platform}: another body than the guide's"
        );
        let (status, body) = replay(&request, &names[0].1, &names).await?;
        assert!(status.contains(" 200 ") && body.contains(r#""accepted":1"#), "{platform}: {status} {body}");
        arrives(&client, &project, metric, value).await?;
    }
    let (status, body) = replay("examples/requests/grafana.http", &names[1].1, &names).await?;
    assert!(status.contains(" 200 "), "grafana: {status} {body}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workflow_for_n8n_describes_a_request_that_is_taken() -> Result<()> {
    let installation = Installation::start("n8n", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let workflow: Value = serde_json::from_str(&file("examples/n8n-workflow.json")?)?;
    let nodes = workflow["nodes"].as_array().ok_or("nodes")?;
    let node = nodes.iter().find(|node| node["type"] == "n8n-nodes-base.httpRequest").ok_or("a request")?;
    let parameters = &node["parameters"];
    assert_eq!(parameters["method"], "POST");
    assert!(parameters["url"].as_str().is_some_and(|url| url.ends_with("/api/webhooks/custom")));
    assert_eq!(parameters["genericAuthType"], "httpHeaderAuth");
    let header = &parameters["headerParameters"]["parameters"][0];
    assert_eq!(header["name"], "Idempotency-Key");
    assert!(node["retryOnFail"] == true && node["name"].is_string());
    assert_eq!(workflow["connections"]["Every hour"]["main"][0][0]["node"], node["name"]);
    let body = parameters["jsonBody"].as_str().ok_or("a body")?.replace("prj_…", &project.project_id);
    for _ in 0..2 {
        let answer = client.send_once(0, &project.api_key, "workflow-execution", body.clone()).await?;
        assert_eq!(answer.status(), 200);
    }
    arrives(&client, &project, "n8n_runs", 1.0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_step_for_github_and_the_line_for_cron_send_what_arrives() -> Result<()> {
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
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains(&project.api_key), "{said}");
        Ok(())
    };
    let workflow = file("examples/github-actions.yml")?;
    let (_, script) = workflow.split_once("run: |\n").ok_or("a script")?;
    run("bash", script)?;
    arrives(&client, &project, "builds", 1.0).await?;
    arrives(&client, &project, "failed_builds", 1.0).await?;

    let page = file("docs/integrations/cron.md")?;
    let line = fence(&page, "crontab")?.replace(r"\%", "%");
    // Five fields of time, and the file with the settings, which are in the environment here.
    let command = line.split_once("; ").ok_or("a command after the settings")?.1;
    run("sh", command)?;
    wait::until("disk_used arrives", async || {
        let metric = client.get("/api/v1/metrics/disk_used", &project.manage_key).await?;
        let metric: Value = metric.json().await?;
        Ok((metric["unit"] == "bytes" && metric["lastValue"].as_f64() > Some(0.0)).then_some(()))
    })
    .await
}
