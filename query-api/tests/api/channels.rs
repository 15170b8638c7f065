//! Channels.

use crate::receiver::Receiver;
use crate::support::{details, refused, shared, text, until};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn channel_url_is_masked_and_secret_is_shown_once() {
    let (_, manager) = shared().project().await;
    let receiver = Receiver::start(Vec::new()).await;
    let url = format!("{}/a-very-secret-path", receiver.url);
    let body = json!({"name": "Ours", "kind": "webhook", "url": url});
    let (status, created) = manager.post("/api/v1/channels", &body).await;
    assert_eq!(status, 201, "{created}");
    assert!(text(&created, "signingSecret").starts_with("whsec_"));
    assert!(text(&created, "url").ends_with("/…path"), "{created}");
    let listed = manager.ok("/api/v1/channels").await;
    assert!(!listed.to_string().contains("secret-path") && listed["items"][0].get("signingSecret").is_none());
    assert!(receiver.requests().is_empty(), "creating a channel sends nothing");

    let id = text(&created, "channelId");
    let (_, other_project) = shared().project().await;
    refused(other_project.delete(&format!("/api/v1/channels/{id}")).await, 404, "not_found");
    assert_eq!(manager.delete(&format!("/api/v1/channels/{id}")).await.0, 204);
    assert_eq!(manager.ok("/api/v1/channels").await["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_channel_is_refused() {
    let (_, manager) = shared().project().await;
    for (body, expected) in [
        (json!({}), vec!["name required", "kind required"]),
        (json!({"name": "x", "kind": "fax"}), vec!["kind unknown_word"]),
        (json!({"name": "x", "kind": "slack"}), vec!["url required"]),
        (json!({"name": "x", "kind": "in_app", "url": "https://example.org"}), vec!["url unexpected"]),
        (json!({"name": "x", "kind": "slack", "url": "hooks.slack.com"}), vec!["url bad_url"]),
        (json!({"name": "x", "kind": "slack", "url": "https://a:b@example.org/"}), vec!["url bad_url"]),
        (json!({"name": "x", "kind": "slack", "url": "https://10.0.0.1/"}), vec!["url bad_url"]),
        (json!({"name": "x", "kind": "slack", "url": "https://[fd00::1]/"}), vec!["url bad_url"]),
        (json!({"name": "x", "kind": "slack", "url": "http://169.254.169.254/latest"}), vec!["url bad_url"]),
    ] {
        let answer = refused(manager.post("/api/v1/channels", &body).await, 400, "invalid_parameter");
        assert_eq!(details(&answer), expected, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn channel_test_is_delivered() {
    let (_, manager) = shared().project().await;
    let receiver = Receiver::start(Vec::new()).await;
    let create = async |body: Value| {
        let (status, created) = manager.post("/api/v1/channels", &body).await;
        assert_eq!(status, 201, "{created}");
        text(&created, "channelId")
    };
    let slack = create(json!({"name": "On call", "kind": "slack", "url": receiver.url})).await;
    let (status, started) = manager.post(&format!("/api/v1/channels/{slack}/test"), &json!({})).await;
    assert_eq!((status, &started["channels"]), (202, &json!([slack])), "{started}");
    let requests = receiver.await_requests(1).await;
    assert_eq!(requests[0].json()["text"], "Test: On call");

    let inbox = create(json!({"name": "Inbox", "kind": "in_app"})).await;
    let (_, started) = manager.post(&format!("/api/v1/channels/{inbox}/test"), &json!({})).await;
    until("the notification", || async { manager.ok("/api/v1/inbox").await["unread"] == 1 }).await;
    let held = manager.ok("/api/v1/inbox").await;
    assert_eq!(held["items"][0]["id"], started["testId"]);
    let (status, left) = manager.post("/api/v1/inbox/read", &json!({"until": held["items"][0]["at"]})).await;
    assert_eq!((status, left), (200, json!({"unread": 0})));
    refused(manager.post("/api/v1/channels/chn_none/test", &json!({})).await, 404, "not_found");
}
