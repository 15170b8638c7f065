//! Evaluation of rules: failover between replicas, crashes, deletions and edits.

use super::{
    create_channel, create_rule, create_threshold_rule, history, notifications, send, start, wait_for_state,
};
use e2e::receiver::CannedResponse;
use e2e::{Client, Installation, Process, Project, Receiver, Result, client, wait};
use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Reports whether a replica holds the lease for evaluating rules.
async fn evaluates(process: &Process) -> Result<bool> {
    Ok(process.metric("tidemark_alerts_evaluates").await? == 1.0)
}

/// Waits until exactly one replica evaluates; returns it.
async fn lease_holder<'a>(installation: &'a Installation, other: &'a Process) -> Result<&'a Process> {
    wait::until("exactly one replica evaluates", async || {
        Ok(match (evaluates(&installation.query).await?, evaluates(other).await?) {
            (true, false) => Some(&installation.query),
            (false, true) => Some(other),
            _ => None,
        })
    })
    .await
}

async fn wait_for_notifications(receiver: &Receiver, count: usize) -> Result<()> {
    wait::until(&format!("{count} transitions are notified"), async || {
        Ok((notifications(receiver).len() >= count).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_lease_holder_duplicates_no_transition() -> Result<()> {
    const ROUNDS: usize = 3;
    const RULES: usize = 8;
    let (installation, client, project) = start("two_evaluators").await?;
    let (mut other, other_url) = installation.start_query_replica()?;
    other.ready().await?;
    let second = Client::new(vec![client.webhook(0)], other_url);
    let receiver = Receiver::start().await?;
    let (id, _) = create_channel(&client, &project, "webhook", Some(&receiver.url)).await?;
    let metric = |round: usize, rule: usize| format!("m{round}_{rule}");
    let mut rules = Vec::new();
    for round in 0..ROUNDS {
        for index in 0..RULES {
            rules.push(create_threshold_rule(&client, &project, &metric(round, index), &[&id]).await?);
        }
    }
    for round in 0..ROUNDS {
        let holder = lease_holder(&installation, &other).await?;
        for index in 0..RULES {
            send(&client, &project, &metric(round, index), 900.0).await?;
        }
        // The lease holder freezes after a different number of notifications in each round.
        wait_for_notifications(&receiver, round * RULES + round).await?;
        holder.signal(Signal::STOP)?;
        let taken_over = wait_for_notifications(&receiver, (round + 1) * RULES).await;
        holder.signal(Signal::CONT)?;
        taken_over?;
        wait::until("the former lease holder no longer evaluates", async || {
            Ok((!evaluates(holder).await?).then_some(()))
        })
        .await?;
    }
    // Both replicas show the same states, and no rule has more than one transition.
    for rule in &rules {
        wait_for_state(&client, &project, rule, "firing").await?;
        wait_for_state(&second, &project, rule, "firing").await?;
        let transitions = history(&client, &project, rule, 1).await?;
        assert_eq!(transitions.len(), 1, "{rule}: {transitions:?}");
    }
    let notifications = notifications(&receiver);
    let expected: BTreeSet<String> = rules.iter().map(|rule| format!("{rule}-1")).collect();
    assert_eq!(notifications.keys().cloned().collect::<BTreeSet<_>>(), expected);
    for (id, bodies) in &notifications {
        assert!(bodies.iter().all(|body| body == &bodies[0]), "{id} has different bodies: {bodies:?}");
    }
    let repeated = notifications.values().filter(|bodies| bodies.len() > 1).count();
    // A notification that was in flight when its sender froze may be repeated, with the same id.
    assert!(repeated <= ROUNDS, "{repeated} of {} notifications were repeated", notifications.len());
    println!("{} transitions, {repeated} of them notified more than once", notifications.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn transitions_survive_sigkill_and_are_delivered() -> Result<()> {
    let (mut installation, client, project) = start("killed").await?;
    let (available, unavailable) = (Receiver::start().await?, Receiver::start().await?);
    unavailable.respond_with(CannedResponse::new("503 Service Unavailable"));
    let (delivered, _) = create_channel(&client, &project, "webhook", Some(&available.url)).await?;
    let (pending, _) = create_channel(&client, &project, "webhook", Some(&unavailable.url)).await?;
    let rule = create_threshold_rule(&client, &project, "killed", &[&delivered, &pending]).await?;
    send(&client, &project, "killed", 900.0).await?;
    unavailable.received(1).await?;
    available.received(1).await?;
    wait_for_state(&client, &project, &rule, "firing").await?;
    let path = format!("/api/v1/alerts/{rule}/acknowledge");
    let response = client.post(&path, &project.manage_key, &json!({"note": "Ann looks into it"})).await?;
    assert_eq!(client::expect(response, StatusCode::OK).await?["acknowledged"], true);

    installation.query.kill()?;
    unavailable.respond_with(CannedResponse::new("200 OK"));
    installation.query.restart()?;
    installation.query.ready().await?;
    let found = wait_for_state(&client, &project, &rule, "firing").await?;
    assert_eq!(found["acknowledged"], true);
    let transitions = history(&client, &project, &rule, 1).await?;
    assert_eq!(transitions.len(), 1, "the rule must not fire a second time: {transitions:?}");
    assert_eq!(transitions[0]["note"], "Ann looks into it");
    let last_status = |channel: &str| {
        let of_channel = |attempt: &&Value| attempt["channelId"] == channel;
        let last = transitions[0]["deliveries"].as_array().into_iter().flatten().rfind(of_channel);
        last.map(|attempt| attempt["status"].clone())
    };
    for channel in [&delivered, &pending] {
        assert_eq!(last_status(channel), Some(json!("delivered")));
    }
    assert_eq!(notifications(&unavailable).keys().cloned().collect::<Vec<_>>(), [format!("{rule}-1")]);
    // A change during the outage is evaluated afterwards.
    installation.query.kill()?;
    send(&client, &project, "killed", 1.0).await?;
    installation.query.restart()?;
    wait_for_state(&client, &project, &rule, "ok").await?;
    // A replica that was killed before it recorded a delivery repeats the notification with the same id.
    let resolved = wait::until("the resolution is notified", async || {
        Ok(notifications(&available).remove(&format!("{rule}-2")))
    })
    .await?;
    let resolved: Value = serde_json::from_str(&resolved[0])?;
    assert_eq!(resolved["type"], "alert.resolved");
    Ok(())
}

/// Body of a rule on the number of the last hour's points.
fn count_rule(metric: &str, operator: &str, threshold: u32, channel: &str) -> Value {
    json!({"name": format!("{metric} {operator} {threshold}"), "metricId": metric, "aggregation": "count",
        "operator": operator, "threshold": threshold, "range": "1h", "channels": [channel]})
}

/// Replaces a rule.
async fn edit_rule(client: &Client, project: &Project, rule: &str, body: &Value) -> Result<()> {
    let path = format!("/api/v1/alerts/{rule}");
    let version = client.get_json(&path, &project.manage_key).await?["version"].clone();
    let request = reqwest::Client::new()
        .put(format!("{}{path}", client.query_url()))
        .bearer_auth(&project.manage_key)
        .header("if-match", format!("\"{version}\""))
        .json(body);
    client::expect(request.send().await?, StatusCode::OK).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_ignore_deleted_points_and_edits_apply_at_once() -> Result<()> {
    let (_installation, client, project) = start("anew").await?;
    let (channel, _) = create_channel(&client, &project, "in_app", None).await?;
    let several = create_rule(&client, &project, &count_rule("anew", ">", 1, &channel)).await?;
    let one = create_rule(&client, &project, &count_rule("anew", "==", 1, &channel)).await?;
    for value in [1.0, 2.0, 3.0] {
        send(&client, &project, "anew", value).await?;
    }
    wait_for_state(&client, &project, &several, "firing").await?;

    // The metric is recreated with one point: the rule for exactly one point fires only if the others do not
    // count.
    let deleted = client.delete("/api/v1/metrics/anew", &project.manage_key).await?;
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    send(&client, &project, "anew", 4.0).await?;
    wait_for_state(&client, &project, &one, "firing").await?;
    wait_for_state(&client, &project, &several, "ok").await?;

    edit_rule(&client, &project, &one, &count_rule("anew", "==", 7, &channel)).await?;
    wait_for_state(&client, &project, &one, "ok").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn average_of_an_overflowing_sum_fires_and_is_previewed() -> Result<()> {
    let (_installation, client, project) = start("overflow").await?;
    for _ in 0..2 {
        send(&client, &project, "huge", f64::MAX).await?;
    }
    // A short window is read from raw points, a long one from the hourly rollup.
    let rule = |range: &str| {
        json!({"name": range, "metricId": "huge", "aggregation": "avg", "operator": ">", "threshold": 1e300,
            "range": range, "channels": []})
    };
    for range in ["5m", "24h"] {
        let id = create_rule(&client, &project, &rule(range)).await?;
        wait_for_state(&client, &project, &id, "firing").await?;
        wait::until("the preview fires as well", async || {
            let preview = client.post("/api/v1/alerts/preview", &project.manage_key, &rule(range)).await?;
            let preview = client::expect(preview, StatusCode::OK).await?;
            let last = preview["transitions"].as_array().and_then(|transitions| transitions.last().cloned());
            Ok(last.filter(|last| last["to"] == "firing" && last["value"] == f64::MAX))
        })
        .await?;
    }
    Ok(())
}
