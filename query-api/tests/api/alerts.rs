//! Alert rules, from their creation to the receivers.

use crate::receiver::{Answer, Receiver, Request};
use crate::support::{Caller, OPERATOR, Sample, details, read, refused, shared, text, until};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use std::time::Duration;

fn rule(channels: &[String]) -> Value {
    json!({
        "name": "Too slow", "metricId": "api_response_time", "aggregation": "last", "operator": ">", "threshold": 500,
        "range": "1h", "channels": channels,
    })
}

async fn channel(manager: &Caller, kind: &str, url: Option<&str>) -> (String, Value) {
    let (status, created) =
        manager.post("/api/v1/channels", &json!({"name": kind, "kind": kind, "url": url})).await;
    assert_eq!(status, 201, "{created}");
    (text(&created, "channelId"), created)
}

async fn create_rule(manager: &Caller, rule: &Value) -> String {
    let (status, created) = manager.post("/api/v1/alerts", rule).await;
    assert_eq!(status, 201, "{created}");
    assert_eq!((&created["state"], &created["acknowledged"]), (&json!("ok"), &json!(false)));
    text(&created, "alertId")
}

async fn store_value(project: &str, value: f64) {
    let now = service::clock::now_ms();
    let sample = Sample {
        metric: "api_response_time",
        time: now - 1,
        received_at: now,
        offset: now,
        value,
        name: "API Response Time",
        unit: "ms",
        ..Sample::default()
    };
    shared().store(project, &[sample]).await;
}

async fn await_state(manager: &Caller, path: &str, state: &str) {
    until(state, || async { manager.ok(path).await["state"] == state }).await;
}

/// Waits until all deliveries of the newest transition have finished, and returns them.
async fn deliveries(manager: &Caller, path: &str) -> Vec<Value> {
    let newest = async || {
        let history = manager.ok(&format!("{path}/history")).await;
        history["items"][0]["deliveries"].as_array().cloned().unwrap_or_default()
    };
    until("the deliveries", || async {
        let last = newest().await.last().map(|delivery| delivery["status"].clone());
        last.is_some_and(|status| status == "delivered" || status == "failed")
    })
    .await;
    newest().await
}

fn is_signed(request: &Request, secret: &str) -> bool {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").expect("a secret")).expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
    let content =
        format!("{}.{}.{}", request.header("webhook-id"), request.header("webhook-timestamp"), request.text);
    mac.update(content.as_bytes());
    request.header("webhook-signature") == format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_notifies_every_channel_kind_until_it_is_resolved() {
    let (project, manager) = shared().project().await;
    let mut receivers = Vec::new();
    let (mut ids, mut secret) = (Vec::new(), String::new());
    for kind in ["slack", "discord", "teams", "webhook"] {
        let receiver = Receiver::start(vec![Answer::of("204 No Content")]).await;
        let (id, created) = channel(&manager, kind, Some(&receiver.url)).await;
        if kind == "webhook" {
            secret = text(&created, "signingSecret");
        }
        ids.push(id);
        receivers.push(receiver);
    }
    ids.push(channel(&manager, "in_app", None).await.0);
    let alert = create_rule(&manager, &rule(&ids)).await;
    let path = format!("/api/v1/alerts/{alert}");
    refused(manager.post(&format!("{path}/acknowledge"), &json!({})).await, 409, "conflict");
    store_value(&project, 812.5).await;
    await_state(&manager, &path, "firing").await;

    let first = |index: usize| receivers[index].await_requests(1);
    let slack = first(0).await[0].json();
    assert_eq!(slack["text"], "Firing: Too slow");
    assert!(slack["blocks"][1]["fields"].to_string().contains("812.5 ms"), "{slack}");
    let discord = first(1).await[0].json();
    assert_eq!(discord["embeds"][0]["fields"][2]["value"], "> 500 ms");
    let teams = first(2).await[0].json();
    assert_eq!(teams["attachments"][0]["content"]["body"][1]["facts"][3]["value"], "last over 1h");
    let webhook = first(3).await[0].clone();
    assert_eq!(webhook.path, "/hook");
    let body = webhook.json();
    assert_eq!((&body["type"], &body["data"]["value"]), (&json!("alert.firing"), &json!(812.5)));
    assert_eq!((&body["data"]["unit"], &body["data"]["alertId"]), (&json!("ms"), &json!(alert)));
    assert_eq!(webhook.header("webhook-id"), format!("{alert}-1"));
    assert!(is_signed(&webhook, &secret));

    let query = r#"last_over_time({metric_id="api_response_time"}[1h]) > 500"#;
    let rules = manager.ok("/prometheus/api/v1/rules").await;
    let listed = &rules["data"]["groups"][0]["rules"][0];
    assert_eq!((&listed["query"], &listed["state"]), (&json!(query), &json!("firing")), "{rules}");
    for (filter, found) in
        [("type=alert&rule_name[]=Too%20slow", 1), ("type=record", 0), ("rule_name[]=Other", 0)]
    {
        let rules = manager.ok(&format!("/prometheus/api/v1/rules?{filter}")).await;
        assert_eq!(rules["data"]["groups"].as_array().map(Vec::len), Some(found), "{filter}");
    }
    let alerts = manager.ok("/prometheus/api/v1/alerts").await;
    let listed = &alerts["data"]["alerts"][0];
    assert_eq!((&listed["labels"]["alertname"], &listed["value"]), (&json!("Too slow"), &json!("812.5")));

    until("a notification in the inbox", || async { manager.ok("/api/v1/inbox").await["unread"] == 1 }).await;
    let note = json!({"note": "Ann looks into it"});
    let (status, acknowledged) = manager.post(&format!("{path}/acknowledge"), &note).await;
    assert_eq!((status, &acknowledged["acknowledged"]), (200, &json!(true)));

    store_value(&project, 3.0).await;
    await_state(&manager, &path, "ok").await;
    for receiver in &receivers {
        assert_eq!(receiver.await_requests(2).await.len(), 2, "one for each transition");
    }
    assert_eq!(receivers[3].requests()[1].json()["type"], "alert.resolved");
    assert_eq!(manager.ok(&path).await["acknowledged"], false);

    let history = async || manager.ok(&format!("{path}/history")).await;
    until("the history", || async {
        let history = history().await;
        let complete = |item: &Value| item["deliveries"].as_array().is_some_and(|all| all.len() == 5);
        history["items"].as_array().is_some_and(|items| items.len() == 2 && items.iter().all(complete))
    })
    .await;
    let history = history().await;
    let (resolved, fired) = (&history["items"][0], &history["items"][1]);
    assert_eq!((&fired["from"], &fired["to"]), (&json!("ok"), &json!("firing")));
    assert_eq!((&fired["value"], &fired["threshold"]), (&json!(812.5), &json!(500.0)));
    assert_eq!((&fired["note"], &fired["acknowledgedBy"]), (&note["note"], &json!("Project key")));
    assert_eq!((&resolved["to"], &resolved["acknowledgedBy"]), (&json!("ok"), &Value::Null));
    for delivery in fired["deliveries"].as_array().expect("deliveries") {
        assert_eq!((&delivery["status"], &delivery["attempt"]), (&json!("delivered"), &json!(1)));
    }
    let page = manager.ok(&format!("{path}/history?limit=1")).await;
    let next = manager.ok(&format!("{path}/history?limit=1&cursor={}", text(&page, "nextCursor"))).await;
    assert_eq!((&next["items"][0]["to"], &next["nextCursor"]), (&json!("firing"), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_delivery_is_retried_with_the_same_id() {
    let (project, manager) = shared().project().await;
    let pause = Answer::with("429 Too Many Requests", "retry-after: 1");
    let receiver = Receiver::start(vec![Answer::of("500 Oh"), pause]).await;
    let (id, _) = channel(&manager, "webhook", Some(&receiver.url)).await;
    let alert = create_rule(&manager, &rule(&[id])).await;
    store_value(&project, 900.0).await;
    let path = format!("/api/v1/alerts/{alert}");
    await_state(&manager, &path, "firing").await;
    let requests = receiver.await_requests(3).await;
    assert!(requests.iter().all(|request| request.header("webhook-id") == format!("{alert}-1")));
    let tries = deliveries(&manager, &path).await;
    let seen: Vec<_> = tries.iter().map(|t| (text(t, "status"), t["attempt"].as_u64())).collect();
    let retrying = || "retrying".to_owned();
    assert_eq!(seen, [(retrying(), Some(1)), (retrying(), Some(2)), ("delivered".to_owned(), Some(3))]);
    assert_eq!(tries[0]["error"], "the receiver answered 500");
    assert_eq!(tries[1]["error"], "the receiver answered 429");
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_to_a_slow_receiver_is_retried() {
    let (project, manager) = shared().project().await;
    let slow = Answer { delay: Duration::from_secs(60), ..Answer::of("200 OK") };
    let receiver = Receiver::start(vec![slow]).await;
    let (id, _) = channel(&manager, "discord", Some(&receiver.url)).await;
    let alert = create_rule(&manager, &rule(&[id])).await;
    store_value(&project, 900.0).await;
    let path = format!("/api/v1/alerts/{alert}");
    await_state(&manager, &path, "firing").await;
    receiver.await_requests(2).await;
    let tries = deliveries(&manager, &path).await;
    assert_eq!(tries[0]["error"], "the receiver did not answer in time");
    assert_eq!(tries[1]["status"], "delivered");
}

#[tokio::test(flavor = "multi_thread")]
async fn redirect_to_a_private_address_is_not_followed() {
    let (project, manager) = shared().project().await;
    let redirect = Answer::with("307 Temporary Redirect", "location: http://10.11.12.13/");
    let receiver = Receiver::start(vec![redirect]).await;
    let (id, _) = channel(&manager, "teams", Some(&receiver.url)).await;
    let alert = create_rule(&manager, &rule(&[id])).await;
    store_value(&project, 900.0).await;
    let path = format!("/api/v1/alerts/{alert}");
    await_state(&manager, &path, "firing").await;
    let tries = deliveries(&manager, &path).await;
    assert_eq!((tries.len(), &tries[0]["status"]), (1, &json!("failed")));
    assert!(text(&tries[0], "error").contains("not public"), "{tries:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_a_firing_rule_resolves_it() {
    let (project, manager) = shared().project().await;
    let receiver = Receiver::start(Vec::new()).await;
    let (id, _) = channel(&manager, "webhook", Some(&receiver.url)).await;
    let alert = create_rule(&manager, &rule(&[id])).await;
    store_value(&project, 900.0).await;
    let path = format!("/api/v1/alerts/{alert}");
    await_state(&manager, &path, "firing").await;
    let rule_of = |request: &Request| request.json()["data"].take();
    assert_eq!(rule_of(&receiver.await_requests(1).await[0])["reason"], Value::Null);
    let removed = read(manager.request(Method::DELETE, &path).header("if-match", "\"1\"")).await;
    assert_eq!(removed.0, 204, "{removed:?}");
    let requests = receiver.await_requests(2).await;
    assert_eq!(requests[1].json()["type"], "alert.resolved");
    let data = rule_of(&requests[1]);
    assert_eq!((&data["value"], &data["reason"]), (&Value::Null, &json!("rule_ended")));
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced_rule_is_evaluated_at_once_without_old_state() {
    let (project, manager) = shared().project().await;
    store_value(&project, 900.0).await;
    let start = std::time::Instant::now();
    let path = format!("/api/v1/alerts/{}", create_rule(&manager, &rule(&[])).await);
    await_state(&manager, &path, "firing").await;
    let put = async |change: Value, version: u64| {
        let mut rule = rule(&[]);
        for (field, value) in change.as_object().expect("fields") {
            rule[field] = value.clone();
        }
        let request = manager.request(Method::PUT, &path).header("if-match", format!("\"{version}\""));
        assert_eq!(read(request.json(&rule)).await.0, 200, "{rule}");
    };
    put(json!({"threshold": 1000}), 1).await;
    await_state(&manager, &path, "ok").await;
    put(json!({"threshold": 100}), 2).await;
    await_state(&manager, &path, "firing").await;
    put(json!({"metricId": "none"}), 3).await;
    await_state(&manager, &path, "ok").await;
    put(json!({"metricId": "none", "noData": "fire"}), 4).await;
    await_state(&manager, &path, "no_data").await;
    put(json!({"metricId": "none"}), 5).await;
    await_state(&manager, &path, "ok").await;
    let elapsed = start.elapsed();
    // All rules are evaluated every ten seconds.
    assert!(elapsed < Duration::from_secs(50), "six changes did not wait for six rounds: {elapsed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn test_notification_has_value_metric_name_and_unit() {
    let (project, manager) = shared().project().await;
    let receiver = Receiver::start(Vec::new()).await;
    let (id, _) = channel(&manager, "webhook", Some(&receiver.url)).await;
    store_value(&project, 12.5).await;
    let path = format!("/api/v1/alerts/{}", create_rule(&manager, &rule(&[id])).await);
    let (status, started) = manager.post(&format!("{path}/test"), &json!({})).await;
    assert_eq!(status, 202, "{started}");
    let body = receiver.await_requests(1).await[0].json();
    assert_eq!((&body["type"], &body["data"]["id"]), (&json!("alert.test"), &started["testId"]));
    let data = &body["data"];
    assert_eq!((&data["metricName"], &data["unit"]), (&json!("API Response Time"), &json!("ms")));
    assert_eq!((&data["value"], &data["threshold"]), (&json!(12.5), &json!(500.0)));
    let tries = deliveries(&manager, &path).await;
    assert_eq!((tries.len(), &tries[0]["status"]), (1, &json!("delivered")));
    let item = &manager.ok(&format!("{path}/history")).await["items"][0];
    assert_eq!((&item["from"], &item["to"], &item["test"]), (&json!("ok"), &json!("ok"), &json!(true)));
    assert_eq!((&item["value"], &item["threshold"]), (&json!(12.5), &json!(500.0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_without_alerts_forbids_alert_calls() {
    let body = json!({"name": "Small", "plan": "free"});
    let (_, project) = shared().client(OPERATOR).post("/api/v1/projects", &body).await;
    let manager = shared().client(&text(&project, "manageKey"));
    let (_, created) = manager.post("/api/v1/keys", &json!({"name": "x", "scopes": ["read"]})).await;
    let reader = shared().client(&text(&created, "key"));
    let anonymous = Caller { url: shared().url.clone(), key: None };
    // Everything else is invalid too, but the plan is checked first.
    for (method, path, manages) in [
        (Method::GET, "/api/v1/alerts?limit=x", false),
        (Method::POST, "/api/v1/alerts", true),
        (Method::POST, "/api/v1/alerts/preview", false),
        (Method::GET, "/api/v1/alerts/none", false),
        (Method::PUT, "/api/v1/alerts/none", true),
        (Method::DELETE, "/api/v1/alerts/none", true),
        (Method::GET, "/api/v1/alerts/none/history?cursor=x", false),
        (Method::POST, "/api/v1/alerts/none/acknowledge", true),
        (Method::POST, "/api/v1/alerts/none/test", true),
    ] {
        let call = |caller: &Caller| caller.request(method.clone(), path);
        for body in ["", "[]", "{bad", "{}"] {
            refused(read(call(&manager).body(body)).await, 403, "plan_required");
        }
        let form = call(&manager).header("content-type", "text/plain").body("x");
        refused(read(form).await, 403, "plan_required");
        refused(read(call(&anonymous).body("{bad")).await, 401, "missing_key");
        let code = if manages { "insufficient_scope" } else { "plan_required" };
        refused(read(call(&reader).body("{bad")).await, 403, code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_can_be_read_replaced_and_listed_and_are_validated() {
    let (_, manager) = shared().project().await;
    let (_, other_project) = shared().project().await;
    let (foreign, _) = channel(&other_project, "in_app", None).await;
    let wrong = json!({"name": "", "metricId": "a b", "operator": "=", "threshold": "5", "range": "2h",
        "aggregation": "mode", "enabled": 1, "noData": "shout", "channels": [foreign]});
    let answer = refused(manager.post("/api/v1/alerts", &wrong).await, 400, "invalid_parameter");
    assert_eq!(
        details(&answer),
        [
            "name bad_name",
            "metricId bad_metric_id",
            "aggregation unknown_word",
            "operator unknown_word",
            "threshold not_a_number",
            "range unknown_word",
            "enabled not_a_boolean",
            "noData unknown_word",
            "channels unknown_channel"
        ]
    );
    let id = create_rule(&manager, &rule(&[])).await;
    let path = format!("/api/v1/alerts/{id}");
    let alert = manager.ok(&path).await;
    assert_eq!((&alert["noData"], &alert["enabled"]), (&json!("ignore"), &json!(true)));
    refused(manager.put(&path, &rule(&[])).await, 428, "version_required");
    let put =
        |tag: &'static str| manager.request(Method::PUT, &path).header("if-match", tag).json(&rule(&[]));
    refused(read(put("\"9\"")).await, 412, "version_mismatch");
    assert_eq!(read(put("\"1\"")).await.1["version"], 2);
    refused(other_project.get(&path).await, 404, "not_found");
    assert_eq!(manager.ok("/api/v1/alerts").await["items"].as_array().map(Vec::len), Some(1));
    refused(manager.post(&format!("{path}/test"), &json!({})).await, 409, "conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_continues_without_a_removed_channel() {
    let (_, manager) = shared().project().await;
    let (removed, _) = channel(&manager, "in_app", None).await;
    let (kept, _) = channel(&manager, "in_app", None).await;
    let path =
        format!("/api/v1/alerts/{}", create_rule(&manager, &rule(&[removed.clone(), kept.clone()])).await);
    let only =
        format!("/api/v1/alerts/{}", create_rule(&manager, &rule(std::slice::from_ref(&removed))).await);
    assert_eq!(manager.delete(&format!("/api/v1/channels/{removed}")).await.0, 204);
    let alert = manager.ok(&path).await;
    assert_eq!((&alert["channels"], &alert["version"]), (&json!([kept]), &json!(1)));
    let listed = manager.ok("/api/v1/alerts").await;
    assert_eq!((&listed["items"][0], &listed["items"][1]["channels"]), (&alert, &json!([])));
    let put = read(manager.request(Method::PUT, &path).header("if-match", "\"1\"").json(&alert)).await;
    assert_eq!(
        (put.0, &put.1["channels"]),
        (200, &json!([kept])),
        "the answer of GET is a valid body of PUT"
    );
    let (status, started) = manager.post(&format!("{path}/test"), &json!({})).await;
    assert_eq!((status, &started["channels"]), (202, &json!([kept])));
    refused(manager.post(&format!("{only}/test"), &json!({})).await, 409, "conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn preview_returns_past_transitions() {
    let (project, manager) = shared().project().await;
    const STEP: i64 = 300_000;
    let now = service::clock::now_ms();
    // Low values with one spike an hour ago.
    let samples: Vec<Sample> = (1..100i64)
        .map(|i| Sample {
            metric: "m",
            time: now - i * STEP,
            received_at: now,
            value: if i == 12 { 99.0 } else { 1.0 },
            offset: i,
            ..Sample::default()
        })
        .collect();
    shared().store(&project, &samples).await;
    for (aggregation, value) in [("max", 99.0), ("p99", 97.04)] {
        let rule = json!({"name": "x", "metricId": "m", "aggregation": aggregation, "operator": ">", "threshold": 50,
            "range": "15m"});
        let (status, preview) = manager.post("/api/v1/alerts/preview", &rule).await;
        assert_eq!(status, 200, "{preview}");
        let transitions = preview["transitions"].as_array().expect("transitions");
        let seen: Vec<_> = transitions.iter().map(|t| (t["at"].as_i64(), text(t, "to"))).collect();
        assert_eq!(seen.len(), 2, "{preview}");
        // Evaluations end shortly after these times: the spike is in the window of one evaluation and of the
        // next two.
        let since_spike = |at: Option<i64>| (at.expect("a time") - (now - 12 * STEP)) / STEP;
        assert_eq!((since_spike(seen[0].0), seen[0].1.as_str()), (0, "firing"));
        assert_eq!((since_spike(seen[1].0), seen[1].1.as_str()), (3, "ok"));
        let measured = transitions[0]["value"].as_f64().expect("a value");
        assert!((measured - value).abs() < 1e-9, "{measured}");
    }
    assert_eq!(manager.ok("/api/v1/alerts").await["items"], json!([]), "a preview creates no rule");
}
