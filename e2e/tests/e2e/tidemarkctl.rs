//! `tidemarkctl`, as an operator uses it from the creation of a project to its deletion.

use e2e::client::OPERATOR_TOKEN;
use e2e::{Installation, Result, client, process, wait};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::process::{Command, Output};

/// Runs commands with an operator's environment.
struct Shell {
    url: String,
    token: String,
}

impl Shell {
    fn run(&self, arguments: &[&str]) -> Result<Output> {
        Ok(Command::new(process::binary("tidemarkctl")?)
            .args(arguments)
            .env("QUERY_URL", &self.url)
            .env("TIDEMARK_TOKEN", &self.token)
            .env("OPERATOR_TOKEN", OPERATOR_TOKEN)
            .output()?)
    }

    /// Runs a command that must succeed; returns its output.
    fn text(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments)?;
        if !output.status.success() {
            return Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs a command with `--json` that must succeed; returns its output.
    fn json(&self, arguments: &[&str]) -> Result<Value> {
        Ok(serde_json::from_str(&self.text(&[arguments, &["--json"]].concat())?)?)
    }

    /// Runs a command; returns its exit code and its error output.
    fn failure(&self, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        let output = self.run(arguments)?;
        Ok((output.status.code(), String::from_utf8(output.stderr)?))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_manages_a_project_from_creation_to_deletion() -> Result<()> {
    let installation = Installation::start("ctl", 1, 1).await?;
    let client = installation.client();
    let mut shell = Shell { url: client.query_url().to_owned(), token: String::new() };

    let plans = shell.text(&["plan", "list"])?;
    for plan in ["free", "pro", "scale", "unlimited"] {
        assert!(plans.contains(plan), "{plan} is missing in:\n{plans}");
    }
    shell.text(&["plan", "set", "team", "--requests-per-hour", "3", "--alerts"])?;
    assert!(shell.text(&["plan", "list"])?.contains("team"));

    let project = shell.json(&["project", "create", "My Shop", "--plan", "team"])?;
    let project_id = client::text(&project, "projectId")?;
    shell.token = client::text(&project, "manageKey")?;
    assert!(shell.text(&["project", "list"])?.contains(&project_id));
    shell.text(&["project", "rename", &project_id, "Our Shop"])?;
    let shown = shell.text(&["project", "show", &project_id])?;
    assert!(shown.contains("Our Shop") && shown.contains("team") && shown.contains('3'), "{shown}");

    let connection = shell.json(&["connection", "create", "Cron Job Metrics"])?;
    let id = client::text(&connection, "connectionId")?;
    let first = client::text(&connection, "apiKey")?;
    let body = json!({"projectId": project_id, "metricId": "sent", "value": 1}).to_string();
    let send = async |key: &str| client.send(0, key, body.clone()).await;
    client::expect(send(&first).await?, StatusCode::OK).await?;
    shell.text(&["project", "set-plan", &project_id, "unlimited"])?;
    wait::until("the new plan applies", async || {
        Ok((!send(&first).await?.headers().contains_key("x-ratelimit-limit")).then_some(()))
    })
    .await?;

    shell.text(&["connection", "rename", &id, "Cron"])?;
    let listed = shell.text(&["connection", "list"])?;
    assert!(listed.contains(&id) && listed.contains("Cron") && listed.contains("active"), "{listed}");
    assert!(!listed.contains(&first), "a key must be shown only once");
    let second = client::text(&shell.json(&["connection", "rotate", &id, "--grace", "10m"])?, "apiKey")?;
    for key in [&first, &second] {
        client::expect(send(key).await?, StatusCode::OK).await?;
    }
    shell.text(&["connection", "revoke", &id])?;
    for key in [&first, &second] {
        wait::until("the revoked key is refused", async || {
            let response = send(key).await?;
            Ok((response.status() == StatusCode::UNAUTHORIZED).then_some(response))
        })
        .await?;
    }
    assert!(shell.text(&["connection", "show", &id])?.contains("revoked"));

    let key = shell.json(&["key", "create", "Reports", "--scope", "read"])?;
    let key_id = client::text(&key, "keyId")?;
    assert!(shell.text(&["key", "list"])?.contains("Reports"));
    let reader = Shell { url: shell.url.clone(), token: client::text(&key, "key")? };
    let (code, stderr) = reader.failure(&["connection", "create", "No"])?;
    assert!(
        code == Some(1) && stderr.contains("insufficient_scope") && stderr.contains("manage"),
        "{stderr}"
    );
    shell.text(&["key", "delete", &key_id])?;

    let (code, stderr) = shell.failure(&["connection", "show", "con_nothing"])?;
    assert!(code == Some(1) && stderr.contains("not_found") && stderr.contains("request "), "{stderr}");
    let (code, stderr) = shell.failure(&["project", "create", "Shop", "--plan", "nothing"])?;
    assert!(code == Some(1) && stderr.contains("plan"), "{stderr}");
    assert_eq!(shell.failure(&["connection", "delete", &id])?.0, Some(2), "must require --yes");
    shell.text(&["connection", "delete", &id, "--yes"])?;
    assert!(!shell.text(&["connection", "list"])?.contains(&id));

    shell.text(&["project", "delete", &project_id, "--yes"])?;
    wait::until("the project's key is refused", async || {
        let (code, stderr) = shell.failure(&["connection", "list"])?;
        Ok((code == Some(1) && stderr.contains("revoked_key")).then_some(()))
    })
    .await
}
