//! The web page in a real browser on a real pipeline: runs `query-api/web/tests`.

use crate::support::repository;
use e2e::client::OPERATOR_TOKEN;
use e2e::{Installation, Result};
use std::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn page_takes_a_user_from_sign_in_to_dashboard_and_alert() -> Result<()> {
    let web = repository().join("query-api/web");
    assert!(
        web.join("node_modules").exists() && web.join("dist/index.html").exists(),
        "the page is not built: run deploy/local/test, or `npm ci && npm run build` in {}",
        web.display()
    );
    let installation = Installation::start("page", 1, 1).await?;
    let client = installation.client();
    let webhook = client.webhook(0);
    let gateway = webhook.trim_end_matches("/api/webhooks/custom");
    // One file at a time: each starts a browser, and test machines are small.
    let mut tests = Command::new("node");
    tests.args(["--test", "--test-concurrency=1", "tests/"]).current_dir(&web).env_remove("PAGE_URL").envs([
        ("GATEWAY_URL", gateway),
        ("QUERY_URL", client.query_url()),
        ("OPERATOR_TOKEN", OPERATOR_TOKEN),
    ]);
    let output = tokio::task::spawn_blocking(move || tests.output()).await??;
    let stdout = String::from_utf8_lossy(&output.stdout);
    println!("{stdout}");
    assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
