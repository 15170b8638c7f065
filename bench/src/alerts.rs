//! Alerts: time from a POST to the receiver's request, and cost of evaluating many rules.

use crate::statistics::quantile;
use e2e::receiver::Request;
use e2e::{Client, Installation, Project, Receiver, Result, client, wait};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::Instant;
use tokio::task::JoinSet;

/// Number of rules that exist while the time to the receiver is measured.
const RULES_DURING_POSTS: usize = 1000;
/// Number of rules that are created concurrently.
const CREATORS: usize = 16;
/// Number of measured evaluations of all rules.
const EVALUATIONS: u64 = 5;
/// Number of points per series, over thirty days.
const POINTS: usize = 1000;
const WINDOWS: [&str; 6] = ["5m", "15m", "1h", "24h", "7d", "30d"];
const AGGREGATIONS: [&str; 5] = ["avg", "max", "count", "last", "p99"];

/// Prints p50 and p99 from POST to receiver with 1,000 rules, then queries and duration of evaluations of
/// `rules` rules over `series` series.
pub async fn run(rules: usize, series: usize, posts: usize) -> Result<()> {
    let settings = [("ALERT_INTERVAL", "10s"), ("ALLOW_OUTGOING", "127.0.0.0/8")];
    let installation = Installation::start_with("bench", 1, 1, &settings).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    fill(&installation, &project.project_id, series).await?;

    let receiver = Receiver::start().await?;
    let body = json!({"name": "Receiver", "kind": "webhook", "url": receiver.url});
    let response = client.post("/api/v1/channels", &project.manage_key, &body).await?;
    let channel = client::text(&client::expect(response, StatusCode::CREATED).await?, "channelId")?;
    let firing_rule = |index: usize| {
        json!({"name": "Bench", "metricId": format!("firing_{index}"), "aggregation": "last", "operator": ">",
            "threshold": 500, "range": "5m", "channels": [channel]})
    };
    create(&client, &project, (0..posts).map(firing_rule).collect()).await?;
    let idle = RULES_DURING_POSTS.min(rules).saturating_sub(posts);
    create(&client, &project, (0..idle).map(|index| idle_rule(index, series)).collect()).await?;
    wait_for_rules(&installation, posts + idle).await?;
    let mut latencies = Vec::new();
    for index in 0..posts {
        let metric = format!("firing_{index}");
        let body = json!({"projectId": project.project_id, "metricId": metric, "value": 900}).to_string();
        let sent = Instant::now();
        client::expect(client.send(0, &project.api_key, body).await?, StatusCode::OK).await?;
        let request = wait_for_notification(&receiver, &metric).await?;
        latencies.push((request.at - sent).as_secs_f64() * 1e3);
    }
    println!("alerts: {posts} POSTs over the threshold, one after the other, with {} rules", posts + idle);
    println!("| | p50 ms | p99 ms |\n|---|---|---|");
    let (p50, p99) = (quantile(&mut latencies, 0.5), quantile(&mut latencies, 0.99));
    println!("| POST to receiver | {p50:.0} | {p99:.0} |");

    let rest = rules.saturating_sub(posts + idle);
    create(&client, &project, (idle..idle + rest).map(|index| idle_rule(index, series)).collect()).await?;
    wait_for_rules(&installation, rules).await?;
    let before = Counters::read(&installation).await?;
    let after = wait::until("more evaluations", async || {
        let now = Counters::read(&installation).await?;
        Ok((now.evaluations >= before.evaluations + EVALUATIONS as f64).then_some(now))
    })
    .await?;
    let evaluations = after.evaluations - before.evaluations;
    println!(
        "\nalerts: {rules} rules over {series} series of {POINTS} points each, {evaluations} evaluations of all rules"
    );
    println!("| queries to ClickHouse | seconds | CPU s of the query API |\n|---|---|---|");
    println!(
        "| {:.0} | {:.2} | {:.2} |",
        (after.queries - before.queries) / evaluations,
        (after.seconds - before.seconds) / evaluations,
        (after.cpu - before.cpu) / evaluations
    );
    Ok(())
}

/// Returns a rule that never fires. Each series gets rules over several windows.
fn idle_rule(index: usize, series: usize) -> Value {
    json!({
        "name": "Idle", "metricId": format!("series_{}", index % series), "operator": ">", "threshold": 1e9,
        "aggregation": AGGREGATIONS[index % AGGREGATIONS.len()],
        "range": WINDOWS[(index / series + index) % WINDOWS.len()],
    })
}

async fn create(client: &Client, project: &Project, rules: Vec<Value>) -> Result<()> {
    let mut creators = JoinSet::new();
    for part in 0..CREATORS {
        let (client, key) = (client.clone(), project.manage_key.clone());
        let rules: Vec<Value> = rules.iter().skip(part).step_by(CREATORS).cloned().collect();
        creators.spawn(async move {
            for rule in rules {
                client::expect(client.post("/api/v1/alerts", &key, &rule).await?, StatusCode::CREATED)
                    .await?;
            }
            Ok::<(), e2e::Error>(())
        });
    }
    while let Some(done) = creators.join_next().await {
        done??;
    }
    Ok(())
}

/// Inserts points of thirty days for each series, in a partition that no worker owns.
async fn fill(installation: &Installation, project: &str, series: usize) -> Result<()> {
    let sql = format!(
        "INSERT INTO samples (kind, project_id, metric_id, time, value, received_at, partition, offset) \
         SELECT 'sample', '{project}', concat('series_', toString(number % {series})), \
         fromUnixTimestamp64Milli({} - toInt64(intDiv(number, {series}) * 2592000000 / {POINTS}), 'UTC'), sin(number), \
         now64(3, 'UTC'), 1000, number FROM numbers({})",
        service::clock::now_ms(),
        series * POINTS
    );
    Ok(installation.clickhouse()?.query(&sql).execute().await?)
}

/// Waits until `rules` rules are evaluated.
async fn wait_for_rules(installation: &Installation, rules: usize) -> Result<()> {
    let expected = format!("tidemark_alerts_rules {rules}");
    wait::until(&format!("{rules} rules are evaluated"), async || {
        Ok(metrics(installation).await?.lines().any(|line| line == expected).then_some(()))
    })
    .await
}

async fn wait_for_notification(receiver: &Receiver, metric: &str) -> Result<Request> {
    let quoted = format!("\"{metric}\"");
    wait::until(&format!("the receiver is notified of {metric}"), async || {
        Ok(receiver.requests().into_iter().rev().find(|request| request.text().contains(&quoted)))
    })
    .await
}

async fn metrics(installation: &Installation) -> Result<String> {
    Ok(reqwest::get(format!("{}/metrics", installation.query.ops_url())).await?.text().await?)
}

/// Counters of the query API.
struct Counters {
    evaluations: f64,
    seconds: f64,
    queries: f64,
    cpu: f64,
}

impl Counters {
    async fn read(installation: &Installation) -> Result<Self> {
        let text = metrics(installation).await?;
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse().ok()).ok_or_else(|| format!("no metric {name}"))
        };
        Ok(Self {
            evaluations: value("tidemark_alerts_evaluation_duration_seconds_count")?,
            seconds: value("tidemark_alerts_evaluation_duration_seconds_sum")?,
            queries: value("tidemark_alerts_queries_total")?,
            cpu: installation.query.cpu()?.as_secs_f64(),
        })
    }
}
