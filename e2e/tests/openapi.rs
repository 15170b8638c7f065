//! The OpenAPI document is true: requests that Schemathesis makes from it, right ones and wrong ones, are answered as it
//! says, by both services.

use e2e::installation::OPERATOR_TOKEN;
use e2e::{Installation, Result, client};
use reqwest::StatusCode;
use serde_json::json;
use std::path::Path;
use std::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn requests_made_from_the_document_are_answered_as_it_says() -> Result<()> {
    let program = std::env::var("SCHEMATHESIS").map_err(
        |_| "SCHEMATHESIS is not set: run this test with `deploy/local/test -p e2e --test openapi`",
    )?;
    let installation = Installation::start("openapi", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let metric = json!({"projectId": project.project_id, "metricId": "daily_signups", "value": 1});
    client::expect(client.send(0, &project.api_key, metric.to_string()).await?, StatusCode::OK).await?;

    let document = reqwest::get(format!("{}/api/v1/openapi.json", client.query_url())).await?;
    let path = installation.directory.join("openapi.json");
    std::fs::write(&path, document.bytes().await?)?;
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemathesis.toml");
    let webhook = client.webhook(0);
    let gateway = webhook.strip_suffix("/api/webhooks/custom").ok_or("an unknown path")?;
    for (url, which) in [(client.query_url(), "--exclude-path"), (gateway, "--include-path")] {
        let mut command = Command::new(&program);
        command.arg("--config-file").arg(&settings).arg("run").arg(&path).args(["--url", url]);
        command.args([which, "/api/webhooks/custom"]).current_dir(&installation.directory);
        command.env("OPERATOR_TOKEN", OPERATOR_TOKEN).env("METRIC_ID", "daily_signups");
        command.env("MANAGE_KEY", &project.manage_key).env("INGEST_KEY", &project.api_key);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let said = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
        // What went wrong stands behind a list of all that was tried.
        let wrong = said.find("= FAILURES").or(said.find("= ERRORS")).map_or(&said[..], |at| &said[at..]);
        assert!(output.status.success() && said.contains("Tested:"), "{wrong}");
    }
    Ok(())
}
