//! Requests that are refused before their handler runs.

use crate::support::{OPERATOR, read, refused, send, shared};
use reqwest::Method;
use reqwest::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn unknown_path_is_404_and_wrong_method_is_405_with_allow() {
    let operator = shared().client(OPERATOR);
    for path in ["/nothing", "/api/v1", "/api/v1/nothing", "/api/v1/metrics/", "/api/v1/metrics/a/b", "/%ff"]
    {
        refused(operator.get(path).await, 404, "not_found");
    }
    for (method, path, allow) in [
        (Method::PUT, "/api/v1/projects", "POST,GET,HEAD"),
        (Method::POST, "/api/v1/keys/a", "DELETE"),
        (Method::DELETE, "/api/v1/metrics", "GET,HEAD"),
        (Method::POST, "/api/v1/metrics/a/timeseries", "GET,HEAD"),
        (Method::PUT, "/api/v1/openapi.json", "GET,HEAD"),
    ] {
        let response = send(operator.request(method.clone(), path)).await;
        assert_eq!(
            response.headers().get(ALLOW).map(|value| value.as_bytes()),
            Some(allow.as_bytes()),
            "{path}"
        );
        refused(read(operator.request(method, path)).await, 405, "method_not_allowed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_body_has_a_specific_error() {
    let operator = shared().client(OPERATOR);
    let post = || operator.request(Method::POST, "/api/v1/projects");
    for body in ["", "{", "{} x", "nonsense"] {
        refused(read(post().body(body)).await, 400, "invalid_json");
    }
    refused(read(post().body(vec![b'"', 0xff, b'"'])).await, 400, "invalid_json");
    let padded = format!("{}{}", " ".repeat(64 << 10), json!({"name": "x", "plan": "pro"}));
    refused(read(post().body(padded)).await, 413, "body_too_large");
    refused(read(post().body(" ".repeat(3 << 20))).await, 413, "body_too_large");
    let form = post().header(CONTENT_TYPE, "application/x-www-form-urlencoded").body("name=x");
    refused(read(form).await, 415, "unsupported_media_type");
    let encoded = post().header(CONTENT_ENCODING, "gzip").body("{}");
    refused(read(encoded).await, 415, "unsupported_content_encoding");
    for media_type in ["application/json; charset=utf-8", "application/vnd.api+json"] {
        let typed = post().header(CONTENT_TYPE, media_type).body("{}");
        refused(read(typed).await, 400, "invalid_parameter");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_route_and_status() {
    let stack = shared();
    refused(stack.client(OPERATOR).get("/api/v1/metrics/a/points").await, 403, "insufficient_scope");
    let page = send(reqwest::Client::new().get(format!("{}/metrics", stack.ops_url)))
        .await
        .text()
        .await
        .expect("text");
    let line = r#"tidemark_query_requests_total{method="GET",route="/api/v1/metrics/{metricId}/points",status="403"}"#;
    assert!(page.contains(line), "{page}");
}
