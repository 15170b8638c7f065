//! Delivery of notifications: the format of each kind of channel, and retries.

use super::{create_channel, create_threshold_rule, history, send, start};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::receiver::{CannedResponse, Request};
use e2e::{Client, Project, Receiver, Result};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use std::time::Duration;

/// Verifies the signature of Standard Webhooks.
fn is_signed(request: &Request, secret: &str) -> Result<bool> {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").ok_or("the secret lacks its prefix whsec_")?)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key)?;
    let (id, timestamp) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    mac.update(format!("{id}.{timestamp}.{}", request.text()).as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    Ok(request.header("webhook-signature") == signature)
}

fn check_slack(request: &Request) -> Result<()> {
    let body = request.json()?;
    assert_eq!(body["text"], "Firing: api_time is slow");
    let blocks = body["blocks"].as_array().into_iter().flatten();
    let kinds: Vec<&Value> = blocks.map(|block| &block["type"]).collect();
    assert_eq!(kinds, ["header", "section", "section"]);
    assert_eq!(body["blocks"][0]["text"]["type"], "plain_text");
    let fields = &body["blocks"][1]["fields"];
    assert_eq!(fields[1], json!({"type": "mrkdwn", "text": "*Value*\n812.5 ms"}));
    assert_eq!(fields[2], json!({"type": "mrkdwn", "text": "*Threshold*\n&gt; 500 ms"}));
    Ok(())
}

fn check_discord(request: &Request) -> Result<()> {
    let body = request.json()?;
    assert_eq!(body["allowed_mentions"], json!({"parse": []}));
    let embed = &body["embeds"][0];
    assert_eq!(embed["fields"][1], json!({"name": "Value", "value": "812.5 ms", "inline": true}));
    assert!(embed["color"].is_u64() && embed["timestamp"].is_string());
    Ok(())
}

fn check_teams(request: &Request) -> Result<()> {
    let body = request.json()?;
    let card = &body["attachments"][0];
    assert_eq!((&body["type"], &card["contentUrl"]), (&json!("message"), &Value::Null));
    assert_eq!(card["contentType"], "application/vnd.microsoft.card.adaptive");
    let content = &card["content"];
    assert_eq!((&content["type"], &content["version"]), (&json!("AdaptiveCard"), &json!("1.4")));
    assert_eq!(content["body"][1]["facts"][1], json!({"title": "Value", "value": "812.5 ms"}));
    assert_eq!(content["actions"][0]["type"], "Action.OpenUrl");
    Ok(())
}

fn check_webhook(request: &Request, rule: &str, secret: &str) -> Result<()> {
    let body = request.json()?;
    assert!(is_signed(request, secret)?);
    assert_eq!(request.header("webhook-id"), format!("{rule}-1"));
    assert_eq!((&body["type"], &body["data"]["alertId"]), (&json!("alert.firing"), &json!(rule)));
    for (field, value) in
        [("value", json!(812.5)), ("unit", json!("ms")), ("threshold", json!(500.0)), ("range", json!("5m"))]
    {
        assert_eq!(body["data"][field], value, "{field}");
    }
    let link = format!("https://tidemark.example.org/alerts/{rule}");
    assert_eq!(body["data"]["link"], json!(link), "{body}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_channel_kind_is_notified_in_its_own_format() -> Result<()> {
    let (_installation, client, project) = start("kinds").await?;
    let two = |status: &str| vec![CannedResponse::new(status), CannedResponse::new(status)];
    // With the statuses that Discord and Teams workflows respond with.
    let receivers: [Receiver; 4] = [
        Receiver::start().await?,
        Receiver::with_responses(two("204 No Content")).await?,
        Receiver::with_responses(two("202 Accepted")).await?,
        Receiver::start().await?,
    ];
    let (mut ids, mut secret) = (Vec::new(), String::new());
    for (kind, receiver) in ["slack", "discord", "teams", "webhook"].into_iter().zip(&receivers) {
        let (id, signing) = create_channel(&client, &project, kind, Some(&receiver.url)).await?;
        secret += &signing;
        ids.push(id);
    }
    ids.push(create_channel(&client, &project, "in_app", None).await?.0);
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    send(&client, &project, "api_time", 100.0).await?;
    let rule = create_threshold_rule(&client, &project, "api_time", &ids).await?;
    send(&client, &project, "api_time", 812.5).await?;

    let mut first = Vec::new();
    for receiver in &receivers {
        let requests = receiver.received(1).await?;
        assert_eq!(requests.len(), 1, "creating a channel or a rule must send nothing");
        assert_eq!(requests[0].header("content-type"), "application/json");
        first.push(requests[0].clone());
    }
    check_slack(&first[0])?;
    check_discord(&first[1])?;
    check_teams(&first[2])?;
    check_webhook(&first[3], &rule, &secret)?;

    send(&client, &project, "api_time", 3.0).await?;
    for receiver in &receivers {
        assert_eq!(receiver.received(2).await?.len(), 2, "each transition must cause one request");
    }
    assert_eq!(receivers[0].requests()[1].json()?["text"], "Resolved: api_time is slow");
    assert_eq!(receivers[3].requests()[1].json()?["type"], "alert.resolved");
    let transitions = history(&client, &project, &rule, 2).await?;
    let states: Vec<_> = transitions.iter().map(|it| (&it["from"], &it["to"])).collect();
    assert_eq!(states, [(&json!("ok"), &json!("firing")), (&json!("firing"), &json!("ok"))]);
    let inbox = client.get_json("/api/v1/inbox", &project.manage_key).await?;
    assert_eq!((&inbox["unread"], &inbox["items"][1]["event"]), (&json!(2), &json!("firing")));
    Ok(())
}

/// Status, attempt number and error of each delivery attempt.
fn attempts(transition: &Value) -> Vec<(&str, u64, &str)> {
    let deliveries = transition["deliveries"].as_array().map(Vec::as_slice).unwrap_or_default();
    deliveries
        .iter()
        .map(|it| {
            let attempt = it["attempt"].as_u64().unwrap_or(0);
            (it["status"].as_str().unwrap_or_default(), attempt, it["error"].as_str().unwrap_or_default())
        })
        .collect()
}

/// Creates a webhook whose first response is `response`, and a rule on the metric `name` that notifies it.
async fn create_webhook_rule(
    client: &Client,
    project: &Project,
    name: &str,
    response: CannedResponse,
) -> Result<(Receiver, String)> {
    let receiver = Receiver::with_responses(vec![response]).await?;
    let (id, _) = create_channel(client, project, "webhook", Some(&receiver.url)).await?;
    let rule = create_threshold_rule(client, project, name, &[&id]).await?;
    Ok((receiver, rule))
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_retried_until_delivered_or_refused() -> Result<()> {
    let (_installation, client, project) = start("receivers").await?;
    let target = Receiver::start().await?;
    let moved = CannedResponse::new("308 Permanent Redirect").with_header("location", &target.url);
    let outside =
        CannedResponse::new("307 Temporary Redirect").with_header("location", "http://10.11.12.13/");
    let to_get = CannedResponse::new("302 Found").with_header("location", &target.url);
    let busy = CannedResponse::new("429 Too Many Requests").with_header("retry-after", "3");
    let slow = CannedResponse::new("200 OK").delayed(Duration::from_secs(60));
    let cases = [
        (
            "failing",
            CannedResponse::new("500 Internal Server Error"),
            vec![("retrying", 1, "the receiver answered 500"), ("delivered", 2, "")],
        ),
        ("slow", slow, vec![("retrying", 1, "the receiver did not answer in time"), ("delivered", 2, "")]),
        ("busy", busy, vec![("retrying", 1, "the receiver answered 429"), ("delivered", 2, "")]),
        ("moved", moved, vec![("delivered", 1, "")]),
        ("gone", CannedResponse::new("410 Gone"), vec![("failed", 1, "the receiver answered 410")]),
    ];
    let mut running = Vec::new();
    for (name, response, expected) in cases {
        let (receiver, rule) = create_webhook_rule(&client, &project, name, response).await?;
        running.push((name, receiver, rule, expected));
    }
    // Redirects that are not followed: to a private address, and one that turns the POST into a GET.
    let mut not_followed = Vec::new();
    for (name, response) in [("outside", outside), ("to_get", to_get)] {
        not_followed.push(create_webhook_rule(&client, &project, name, response).await?);
    }
    for name in ["failing", "slow", "busy", "moved", "gone", "outside", "to_get"] {
        send(&client, &project, name, 900.0).await?;
    }
    for (name, receiver, rule, expected) in &running {
        let transitions = history(&client, &project, rule, 1).await?;
        assert_eq!(&attempts(&transitions[0]), expected, "{name}");
        let id = format!("{rule}-1");
        assert!(receiver.requests().iter().all(|request| request.header("webhook-id") == id), "{name}");
        assert_eq!(receiver.requests().len(), expected.len(), "{name}");
        if *name == "busy" {
            let at = |index: usize| transitions[0]["deliveries"][index]["at"].as_i64();
            let waited = at(1).zip(at(0)).map(|(second, first)| second - first);
            assert!(waited >= Some(2900), "Retry-After was 3 s, but the retry came after {waited:?} ms");
        }
    }
    assert_eq!(target.received(1).await?.len(), 1, "only the redirect that keeps the POST is followed");
    for (receiver, rule) in &not_followed {
        let transitions = history(&client, &project, rule, 1).await?;
        let attempts = attempts(&transitions[0]);
        assert_eq!((attempts.len(), attempts[0].0), (1, "failed"), "{attempts:?}");
        assert_eq!(receiver.requests().len(), 1);
    }
    Ok(())
}
