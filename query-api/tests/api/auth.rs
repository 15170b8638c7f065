//! Authentication and scopes.

use crate::support::{Caller, OPERATOR, read, refused, shared, text};
use control::token::Token;
use proto::v1::entity::Kind;
use proto::v1::{ApiKey, Revocation, Scope};
use reqwest::Method;
use reqwest::header::AUTHORIZATION;
use serde_json::json;

const METRICS: &str = "/api/v1/metrics";

#[tokio::test(flavor = "multi_thread")]
async fn missing_malformed_or_unknown_key_is_401() {
    let stack = shared();
    let anonymous = Caller { url: stack.url.clone(), key: None };
    refused(anonymous.get(METRICS).await, 401, "missing_key");
    for malformed in ["Basic abc", "Bearer", "Bearer a b", "tm_abc"] {
        let request = anonymous.request(Method::GET, METRICS).header(AUTHORIZATION, malformed);
        refused(read(request).await, 401, "malformed_authorization");
    }
    refused(stack.client("nonsense").get(METRICS).await, 401, "invalid_key");
    refused(stack.client(&Token::generate().reveal()).get(METRICS).await, 401, "invalid_key");
    refused(anonymous.post("/api/v1/projects", &json!({})).await, 401, "missing_key");
    refused(stack.client("nonsense").post("/api/v1/projects", &json!({})).await, 401, "invalid_key");
}

#[tokio::test(flavor = "multi_thread")]
async fn key_is_limited_to_its_scopes() {
    let stack = shared();
    let (project, manager) = stack.project().await;
    let (_, connection) = manager.post("/api/v1/connections", &json!({"name": "Cron"})).await;
    let ingest = stack.client(&text(&connection, "apiKey"));
    for path in
        [METRICS, "/api/v1/metrics/a", "/api/v1/metrics/a/points?limit=0", "/api/v1/metrics/a/timeseries"]
    {
        refused(ingest.get(path).await, 403, "insufficient_scope");
        refused(stack.client(OPERATOR).get(path).await, 403, "insufficient_scope");
    }
    refused(ingest.post("/api/v1/connections", &json!({})).await, 403, "insufficient_scope");
    refused(manager.post("/api/v1/projects", &json!({})).await, 403, "insufficient_scope");
    refused(stack.client(OPERATOR).post("/api/v1/connections", &json!({})).await, 403, "insufficient_scope");

    let token = Token::generate();
    stack.publish(Kind::ApiKey(key(&token, &project, Scope::Read))).await;
    let reader = stack.client(&token.reveal());
    reader.ok(METRICS).await;
    refused(reader.post("/api/v1/connections", &json!({"name": "x"})).await, 403, "insufficient_scope");
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_key_is_rejected_within_one_second() {
    let stack = shared();
    let (project, _) = stack.project().await;
    let token = Token::generate();
    stack.publish(Kind::ApiKey(key(&token, &project, Scope::Read))).await;
    let reader = stack.client(&token.reveal());
    reader.ok(METRICS).await;
    let revocation =
        Revocation { key_id: token.key_id().to_owned(), revoked_at_ms: service::clock::now_ms() };
    stack.publish(Kind::Revocation(revocation)).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    refused(reader.get(METRICS).await, 401, "revoked_key");
}

fn key(token: &Token, project: &str, scope: Scope) -> ApiKey {
    ApiKey {
        key_id: token.key_id().to_owned(),
        project_id: project.to_owned(),
        name: "a key".to_owned(),
        scopes: vec![scope.into()],
        secret_hash: token.hash().to_vec(),
        connection_id: String::new(),
        created_at_ms: service::clock::now_ms(),
        hint: token.hint(),
    }
}
