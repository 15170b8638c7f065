//! Time series are answered from a cache: what it says must be what the store says, while points for any hour and minute
//! keep coming late and out of order.
//!
//! What may never happen: a point that an answer's watermark promises is missing from it, a point is in it that was never
//! sent, or a point is counted twice; what was shown once is gone; and when all is stored, an answer differs from a plain
//! computation over what was sent.

use e2e::{Client, Installation, Project, Result, client, wait};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// The beginning of a day.
const MIDNIGHT: i64 = 1_767_571_200_000;
const METRICS: [&str; 3] = ["a", "b", "c"];
/// How many batches are sent while it is read, and at least how many reads there are.
const BATCHES: u64 = 1500;
const READS: usize = 200;

/// A point that was sent. Values are powers of two, so that the sum of a bucket names its points.
#[derive(Debug, Clone, Copy)]
struct Point {
    metric: usize,
    time: i64,
    value: f64,
    /// The time of receipt, once it was accepted.
    received_at: Option<i64>,
}

type Points = Arc<Mutex<Vec<Point>>>;

fn sent(points: &Points) -> Vec<Point> {
    points.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Numbers that look random and are the same each time.
fn spread(number: u64) -> u64 {
    let mixed = (number ^ 0x9E37_79B9).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 16
}

/// Sends one batch after the other with points of two days; some twice in the same minute.
async fn send(client: Client, project: Project, points: Points, start: i64) -> Result<()> {
    for batch in 0..BATCHES {
        let mut metrics = Vec::new();
        let first = {
            let mut points = points.lock().unwrap_or_else(PoisonError::into_inner);
            let first = points.len();
            for index in 0..1 + batch % 3 {
                let random = spread(batch * 8 + index);
                let metric = (random % 3) as usize;
                // Half of them in the same hour, the others anywhere.
                let span = if random & 8 == 0 { HOUR } else { 2 * DAY };
                let time = start + (random >> 8) as i64 % span;
                let value = f64::from(((points.len() % 48) as u32) + 1).exp2();
                metrics.push(json!({"metricId": METRICS[metric], "value": value, "timestamp": time}));
                points.push(Point { metric, time, value, received_at: None });
            }
            first
        };
        let body = json!({"projectId": project.project_id, "metrics": metrics}).to_string();
        let answer = client.send(0, &project.api_key, body).await?;
        let answer = client::expect(answer, StatusCode::OK).await?;
        let mut points = points.lock().unwrap_or_else(PoisonError::into_inner);
        for point in &mut points[first..] {
            point.received_at = answer["receivedAt"].as_i64();
        }
    }
    Ok(())
}

/// What is asked for: the same for the cache and for the computation.
#[derive(Debug, Clone, Copy)]
struct Question {
    metric: usize,
    length: i64,
    interval: &'static str,
    start: i64,
    end: i64,
}

fn questions(start: i64) -> Vec<Question> {
    let of = |metric, interval, length, start, end| Question { metric, length, interval, start, end };
    vec![
        of(0, "hour", HOUR, start, start + 2 * DAY),
        of(1, "hour", HOUR, start, start + 2 * DAY),
        of(2, "hour", HOUR, start + HOUR, start + DAY),
        of(0, "minute", MINUTE, start, start + 6 * HOUR),
        of(1, "minute", MINUTE, start + HOUR, start + 3 * HOUR),
        of(2, "day", DAY, start, start + 2 * DAY),
        of(1, "hour", HOUR, start + 17 * MINUTE, start + DAY + 5 * MINUTE),
        // Its ends cut a minute.
        of(2, "minute", MINUTE, start + 7 * MINUTE + 30_001, start + 4 * HOUR + 12_345),
    ]
}

/// Of each bucket: how many points, their sum.
type Buckets = BTreeMap<i64, (u64, f64)>;

fn computed<'a>(question: &Question, points: impl IntoIterator<Item = &'a Point>) -> Buckets {
    let mut buckets = Buckets::new();
    let asked = |point: &&Point| {
        point.metric == question.metric && (question.start..question.end).contains(&point.time)
    };
    for point in points.into_iter().filter(asked) {
        let bucket = buckets.entry(point.time - point.time.rem_euclid(question.length)).or_default();
        *bucket = (bucket.0 + 1, bucket.1 + point.value);
    }
    buckets
}

struct Answer {
    buckets: Buckets,
    watermark: i64,
}

async fn ask(client: &Client, project: &Project, questions: &[Question]) -> Result<Vec<Answer>> {
    let queries: Vec<Value> = questions
        .iter()
        .map(|question| {
            json!({
                "metricId": METRICS[question.metric], "interval": question.interval, "aggregation": "sum",
                "startDate": question.start, "endDate": question.end,
            })
        })
        .collect();
    let answer = client.post("/api/v1/query", &project.manage_key, &json!({"queries": queries})).await?;
    let answer = client::expect(answer, StatusCode::OK).await?;
    let results = answer["results"].as_array().ok_or("no results")?;
    let read = |result: &Value| {
        let points = result["points"].as_array().ok_or_else(|| format!("no points in {result}"))?;
        let bucket = |point: &Value| {
            Some((point["timestamp"].as_i64()?, (point["count"].as_u64()?, point["value"].as_f64()?)))
        };
        let watermark = result["watermark"].as_i64().ok_or("no watermark")?;
        Ok(Answer { buckets: points.iter().filter_map(bucket).collect(), watermark })
    };
    results.iter().map(read).collect()
}

/// `least` is in `found`, and `found` in `most`.
fn lies_between(least: &Buckets, found: &Buckets, most: &Buckets) -> bool {
    let within = |a: &Buckets, b: &Buckets| {
        a.iter().all(|(start, (points, sum))| {
            b.get(start).is_some_and(|(more, of_more)| points <= more && sum <= of_more)
        })
    };
    within(least, found) && within(found, most)
}

/// Blocks that were looked for in the cache, and found there.
async fn hits(installation: &Installation) -> Result<u64> {
    let metrics = reqwest::get(format!("{}/metrics", installation.query.ops_url())).await?.text().await?;
    let line =
        metrics.lines().find(|line| line.starts_with("tidemark_query_cache_blocks_total{outcome=\"hit\"}"));
    Ok(line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_from_the_cache_is_what_the_store_has_while_late_points_come() -> Result<()> {
    let installation = Installation::start("cached", 1, 2).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let start = MIDNIGHT;
    let (points, done): (Points, _) = (Arc::default(), Arc::new(AtomicBool::new(false)));
    // So that each metric is known.
    let body = json!({"projectId": project.project_id, "metrics": METRICS.map(|id| json!({"metricId": id, "value": 0, "timestamp": start - DAY}))});
    client::expect(client.send(0, &project.api_key, body.to_string()).await?, StatusCode::OK).await?;
    let asked = questions(start);
    wait::until("the metrics are known", async || Ok(ask(&client, &project, &asked).await.ok().map(|_| ())))
        .await?;

    let sender = {
        let (client, project, points, done) = (client.clone(), project.clone(), points.clone(), done.clone());
        tokio::spawn(async move {
            let result = send(client, project, points, start).await;
            done.store(true, Ordering::Relaxed);
            result
        })
    };
    let mut shown: Vec<Buckets> = vec![Buckets::new(); asked.len()];
    let mut reads = 0;
    while !done.load(Ordering::Relaxed) || reads < READS {
        let answers = ask(&client, &project, &asked).await?;
        let sent = sent(&points);
        for ((question, answer), shown) in asked.iter().zip(answers).zip(&mut shown) {
            let promised =
                sent.iter().filter(|point| point.received_at.is_some_and(|at| at <= answer.watermark));
            let (least, most) = (computed(question, promised), computed(question, &sent));
            assert!(
                lies_between(&least, &answer.buckets, &most),
                "{question:?}: a promised point is missing"
            );
            assert!(lies_between(shown, &answer.buckets, &most), "{question:?}: a point is no longer shown");
            *shown = answer.buckets;
        }
        reads += 1;
    }
    sender.await??;

    let sent = sent(&points);
    let all = sent.iter().filter_map(|point| point.received_at).max().ok_or("nothing was accepted")?;
    for _ in 0..2 {
        wait::until("the watermark passes the last point", async || {
            let answers = ask(&client, &project, &asked).await?;
            Ok(answers.iter().all(|answer| answer.watermark >= all).then_some(()))
        })
        .await?;
        for (question, answer) in asked.iter().zip(ask(&client, &project, &asked).await?) {
            assert_eq!(answer.buckets, computed(question, &sent), "{question:?}");
        }
    }
    assert!(hits(&installation).await? > 0, "the cache was never used: this proves nothing");
    println!(
        "{reads} reads of {} series beside {} points, {} hits",
        asked.len(),
        sent.len(),
        hits(&installation).await?
    );
    Ok(())
}
