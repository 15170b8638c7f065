//! The page in a real browser on a real pipeline: what `query-api/web/tests` tells.

use e2e::installation::OPERATOR_TOKEN;
use e2e::{Installation, Result};
use std::path::Path;
use std::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn people_come_from_signing_in_to_an_own_dashboard_and_to_an_alert() -> Result<()> {
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../query-api/web");
    assert!(
        web.join("node_modules").exists() && web.join("dist/index.html").exists(),
        "the page is not built: deploy/local/test does it, and `npm ci && npm run build` in {}",
        web.display()
    );
    let installation = Installation::start("page", 1, 1).await?;
    let client = installation.client();
    let webhook = client.webhook(0);
    let gateway = webhook.trim_end_matches("/api/webhooks/custom");
    // One file after the other: each has a browser, and machines that test are small.
    let mut tests = Command::new("node");
    tests.args(["--test", "--test-concurrency=1", "tests/"]).current_dir(&web).env_remove("PAGE_URL").envs([
        ("GATEWAY_URL", gateway),
        ("QUERY_URL", client.query_url()),
        ("OPERATOR_TOKEN", OPERATOR_TOKEN),
    ]);
    let output = tokio::task::spawn_blocking(move || tests.output()).await??;
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
