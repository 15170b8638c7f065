//! Connections and their keys.

use crate::support::{Caller, details, read, refused, send, shared, text};
use reqwest::Method;
use reqwest::header::{ETAG, IF_MATCH};
use serde_json::{Value, json};

const CONNECTIONS: &str = "/api/v1/connections";

async fn connect(manager: &Caller, name: &str) -> Value {
    let (status, created) = manager.post(CONNECTIONS, &json!({"name": name})).await;
    assert_eq!(status, 201, "{created}");
    created
}

fn path(connection: &Value) -> String {
    format!("{CONNECTIONS}/{}", text(connection, "connectionId"))
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_is_shown_without_its_key() {
    let (_, manager) = shared().project().await;
    let created = connect(&manager, "Cron").await;
    let response = send(manager.request(Method::GET, &path(&created))).await;
    assert_eq!(response.headers().get(ETAG).map(|tag| tag.as_bytes()), Some(&b"\"1\""[..]));
    let shown: Value = response.json().await.expect("JSON");
    let key = text(&created, "apiKey");
    let expected = json!({
        "connectionId": created["connectionId"], "name": "Cron", "state": "active", "webhookUrl": created["webhookUrl"],
        "keyHint": format!("…{}", &key[key.len() - 4..]), "createdAt": shown["createdAt"],
        "updatedAt": shown["createdAt"], "version": 1, "lastUsedAt": null,
    });
    assert_eq!(shown, expected);
    assert!(shown["createdAt"].as_i64() <= Some(service::clock::now_ms()));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_listed_in_creation_order() {
    let (_, manager) = shared().project().await;
    assert_eq!(manager.ok(CONNECTIONS).await, json!({"items": [], "nextCursor": null}));
    let mut ids = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        let created = connect(&manager, name).await;
        ids.push((created["connectionId"].clone(), path(&created)));
        // The order of two connections that are created in the same millisecond is undefined.
        let created_at = manager.ok(&path(&created)).await["createdAt"].as_i64();
        crate::support::until("the next millisecond", || async {
            Some(service::clock::now_ms()) > created_at
        })
        .await;
    }
    let page = async |query: String| {
        let page = manager.ok(&format!("{CONNECTIONS}?{query}")).await;
        let items = page["items"].as_array().expect("items").iter();
        let names: Vec<String> = items.map(|item| text(item, "name")).collect();
        (names.concat(), page["nextCursor"].as_str().map(str::to_owned))
    };
    let (names, cursor) = page("limit=2".to_owned()).await;
    let cursor = cursor.expect("a next page");
    assert_eq!(names, "ab");
    // Removals and creations between two pages shift nothing.
    for removed in [0, 2] {
        assert_eq!(manager.delete(&ids[removed].1).await.0, 204);
    }
    connect(&manager, "f").await;
    let (names, next) = page(format!("limit=2&cursor={cursor}")).await;
    assert_eq!(names, "de");
    assert_eq!(page(format!("limit=2&cursor={}", next.expect("a next page"))).await, ("f".to_owned(), None));
    assert_eq!(page("limit=4".to_owned()).await, ("bdef".to_owned(), None));
    let wrong = manager.get(&format!("{CONNECTIONS}?limit=1001&cursor=!")).await;
    assert_eq!(
        details(&refused(wrong, 400, "invalid_parameter")),
        ["limit out_of_range", "cursor bad_cursor"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rename_increments_version_and_respects_if_match() {
    let (_, manager) = shared().project().await;
    let created = connect(&manager, "Cron").await;
    let rename = |name: &str, tag: Option<&str>| {
        let request = manager.request(Method::PATCH, &path(&created)).json(&json!({"name": name}));
        read(match tag {
            Some(tag) => request.header(IF_MATCH, tag),
            None => request,
        })
    };
    let (status, renamed) = rename(" Jobs ", Some("\"1\"")).await;
    assert_eq!((status, &renamed["name"], &renamed["version"]), (200, &json!("Jobs"), &json!(2)));
    refused(rename("x", Some("\"1\"")).await, 412, "version_mismatch");
    refused(rename("x", Some("nonsense")).await, 412, "version_mismatch");
    assert_eq!(rename("y", Some("*")).await.1["version"], 3);
    let (status, renamed) = rename("z", None).await;
    assert_eq!(
        (status, &renamed["version"], &renamed["keyHint"]),
        (200, &json!(4), &manager.ok(&path(&created)).await["keyHint"])
    );
    for wrong in [json!({}), json!({"name": null}), json!({"title": "x"})] {
        refused(manager.patch(&path(&created), &wrong).await, 400, "invalid_parameter");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_replaces_the_key_at_once() {
    let stack = shared();
    let (_, manager) = stack.project().await;
    let created = connect(&manager, "Cron").await;
    let old = stack.client(&text(&created, "apiKey"));
    assert!(old.is_valid().await);
    // The body may be absent.
    let before = service::clock::now_ms();
    let (status, rotated) = read(manager.request(Method::POST, &format!("{}/rotate", path(&created)))).await;
    assert_eq!(status, 200, "{rotated}");
    assert_eq!(rotated["connectionId"], created["connectionId"]);
    let ends = rotated["previousKeyEndsAt"].as_i64().expect("a time");
    assert!((before..=service::clock::now_ms()).contains(&ends));
    assert!(stack.client(&text(&rotated, "apiKey")).is_valid().await);
    old.await_revocation().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced_key_is_valid_until_its_grace_period_ends() {
    let stack = shared();
    let (_, manager) = stack.project().await;
    let created = connect(&manager, "Cron").await;
    let rotate = async |grace: u32| {
        let body = json!({"graceSeconds": grace});
        let (status, rotated) = manager.post(&format!("{}/rotate", path(&created)), &body).await;
        assert_eq!(status, 200, "{rotated}");
        (stack.client(&text(&rotated, "apiKey")), rotated["previousKeyEndsAt"].as_i64().expect("a time"))
    };
    let first = stack.client(&text(&created, "apiKey"));
    let before = service::clock::now_ms();
    let (second, ends) = rotate(86_400).await;
    assert!(ends >= before + 86_400_000);
    assert!(first.is_valid().await && second.is_valid().await);
    // A shorter grace period applies to all older keys.
    let (third, _) = rotate(1).await;
    first.await_revocation().await;
    second.await_revocation().await;
    assert!(third.is_valid().await);
    for wrong in [json!({"graceSeconds": 86_401}), json!({"graceSeconds": "1"}), json!({"graceSeconds": -1})]
    {
        refused(manager.post(&format!("{}/rotate", path(&created)), &wrong).await, 400, "invalid_parameter");
    }
    let broken = manager.request(Method::POST, &format!("{}/rotate", path(&created))).body("{");
    refused(read(broken).await, 400, "invalid_json");
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_ends_all_keys_until_a_rotation() {
    let stack = shared();
    let (_, manager) = stack.project().await;
    let created = connect(&manager, "Cron").await;
    let first = stack.client(&text(&created, "apiKey"));
    let (_, rotated) =
        manager.post(&format!("{}/rotate", path(&created)), &json!({"graceSeconds": 3600})).await;
    let second = stack.client(&text(&rotated, "apiKey"));
    assert!(first.is_valid().await && second.is_valid().await);
    for _ in 0..2 {
        let revoke = manager.request(Method::POST, &format!("{}/revoke", path(&created)));
        assert_eq!(read(revoke).await, (204, Value::Null));
        assert_eq!(manager.ok(&path(&created)).await["state"], "revoked");
    }
    first.await_revocation().await;
    second.await_revocation().await;
    let (status, rotated) = manager.post(&format!("{}/rotate", path(&created)), &json!({})).await;
    assert_eq!(status, 200, "{rotated}");
    assert!(stack.client(&text(&rotated, "apiKey")).is_valid().await);
    assert_eq!(manager.ok(&path(&created)).await["state"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_connection_and_its_keys_are_gone() {
    let stack = shared();
    let (_, manager) = stack.project().await;
    let created = connect(&manager, "Cron").await;
    let first = stack.client(&text(&created, "apiKey"));
    let (_, rotated) =
        manager.post(&format!("{}/rotate", path(&created)), &json!({"graceSeconds": 3600})).await;
    assert_eq!(manager.delete(&path(&created)).await.0, 204);
    first.await_revocation().await;
    stack.client(&text(&rotated, "apiKey")).await_revocation().await;
    assert_eq!(manager.ok(CONNECTIONS).await["items"], json!([]));
    refused(manager.get(&path(&created)).await, 404, "not_found");
    refused(manager.delete(&path(&created)).await, 404, "not_found");
    refused(manager.patch(&path(&created), &json!({"name": "x"})).await, 404, "not_found");
    for call in ["rotate", "revoke"] {
        let answer = manager.post(&format!("{}/{call}", path(&created)), &json!({})).await;
        refused(answer, 404, "not_found");
    }
}
