//! The operator's command line, as an operator uses it: from a new project to its end.

use e2e::installation::OPERATOR_TOKEN;
use e2e::{Installation, Result, client, process, wait};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::process::{Command, Output};

/// A shell with an operator's settings.
struct Shell {
    url: String,
    token: String,
}

impl Shell {
    fn run(&self, line: &[&str]) -> Result<Output> {
        Ok(Command::new(process::binary("tidemarkctl")?)
            .args(line)
            .env("QUERY_URL", &self.url)
            .env("TIDEMARK_TOKEN", &self.token)
            .env("OPERATOR_TOKEN", OPERATOR_TOKEN)
            .output()?)
    }

    /// What a command that must work prints.
    fn text(&self, line: &[&str]) -> Result<String> {
        let output = self.run(line)?;
        if !output.status.success() {
            return Err(format!("{line:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The same, of the API's answer.
    fn json(&self, line: &[&str]) -> Result<Value> {
        Ok(serde_json::from_str(&self.text(&[line, &["--json"]].concat())?)?)
    }

    /// How a command that is refused ends, and what it says.
    fn refused(&self, line: &[&str]) -> Result<(Option<i32>, String)> {
        let output = self.run(line)?;
        Ok((output.status.code(), String::from_utf8(output.stderr)?))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_manages_a_project_from_its_making_to_its_end() -> Result<()> {
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
    wait::until("the plan acts", async || {
        Ok((!send(&first).await?.headers().contains_key("x-ratelimit-limit")).then_some(()))
    })
    .await?;

    shell.text(&["connection", "rename", &id, "Cron"])?;
    let listed = shell.text(&["connection", "list"])?;
    assert!(listed.contains(&id) && listed.contains("Cron") && listed.contains("active"), "{listed}");
    assert!(!listed.contains(&first), "a key is shown once");
    let second = client::text(&shell.json(&["connection", "rotate", &id, "--grace", "10m"])?, "apiKey")?;
    for key in [&first, &second] {
        client::expect(send(key).await?, StatusCode::OK).await?;
    }
    shell.text(&["connection", "revoke", &id])?;
    for key in [&first, &second] {
        wait::until("the key is refused", async || {
            let answer = send(key).await?;
            Ok((answer.status() == StatusCode::UNAUTHORIZED).then_some(answer))
        })
        .await?;
    }
    assert!(shell.text(&["connection", "show", &id])?.contains("revoked"));

    let key = shell.json(&["key", "create", "Reports", "--scope", "read"])?;
    let key_id = client::text(&key, "keyId")?;
    assert!(shell.text(&["key", "list"])?.contains("Reports"));
    let reader = Shell { url: shell.url.clone(), token: client::text(&key, "key")? };
    let (code, said) = reader.refused(&["connection", "create", "No"])?;
    assert!(code == Some(1) && said.contains("insufficient_scope") && said.contains("manage"), "{said}");
    shell.text(&["key", "delete", &key_id])?;

    let (code, said) = shell.refused(&["connection", "show", "con_nothing"])?;
    assert!(code == Some(1) && said.contains("not_found") && said.contains("request "), "{said}");
    let (code, said) = shell.refused(&["project", "create", "Shop", "--plan", "nothing"])?;
    assert!(code == Some(1) && said.contains("plan"), "{said}");
    assert_eq!(shell.refused(&["connection", "delete", &id])?.0, Some(2), "only with --yes");
    shell.text(&["connection", "delete", &id, "--yes"])?;
    assert!(!shell.text(&["connection", "list"])?.contains(&id));

    shell.text(&["project", "delete", &project_id, "--yes"])?;
    wait::until("the project's key is refused", async || {
        let (code, said) = shell.refused(&["connection", "list"])?;
        Ok((code == Some(1) && said.contains("revoked_key")).then_some(()))
    })
    .await
}
