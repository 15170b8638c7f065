//! Standalone keys.

use crate::support::{details, refused, shared, text};
use serde_json::{Value, json};

const KEYS: &str = "/api/v1/keys";

#[tokio::test(flavor = "multi_thread")]
async fn key_is_shown_once_and_listed_without_its_secret() {
    let stack = shared();
    let (_, manager) = stack.project().await;
    manager.post("/api/v1/connections", &json!({"name": "Cron"})).await;
    let wanted = json!({"name": " Reports ", "scopes": ["read", "ingest", "read"]});
    let (status, created) = manager.post(KEYS, &wanted).await;
    assert_eq!(status, 201, "{created}");
    let key = text(&created, "key");
    assert_eq!(created["scopes"], json!(["read", "ingest"]));
    assert!(stack.client(&key).is_valid().await);

    let listed = manager.ok(KEYS).await;
    let items = listed["items"].as_array().expect("items");
    let names: Vec<String> = items.iter().map(|item| text(item, "name")).collect();
    assert_eq!(names, ["Project key", "Reports"], "keys of connections are not listed");
    let expected = json!({
        "keyId": created["keyId"], "name": "Reports", "scopes": ["read", "ingest"],
        "keyHint": format!("…{}", &key[key.len() - 4..]), "createdAt": created["createdAt"],
        "updatedAt": created["createdAt"], "version": 1,
    });
    assert_eq!(items[1], expected);
    assert!(created["createdAt"].is_i64());
    assert_eq!((&created["updatedAt"], &created["version"]), (&created["createdAt"], &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_key_is_refused_and_not_listed() {
    let stack = shared();
    let (_, manager) = stack.project().await;
    let (_, created) = manager.post(KEYS, &json!({"name": "x", "scopes": ["manage"]})).await;
    let itself = stack.client(&text(&created, "key"));
    let path = format!("{KEYS}/{}", text(&created, "keyId"));
    assert_eq!(itself.delete(&path).await, (204, Value::Null));
    itself.await_revocation().await;
    refused(manager.delete(&path).await, 404, "not_found");
    assert_eq!(manager.ok(KEYS).await["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn key_of_a_connection_cannot_be_removed_as_a_key() {
    let stack = shared();
    let (_, manager) = stack.project().await;
    let (_, connection) = manager.post("/api/v1/connections", &json!({"name": "Cron"})).await;
    let token = text(&connection, "apiKey");
    let (key_id, _) = control::token::parse(&token).expect("a token");
    refused(manager.delete(&format!("{KEYS}/{key_id}")).await, 404, "not_found");
    assert!(stack.client(&token).is_valid().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_faults_of_a_key_are_reported() {
    let (_, manager) = shared().project().await;
    for (body, expected) in [
        (json!({}), vec!["name required", "scopes required"]),
        (json!({"name": "x", "scopes": []}), vec!["scopes empty"]),
        (json!({"name": "x", "scopes": "read"}), vec!["scopes not_an_array"]),
        (json!({"name": "", "scopes": ["read", "write"]}), vec!["name bad_name", "scopes unknown_word"]),
        (json!({"name": "x", "scopes": [1]}), vec!["scopes unknown_word"]),
    ] {
        let answer = refused(manager.post(KEYS, &body).await, 400, "invalid_parameter");
        assert_eq!(details(&answer), expected, "{body}");
    }
}
