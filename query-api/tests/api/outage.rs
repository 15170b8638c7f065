//! Without its stores the service runs, is not ready, and answers 503.

use crate::support::{Caller, OPERATOR, read, refused, serve};
use control::token::Token;
use query_api::session::{NAME, Sessions};
use reqwest::Method;
use reqwest::header::COOKIE;
use serde_json::json;
use service::settings::Secret;

#[tokio::test(flavor = "multi_thread")]
async fn without_stores_service_is_live_not_ready_and_answers_503() {
    // Nothing listens on port 1.
    let nowhere = [
        "--kafka-brokers=127.0.0.1:1",
        "--redis-url=redis://127.0.0.1:1",
        "--clickhouse-url=http://127.0.0.1:1",
    ];
    let (url, ops_url) = serve(&nowhere.map(str::to_owned)).await;
    let status = async |path: &str| {
        reqwest::get(format!("{ops_url}{path}")).await.expect("an answer").status().as_u16()
    };
    assert_eq!(status("/livez").await, 200);
    assert_eq!(status("/readyz").await, 503);
    let with = |key: String| Caller { url: url.clone(), key: Some(key) };
    let somebody = with(Token::generate().reveal());
    refused(somebody.get("/api/v1/metrics").await, 503, "unavailable");
    refused(somebody.post("/api/v1/connections", &json!({"name": "x"})).await, 503, "unavailable");
    let operator = with(OPERATOR.to_owned());
    refused(
        operator.post("/api/v1/projects", &json!({"name": "x", "plan": "pro"})).await,
        503,
        "unavailable",
    );
    refused(
        operator.post("/api/v1/projects", &json!({"name": "", "plan": "pro"})).await,
        400,
        "invalid_parameter",
    );
    refused(with("nonsense".to_owned()).get("/api/v1/metrics").await, 401, "invalid_key");
    refused(operator.get("/api/v1/nothing").await, 404, "not_found");
    // The session cannot be looked up, and it cannot be ended.
    let sealed = Sessions::new(&Secret::new(OPERATOR)).seal("abc", service::clock::now_ms() + 60_000);
    let anonymous = Caller { url: url.clone(), key: None };
    for method in [Method::GET, Method::DELETE] {
        let request = anonymous.request(method, "/api/v1/session").header(COOKIE, format!("{NAME}={sealed}"));
        refused(read(request).await, 503, "unavailable");
    }
    assert_eq!(anonymous.delete("/api/v1/session").await.0, 204);
}
