//! From a POST over a threshold to the receiver's request. What may never happen: somebody is told of what was not
//! published, a change is made twice or forgotten, whoever fails, stands still or is killed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::receiver::{Answer, Request};
use e2e::{Client, Installation, Process, Project, Receiver, Result, client, wait};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::Sha256;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Two evaluations in a row resolve a rule: they are to be near each other.
const SETTINGS: [(&str, &str); 3] = [
    ("ALERT_INTERVAL", "10s"),
    ("ALLOW_OUTGOING", "127.0.0.0/8"),
    ("PUBLIC_URL", "https://tidemark.example.org"),
];

async fn start(name: &str) -> Result<(Installation, Client, Project)> {
    let installation = Installation::start_with(name, 1, 1, &SETTINGS).await?;
    let client = installation.client();
    let project = client.project("pro").await?;
    Ok((installation, client, project))
}

async fn send(client: &Client, project: &Project, metric: &str, value: f64) -> Result<()> {
    let metrics =
        json!([{"metricId": metric, "metricName": "API Response Time", "unit": "ms", "value": value}]);
    let body = json!({"projectId": project.project_id, "metrics": metrics});
    client::expect(client.send(0, &project.api_key, body.to_string()).await?, StatusCode::OK).await?;
    Ok(())
}

/// Makes a channel; gives its id and its signing secret, which is empty where there is none.
async fn channel(
    client: &Client,
    project: &Project,
    kind: &str,
    url: Option<&str>,
) -> Result<(String, String)> {
    let body = json!({"name": kind, "kind": kind, "url": url});
    let made = client.post("/api/v1/channels", &project.manage_key, &body).await?;
    let made = client::expect(made, StatusCode::CREATED).await?;
    let secret = made["signingSecret"].as_str().unwrap_or_default().to_owned();
    Ok((client::text(&made, "channelId")?, secret))
}

/// A rule that fires when the metric's last value is over 500.
async fn rule(client: &Client, project: &Project, metric: &str, channels: &[&str]) -> Result<String> {
    let body = json!({"name": format!("{metric} is slow"), "metricId": metric, "aggregation": "last", "operator": ">",
        "threshold": 500, "range": "5m", "channels": channels});
    let made = client.post("/api/v1/alerts", &project.manage_key, &body).await?;
    client::text(&client::expect(made, StatusCode::CREATED).await?, "alertId")
}

async fn stands(client: &Client, project: &Project, rule: &str, state: &str) -> Result<Value> {
    let path = format!("/api/v1/alerts/{rule}");
    wait::until(&format!("the rule is {state}"), async || {
        let found = client.read(&path, &project.manage_key).await?;
        Ok((found["state"] == state).then_some(found))
    })
    .await
}

/// The changes of a rule, the first first, once there are so many and whoever was tried was told or given up.
async fn history(client: &Client, project: &Project, rule: &str, count: usize) -> Result<Vec<Value>> {
    let path = format!("/api/v1/alerts/{rule}/history");
    wait::until(&format!("the history of {rule} has {count} changes and their deliveries"), async || {
        let page = client.read(&path, &project.manage_key).await?;
        let mut items = page["items"].as_array().cloned().unwrap_or_default();
        items.reverse();
        let over = |item: &Value| {
            let deliveries = item["deliveries"].as_array().map(Vec::as_slice).unwrap_or_default();
            let last: BTreeMap<_, _> =
                deliveries.iter().map(|it| (it["channelId"].as_str(), &it["status"])).collect();
            !last.is_empty() && last.values().all(|status| *status != "retrying")
        };
        Ok((items.len() >= count && items.iter().all(over)).then_some(items))
    })
    .await
}

fn tries(change: &Value) -> Vec<(&str, u64, &str)> {
    let deliveries = change["deliveries"].as_array().map(Vec::as_slice).unwrap_or_default();
    let parts = |it: &'_ Value| it["attempt"].as_u64().unwrap_or(0);
    deliveries
        .iter()
        .map(|it| {
            (it["status"].as_str().unwrap_or_default(), parts(it), it["error"].as_str().unwrap_or_default())
        })
        .collect()
}

fn is_signed(request: &Request, secret: &str) -> Result<bool> {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").ok_or("not a secret of Standard Webhooks")?)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key)?;
    let (id, timestamp) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    mac.update(format!("{id}.{timestamp}.{}", request.text()).as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    Ok(request.header("webhook-signature") == signature)
}

/// The ids that a webhook was told, with the bodies that came under each.
fn told(receiver: &Receiver) -> BTreeMap<String, Vec<String>> {
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for request in receiver.requests() {
        told.entry(request.header("webhook-id").to_owned()).or_default().push(request.text());
    }
    told
}

async fn evaluates(process: &Process) -> Result<bool> {
    let metrics = reqwest::get(format!("{}/metrics", process.ops_url())).await?.text().await?;
    Ok(metrics.lines().any(|line| line == "tidemark_alerts_evaluates 1"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_over_the_threshold_is_told_to_every_kind_of_channel_in_its_own_form_and_so_is_the_end()
-> Result<()> {
    let (_installation, client, project) = start("kinds").await?;
    let receivers: [Receiver; 4] = [
        Receiver::start().await?,
        // Discord answers so.
        Receiver::answering(vec![Answer::of("204 No Content"), Answer::of("204 No Content")]).await?,
        // Workflows answers so.
        Receiver::answering(vec![Answer::of("202 Accepted"), Answer::of("202 Accepted")]).await?,
        Receiver::start().await?,
    ];
    let (mut ids, mut secret) = (Vec::new(), String::new());
    for (kind, receiver) in ["slack", "discord", "teams", "webhook"].into_iter().zip(&receivers) {
        let (id, signing) = channel(&client, &project, kind, Some(&receiver.url)).await?;
        secret += &signing;
        ids.push(id);
    }
    ids.push(channel(&client, &project, "in_app", None).await?.0);
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    send(&client, &project, "api_time", 100.0).await?;
    let rule = rule(&client, &project, "api_time", &ids).await?;
    send(&client, &project, "api_time", 812.5).await?;

    let mut first = Vec::new();
    for receiver in &receivers {
        let requests = receiver.received(1).await?;
        assert_eq!(requests.len(), 1, "nobody was called when channels and rule were made");
        assert_eq!(requests[0].header("content-type"), "application/json");
        first.push(requests[0].clone());
    }
    let slack = first[0].json()?;
    assert_eq!(slack["text"], "Firing: api_time is slow");
    let kinds: Vec<&Value> =
        slack["blocks"].as_array().into_iter().flatten().map(|block| &block["type"]).collect();
    assert_eq!(kinds, ["header", "section", "section"]);
    assert_eq!(slack["blocks"][0]["text"]["type"], "plain_text");
    assert_eq!(slack["blocks"][1]["fields"][1], json!({"type": "mrkdwn", "text": "*Value*\n812.5 ms"}));
    assert_eq!(
        slack["blocks"][1]["fields"][2],
        json!({"type": "mrkdwn", "text": "*Threshold*\n&gt; 500 ms"})
    );
    let discord = first[1].json()?;
    assert_eq!(discord["allowed_mentions"], json!({"parse": []}));
    assert_eq!(
        discord["embeds"][0]["fields"][1],
        json!({"name": "Value", "value": "812.5 ms", "inline": true})
    );
    assert!(discord["embeds"][0]["color"].is_u64() && discord["embeds"][0]["timestamp"].is_string());
    let teams = first[2].json()?;
    let card = &teams["attachments"][0];
    assert_eq!((&teams["type"], &card["contentUrl"]), (&json!("message"), &Value::Null));
    assert_eq!(card["contentType"], "application/vnd.microsoft.card.adaptive");
    assert_eq!(
        (&card["content"]["type"], &card["content"]["version"]),
        (&json!("AdaptiveCard"), &json!("1.4"))
    );
    assert_eq!(card["content"]["body"][1]["facts"][1], json!({"title": "Value", "value": "812.5 ms"}));
    assert_eq!(card["content"]["actions"][0]["type"], "Action.OpenUrl");
    let webhook = first[3].json()?;
    assert!(is_signed(&first[3], &secret)?);
    assert_eq!(first[3].header("webhook-id"), format!("{rule}-1"));
    assert_eq!((&webhook["type"], &webhook["data"]["alertId"]), (&json!("alert.firing"), &json!(rule)));
    for (field, value) in
        [("value", json!(812.5)), ("unit", json!("ms")), ("threshold", json!(500.0)), ("range", json!("5m"))]
    {
        assert_eq!(webhook["data"][field], value, "{field}");
    }
    assert!(
        webhook["data"]["link"]
            .as_str()
            .is_some_and(|link| link == format!("https://tidemark.example.org/alerts/{rule}")),
        "{webhook}"
    );

    send(&client, &project, "api_time", 3.0).await?;
    for receiver in &receivers {
        assert_eq!(receiver.received(2).await?.len(), 2, "one request for each change");
    }
    assert_eq!(receivers[0].requests()[1].json()?["text"], "Resolved: api_time is slow");
    assert_eq!(receivers[3].requests()[1].json()?["type"], "alert.resolved");
    let changes = history(&client, &project, &rule, 2).await?;
    let states: Vec<_> = changes.iter().map(|change| (&change["from"], &change["to"])).collect();
    assert_eq!(states, [(&json!("ok"), &json!("firing")), (&json!("firing"), &json!("ok"))]);
    let inbox = client.read("/api/v1/inbox", &project.manage_key).await?;
    assert_eq!((&inbox["unread"], &inbox["items"][1]["event"]), (&json!(2), &json!("firing")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_fails_is_slow_asks_for_time_or_sends_us_on_hears_it_in_the_end_and_every_try_is_recorded()
-> Result<()> {
    let (_installation, client, project) = start("receivers").await?;
    let moved = Receiver::start().await?;
    let there = Answer::of("308 Permanent Redirect").with("location", &moved.url);
    let outside = Answer::of("307 Temporary Redirect").with("location", "http://10.11.12.13/");
    let to_get = Answer::of("302 Found").with("location", &moved.url);
    let busy = Answer::of("429 Too Many Requests").with("retry-after", "3");
    let cases = [
        (
            "failing",
            Answer::of("500 Oh"),
            vec![("retrying", 1, "the receiver answered 500"), ("delivered", 2, "")],
        ),
        (
            "slow",
            Answer::of("200 OK").after(Duration::from_secs(60)),
            vec![("retrying", 1, "the receiver did not answer in time"), ("delivered", 2, "")],
        ),
        ("busy", busy, vec![("retrying", 1, "the receiver answered 429"), ("delivered", 2, "")]),
        ("moved", there, vec![("delivered", 1, "")]),
        ("gone", Answer::of("410 Gone"), vec![("failed", 1, "the receiver answered 410")]),
    ];
    let mut running = Vec::new();
    for (name, answer, expected) in cases {
        let receiver = Receiver::answering(vec![answer]).await?;
        let (id, _) = channel(&client, &project, "webhook", Some(&receiver.url)).await?;
        let rule = rule(&client, &project, name, &[&id]).await?;
        running.push((name, receiver, rule, expected));
    }
    let mut astray = Vec::new();
    for (name, answer) in [("outside", outside), ("to_get", to_get)] {
        let receiver = Receiver::answering(vec![answer]).await?;
        let (id, _) = channel(&client, &project, "webhook", Some(&receiver.url)).await?;
        astray.push((rule(&client, &project, name, &[&id]).await?, receiver));
    }
    for name in ["failing", "slow", "busy", "moved", "gone", "outside", "to_get"] {
        send(&client, &project, name, 900.0).await?;
    }
    for (name, receiver, rule, expected) in &running {
        let changes = history(&client, &project, rule, 1).await?;
        assert_eq!(&tries(&changes[0]), expected, "{name}");
        let id = format!("{rule}-1");
        assert!(receiver.requests().iter().all(|request| request.header("webhook-id") == id), "{name}");
        assert_eq!(receiver.requests().len(), expected.len(), "{name}");
        if *name == "busy" {
            let at = |index: usize| changes[0]["deliveries"][index]["at"].as_i64();
            let waited = at(1).zip(at(0)).map(|(second, first)| second - first);
            assert!(waited >= Some(2900), "it asked for three seconds: {waited:?}");
        }
    }
    assert_eq!(moved.received(1).await?.len(), 1, "the redirect that keeps the POST, and no other");
    for (rule, receiver) in &astray {
        let changes = history(&client, &project, rule, 1).await?;
        let tries = tries(&changes[0]);
        assert_eq!((tries.len(), tries[0].0), (1, "failed"), "{tries:?}");
        assert_eq!(receiver.requests().len(), 1);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_evaluators_of_which_one_stood_still_each_change_is_made_and_told_once() -> Result<()> {
    const ROUNDS: usize = 3;
    const RULES: usize = 8;
    let (installation, client, project) = start("two_evaluators").await?;
    let (mut other, other_url) = installation.another_query()?;
    other.ready().await?;
    let second = Client::new(vec![client.webhook(0)], other_url);
    let receiver = Receiver::start().await?;
    let (id, _) = channel(&client, &project, "webhook", Some(&receiver.url)).await?;
    let metric = |round: usize, rule: usize| format!("m{round}_{rule}");
    let mut rules = Vec::new();
    for round in 0..ROUNDS {
        for index in 0..RULES {
            rules.push(rule(&client, &project, &metric(round, index), &[&id]).await?);
        }
    }
    let mut fired = 0;
    for round in 0..ROUNDS {
        let holder = wait::until("somebody evaluates, and only one", async || {
            Ok(match (evaluates(&installation.query).await?, evaluates(&other).await?) {
                (true, false) => Some(&installation.query),
                (false, true) => Some(&other),
                _ => None,
            })
        })
        .await?;
        // It stands still in the middle of what it does with these.
        for index in 0..RULES {
            send(&client, &project, &metric(round, index), 900.0).await?;
        }
        let begun = fired + round;
        wait::until(
            "the first of them are told",
            async || Ok((told(&receiver).len() >= begun).then_some(())),
        )
        .await?;
        holder.signal(Signal::STOP)?;
        fired += RULES;
        let after = wait::until("the other one tells them all", async || {
            Ok((told(&receiver).len() >= fired).then_some(()))
        })
        .await;
        holder.signal(Signal::CONT)?;
        after?;
        // It finds out that it is no longer the one.
        wait::until("the one that stood still evaluates no more", async || {
            Ok((!evaluates(holder).await?).then_some(()))
        })
        .await?;
    }
    // Both tell the same, and no rule changed more than once.
    for rule in &rules {
        stands(&client, &project, rule, "firing").await?;
        stands(&second, &project, rule, "firing").await?;
        let changes = history(&client, &project, rule, 1).await?;
        assert_eq!(changes.len(), 1, "{rule}: {changes:?}");
    }
    let told = told(&receiver);
    let expected: BTreeSet<String> = rules.iter().map(|rule| format!("{rule}-1")).collect();
    assert_eq!(told.keys().cloned().collect::<BTreeSet<_>>(), expected);
    for (id, bodies) in &told {
        assert!(bodies.iter().all(|body| body == &bodies[0]), "{id} said two things: {bodies:?}");
    }
    let repeated = told.values().filter(|bodies| bodies.len() > 1).count();
    // Only what was on its way when its sender stood still may come again, under its id.
    assert!(repeated <= ROUNDS, "{repeated} of {} came more than once", told.len());
    println!("{} changes, {repeated} of them repeated under their id", told.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_survives_kill_9_and_is_told_once_somebody_listens() -> Result<()> {
    let (mut installation, client, project) = start("killed").await?;
    let (listening, away) = (Receiver::start().await?, Receiver::start().await?);
    away.answer(Answer::of("503 Service Unavailable"));
    let (heard, _) = channel(&client, &project, "webhook", Some(&listening.url)).await?;
    let (unheard, _) = channel(&client, &project, "webhook", Some(&away.url)).await?;
    let rule = rule(&client, &project, "killed", &[&heard, &unheard]).await?;
    send(&client, &project, "killed", 900.0).await?;
    away.received(1).await?;
    listening.received(1).await?;
    stands(&client, &project, &rule, "firing").await?;
    let path = format!("/api/v1/alerts/{rule}/acknowledge");
    let said = client.post(&path, &project.manage_key, &json!({"note": "Ann looks into it"})).await?;
    assert_eq!(client::expect(said, StatusCode::OK).await?["acknowledged"], true);

    installation.query.kill()?;
    away.answer(Answer::of("200 OK"));
    installation.query.restart()?;
    installation.query.ready().await?;
    let found = stands(&client, &project, &rule, "firing").await?;
    assert_eq!(found["acknowledged"], true);
    let changes = history(&client, &project, &rule, 1).await?;
    assert_eq!(changes.len(), 1, "it does not fire a second time: {changes:?}");
    assert_eq!(changes[0]["note"], "Ann looks into it");
    let of = |channel: &str| {
        let of_channel = |tried: &&Value| tried["channelId"] == channel;
        changes[0]["deliveries"].as_array().into_iter().flatten().rfind(of_channel).cloned()
    };
    for channel in [&heard, &unheard] {
        assert_eq!(of(channel).map(|last| last["status"].clone()), Some(json!("delivered")));
    }
    assert_eq!(told(&away).keys().cloned().collect::<Vec<_>>(), [format!("{rule}-1")]);
    // What happens while nobody runs is found afterwards.
    installation.query.kill()?;
    send(&client, &project, "killed", 1.0).await?;
    installation.query.restart()?;
    stands(&client, &project, &rule, "ok").await?;
    // One that was killed before it wrote down that it had told somebody tells it again, under the same id.
    let ends = wait::until("the end is told", async || {
        let mut told = told(&listening);
        Ok(told.remove(&format!("{rule}-2")))
    })
    .await?;
    let end: Value = serde_json::from_str(&ends[0])?;
    assert_eq!(end["type"], "alert.resolved");
    Ok(())
}

/// A rule on the number of the last hour's points.
fn counts(metric: &str, operator: &str, threshold: u32, channel: &str) -> Value {
    json!({"name": format!("{metric} {operator} {threshold}"), "metricId": metric, "aggregation": "count",
        "operator": operator, "threshold": threshold, "range": "1h", "channels": [channel]})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_counts_for_no_rule_and_an_edited_rule_waits_for_no_point() -> Result<()> {
    let (_installation, client, project) = start("anew").await?;
    let (channel, _) = channel(&client, &project, "in_app", None).await?;
    let mut ids = Vec::new();
    for (operator, threshold) in [(">", 1), ("==", 1)] {
        let body = counts("anew", operator, threshold, &channel);
        let made = client.post("/api/v1/alerts", &project.manage_key, &body).await?;
        ids.push(client::text(&client::expect(made, StatusCode::CREATED).await?, "alertId")?);
    }
    let [several, one] = &ids[..] else { return Err("two rules were made".into()) };
    for value in [1.0, 2.0, 3.0] {
        send(&client, &project, "anew", value).await?;
    }
    stands(&client, &project, several, "firing").await?;

    // The same metric begins anew: the rule that sees exactly one point says that the others are gone for both.
    let gone = client.delete("/api/v1/metrics/anew", &project.manage_key).await?;
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    send(&client, &project, "anew", 4.0).await?;
    stands(&client, &project, one, "firing").await?;
    stands(&client, &project, several, "ok").await?;

    let path = format!("/api/v1/alerts/{one}");
    let version = client.read(&path, &project.manage_key).await?["version"].clone();
    let edited = reqwest::Client::new()
        .put(format!("{}{path}", client.query_url()))
        .bearer_auth(&project.manage_key)
        .header("if-match", format!("\"{version}\""))
        .json(&counts("anew", "==", 7, &channel));
    client::expect(edited.send().await?, StatusCode::OK).await?;
    stands(&client, &project, one, "ok").await?;
    Ok(())
}
