//! The web page, which browsers get at all paths outside the APIs.

use crate::support::{send, shared};
use reqwest::header::{ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};

const BROWSER: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

async fn get(path: &str, accept: &str) -> reqwest::Response {
    send(reqwest::Client::new().get(format!("{}{path}", shared().url)).header(ACCEPT, accept)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_gets_html_with_a_strict_security_policy() {
    let texts = [get("/", BROWSER).await, get("/dashboards/any", BROWSER).await];
    for response in texts {
        let header = |name| response.headers()[name].to_str().expect("text").to_owned();
        assert!(header(CONTENT_TYPE).starts_with("text/html"));
        assert_eq!(header(X_CONTENT_TYPE_OPTIONS), "nosniff");
        let policy = header(CONTENT_SECURITY_POLICY);
        assert!(policy.contains("default-src 'self'") && !policy.contains("unsafe"), "{policy}");
        // 404 if the page was not built; the answer then explains how to build it.
        assert!(response.text().await.expect("text").contains("<title>Tidemark</title>"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn api_paths_never_return_the_page() {
    for path in ["/api/v1/nothing", "/api/nothing", "/prometheus/nothing", "/docs/nothing", "/assets/gone.js"]
    {
        let response = get(path, BROWSER).await;
        assert_eq!(response.status(), 404, "{path}");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json", "{path}");
    }
}
