//! Alert rules: from a POST to the receiver's request, and what an evaluation of many rules costs.

use crate::statistics::quantile;
use e2e::receiver::Request;
use e2e::{Client, Installation, Project, Receiver, Result, client, wait};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::Instant;
use tokio::task::JoinSet;

/// So many rules are there while it is measured how soon somebody is told.
const RULES_BESIDE: usize = 1000;
/// So many rules are made at once.
const MAKERS: usize = 16;
/// So many evaluations of all rules are measured.
const PASSES: u64 = 5;
/// So many points has each series, over thirty days.
const POINTS: usize = 1000;
const WINDOWS: [&str; 6] = ["5m", "15m", "1h", "24h", "7d", "30d"];
const AGGREGATIONS: [&str; 5] = ["avg", "max", "count", "last", "p99"];

/// Prints p50 and p99 from POST to receiver beside 1,000 rules, then queries and time of evaluations of `rules` rules
/// over `series` series.
pub async fn run(rules: usize, series: usize, posts: usize) -> Result<()> {
    let settings = [("ALERT_INTERVAL", "10s"), ("ALLOW_OUTGOING", "127.0.0.0/8")];
    let installation = Installation::start_with("bench", 1, 1, &settings).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    fill(&installation, &project.project_id, series).await?;

    let receiver = Receiver::start().await?;
    let body = json!({"name": "Receiver", "kind": "webhook", "url": receiver.url});
    let made = client.post("/api/v1/channels", &project.manage_key, &body).await?;
    let channel = client::text(&client::expect(made, StatusCode::CREATED).await?, "channelId")?;
    let watched = |index: usize| {
        json!({"name": "Bench", "metricId": format!("told_{index}"), "aggregation": "last", "operator": ">",
            "threshold": 500, "range": "5m", "channels": [channel]})
    };
    make(&client, &project, (0..posts).map(watched).collect()).await?;
    let beside = RULES_BESIDE.min(rules).saturating_sub(posts);
    make(&client, &project, (0..beside).map(|index| quiet(index, series)).collect()).await?;
    evaluated(&installation, posts + beside).await?;
    let mut took = Vec::new();
    for index in 0..posts {
        let metric = format!("told_{index}");
        let body = json!({"projectId": project.project_id, "metricId": metric, "value": 900}).to_string();
        let sent = Instant::now();
        client::expect(client.send(0, &project.api_key, body).await?, StatusCode::OK).await?;
        let request = told(&receiver, &metric).await?;
        took.push((request.at - sent).as_secs_f64() * 1e3);
    }
    println!(
        "alerts: {posts} POSTs over the threshold, one after the other, beside {} rules",
        posts + beside
    );
    println!("| | p50 ms | p99 ms |\n|---|---|---|");
    println!("| POST to receiver | {:.0} | {:.0} |", quantile(&mut took, 0.5), quantile(&mut took, 0.99));

    let rest = rules.saturating_sub(posts + beside);
    make(&client, &project, (beside..beside + rest).map(|index| quiet(index, series)).collect()).await?;
    evaluated(&installation, rules).await?;
    let before = Counted::read(&installation).await?;
    let after = wait::until("more evaluations", async || {
        let now = Counted::read(&installation).await?;
        Ok((now.evaluations >= before.evaluations + PASSES as f64).then_some(now))
    })
    .await?;
    let passes = after.evaluations - before.evaluations;
    println!(
        "\nalerts: {rules} rules over {series} series of {POINTS} points each, {passes} evaluations of all"
    );
    println!("| queries to ClickHouse | seconds | CPU s of the query API |\n|---|---|---|");
    println!(
        "| {:.0} | {:.2} | {:.2} |",
        (after.queries - before.queries) / passes,
        (after.seconds - before.seconds) / passes,
        (after.cpu - before.cpu) / passes
    );
    Ok(())
}

/// A rule that never fires: each series has rules over several windows.
fn quiet(index: usize, series: usize) -> Value {
    json!({
        "name": "Quiet", "metricId": format!("series_{}", index % series), "operator": ">", "threshold": 1e9,
        "aggregation": AGGREGATIONS[index % AGGREGATIONS.len()],
        "range": WINDOWS[(index / series + index) % WINDOWS.len()],
    })
}

async fn make(client: &Client, project: &Project, rules: Vec<Value>) -> Result<()> {
    let mut makers = JoinSet::new();
    for part in 0..MAKERS {
        let (client, key) = (client.clone(), project.manage_key.clone());
        let rules: Vec<Value> = rules.iter().skip(part).step_by(MAKERS).cloned().collect();
        makers.spawn(async move {
            for rule in rules {
                client::expect(client.post("/api/v1/alerts", &key, &rule).await?, StatusCode::CREATED)
                    .await?;
            }
            Ok::<(), e2e::Error>(())
        });
    }
    while let Some(done) = makers.join_next().await {
        done??;
    }
    Ok(())
}

/// Points of thirty days for each series, in a partition that no worker looks after.
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

/// Waits until so many rules are evaluated.
async fn evaluated(installation: &Installation, rules: usize) -> Result<()> {
    let expected = format!("tidemark_alerts_rules {rules}");
    wait::until(&format!("{rules} rules are evaluated"), async || {
        Ok(metrics(installation).await?.lines().any(|line| line == expected).then_some(()))
    })
    .await
}

async fn told(receiver: &Receiver, metric: &str) -> Result<Request> {
    let quoted = format!("\"{metric}\"");
    wait::until(&format!("{metric} is told"), async || {
        Ok(receiver.requests().into_iter().rev().find(|request| request.text().contains(&quoted)))
    })
    .await
}

async fn metrics(installation: &Installation) -> Result<String> {
    Ok(reqwest::get(format!("{}/metrics", installation.query.ops_url())).await?.text().await?)
}

/// What the query API has counted so far.
struct Counted {
    evaluations: f64,
    seconds: f64,
    queries: f64,
    cpu: f64,
}

impl Counted {
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
