//! The clients in `examples/`, run as their README says.

use e2e::{Installation, Result, wait};
use serde_json::json;
use std::path::Path;
use std::process::{Command, Output};

fn run(client: &str, arguments: &[&str], settings: &[(&str, &str)]) -> Result<Output> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(client);
    Ok(Command::new(path).args(arguments).envs(settings.iter().copied()).output()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_example_sends_a_metric_that_arrives_and_says_what_is_wrong_when_it_does_not() -> Result<()> {
    let installation = Installation::start("examples", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    for (index, example) in ["send.sh", "send.mjs", "send.py"].into_iter().enumerate() {
        let settings = [
            ("TIDEMARK_URL", project.webhook_url.as_str()),
            ("TIDEMARK_API_KEY", project.api_key.as_str()),
            ("TIDEMARK_PROJECT_ID", project.project_id.as_str()),
        ];
        let value = format!("{}.5", index + 1);
        let output = run(example, &["daily_signups", &value, "Daily Signups", "count"], &settings)?;
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{example}: {said}");
        assert!(!said.contains(&project.api_key), "{example} printed the key");
        wait::until(&format!("the metric of {example} arrives"), async || {
            let page =
                client.get("/api/v1/metrics/daily_signups/points?limit=1", &project.manage_key).await?;
            let page: serde_json::Value = page.json().await?;
            Ok((page["items"][0]["value"] == json!(index as f64 + 1.5)).then_some(()))
        })
        .await?;

        let wrong = [settings[0], ("TIDEMARK_API_KEY", "tm_wrong"), settings[2]];
        let output = run(example, &["daily_signups", "1"], &wrong)?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{example}: {said}");
        assert!(said.contains("not known"), "{example} passes on what the server says: {said}");
    }
    let metric = client.read("/api/v1/metrics/daily_signups", &project.manage_key).await?;
    assert_eq!((&metric["metricName"], &metric["unit"]), (&json!("Daily Signups"), &json!("count")));
    Ok(())
}
