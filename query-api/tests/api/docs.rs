//! The API reference page.

use crate::support::{send, shared};
use std::collections::HashSet;

async fn file(path: &str) -> (String, String, String) {
    let response = send(reqwest::Client::new().get(format!("{}{path}", shared().url))).await;
    assert_eq!(response.status(), 200, "{path}");
    let header = |name: &str| response.headers()[name].to_str().expect("text").to_owned();
    let (kind, policy) = (header("content-type"), header("content-security-policy"));
    (kind, policy, response.text().await.expect("text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn page_loads_only_its_own_files() {
    let (kind, policy, page) = file("/docs").await;
    assert_eq!(kind, "text/html; charset=utf-8");
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe") && !policy.contains("http"));
    // All referenced files are served here, and scripts and styles are files.
    let named: HashSet<&str> = page
        .split(['"', ' '])
        .zip(page.split(['"', ' ']).skip(1))
        .filter(|(name, _)| name.ends_with("src=") || name.ends_with("href="))
        .map(|(_, path)| path)
        .collect();
    assert_eq!(named, HashSet::from(["/docs/page.css", "/docs/page.js", "/api/v1/openapi.json"]));
    for path in named {
        let response = send(reqwest::Client::new().get(format!("{}{path}", shared().url))).await;
        assert_eq!(response.status(), 200, "{path}");
    }
    assert!(!page.contains("<style") && !page.contains("<script>") && !page.contains("style=\""));
    let (kind, _, script) = file("/docs/page.js").await;
    assert_eq!(kind, "text/javascript; charset=utf-8");
    for unsafe_call in ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "http://", "https://"] {
        assert!(!script.contains(unsafe_call), "{unsafe_call}");
    }
}
