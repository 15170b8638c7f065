//! Keys that stand alone.

use crate::support::{details, refused, shared, text};
use serde_json::{Value, json};

const KEYS: &str = "/api/v1/keys";

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_shown_once_and_listed_without_it() {
    let stack = shared();
    let (_, manager) = stack.project().await;
    manager.post("/api/v1/connections", &json!({"name": "Cron"})).await;
    let wanted = json!({"name": " Reports ", "scopes": ["read", "ingest", "read"]});
    let (status, made) = manager.post(KEYS, &wanted).await;
    assert_eq!(status, 201, "{made}");
    let key = text(&made, "key");
    assert_eq!(made["scopes"], json!(["read", "ingest"]));
    assert!(stack.client(&key).is_good().await);

    let listed = manager.ok(KEYS).await;
    let items = listed["items"].as_array().expect("items");
    let names: Vec<String> = items.iter().map(|item| text(item, "name")).collect();
    assert_eq!(names, ["Project key", "Reports"], "a connection's key is the connection's");
    let expected = json!({
        "keyId": made["keyId"], "name": "Reports", "scopes": ["read", "ingest"],
        "keyHint": format!("…{}", &key[key.len() - 4..]), "createdAt": made["createdAt"],
        "updatedAt": made["createdAt"], "version": 1,
    });
    assert_eq!(items[1], expected);
    assert!(made["createdAt"].is_i64());
    assert_eq!((&made["updatedAt"], &made["version"]), (&made["createdAt"], &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_key_is_refused_and_not_listed_also_if_it_removed_itself() {
    let stack = shared();
    let (_, manager) = stack.project().await;
    let (_, made) = manager.post(KEYS, &json!({"name": "x", "scopes": ["manage"]})).await;
    let itself = stack.client(&text(&made, "key"));
    let path = format!("{KEYS}/{}", text(&made, "keyId"));
    assert_eq!(itself.delete(&path).await, (204, Value::Null));
    itself.ends().await;
    refused(manager.delete(&path).await, 404, "not_found");
    assert_eq!(manager.ok(KEYS).await["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connections_key_is_not_removed_as_a_key() {
    let stack = shared();
    let (_, manager) = stack.project().await;
    let (_, connection) = manager.post("/api/v1/connections", &json!({"name": "Cron"})).await;
    let token = text(&connection, "apiKey");
    let (key_id, _) = control::token::parse(&token).expect("a token");
    refused(manager.delete(&format!("{KEYS}/{key_id}")).await, 404, "not_found");
    assert!(stack.client(&token).is_good().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_key_is_told() {
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
