//! The OpenAPI document is true: Schemathesis generates valid and invalid requests from it, and both services
//! answer them as described.

use crate::support::send;
use e2e::client::OPERATOR_TOKEN;
use e2e::{Installation, Result, environment};
use std::path::Path;
use std::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn generated_requests_are_answered_as_the_document_says() -> Result<()> {
    let program = environment::required("SCHEMATHESIS")?;
    let installation = Installation::start("openapi", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    send(&client, &project, "daily_signups", 1).await?;

    let document = reqwest::get(format!("{}/api/v1/openapi.json", client.query_url())).await?;
    let path = installation.directory.join("openapi.json");
    std::fs::write(&path, document.bytes().await?)?;
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemathesis.toml");
    let webhook = client.webhook(0);
    let gateway = webhook.strip_suffix("/api/webhooks/custom").ok_or("unexpected webhook path")?;
    for (url, filter) in [(client.query_url(), "--exclude-path"), (gateway, "--include-path")] {
        let mut command = Command::new(&program);
        command.arg("--config-file").arg(&settings).arg("run").arg(&path).args(["--url", url]);
        command.args([filter, "/api/webhooks/custom"]).current_dir(&installation.directory);
        command.env("OPERATOR_TOKEN", OPERATOR_TOKEN).env("METRIC_ID", "daily_signups");
        command.env("MANAGE_KEY", &project.manage_key).env("INGEST_KEY", &project.api_key);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let text = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
        // The failures follow a list of everything that was tested.
        let failures = text.find("= FAILURES").or(text.find("= ERRORS")).map_or(&text[..], |at| &text[at..]);
        assert!(output.status.success() && text.contains("Tested:"), "{failures}");
    }
    Ok(())
}
