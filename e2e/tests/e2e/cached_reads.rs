//! The read cache: cached time series agree with the store while late points arrive out of order for any hour
//! and minute.
//!
//! Invariants: an answer has every point that its watermark covers, no point that was not sent, and no point
//! twice; a point that was returned once is returned again; once everything is stored, an answer equals a
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
/// Start of a day in UTC.
const MIDNIGHT: i64 = 1_767_571_200_000;
const METRICS: [&str; 3] = ["a", "b", "c"];
/// Number of batches that are sent during the reads.
const BATCHES: u64 = 1500;
/// Minimum number of reads.
const READS: usize = 200;

/// A point that was sent. Values are powers of two, so that the sum of a bucket identifies its points.
#[derive(Debug, Clone, Copy)]
struct Point {
    metric: usize,
    time: i64,
    value: f64,
    /// Time of receipt; `None` until it is accepted.
    received_at: Option<i64>,
}

type Points = Arc<Mutex<Vec<Point>>>;

fn sent(points: &Points) -> Vec<Point> {
    points.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Maps a number to a pseudo-random one.
fn scatter(number: u64) -> u64 {
    let mixed = (number ^ 0x9E37_79B9).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 16
}

/// Sends batches with points of two days, one after the other; some minutes get several points.
async fn send(client: Client, project: Project, points: Points, start: i64) -> Result<()> {
    for batch in 0..BATCHES {
        let mut metrics = Vec::new();
        let first = {
            let mut points = points.lock().unwrap_or_else(PoisonError::into_inner);
            let first = points.len();
            for index in 0..1 + batch % 3 {
                let random = scatter(batch * 8 + index);
                let metric = (random % 3) as usize;
                // Half of the points are in one hour, the others anywhere.
                let span = if random & 8 == 0 { HOUR } else { 2 * DAY };
                let time = start + (random >> 8) as i64 % span;
                let value = f64::from(((points.len() % 48) as u32) + 1).exp2();
                metrics.push(json!({"metricId": METRICS[metric], "value": value, "timestamp": time}));
                points.push(Point { metric, time, value, received_at: None });
            }
            first
        };
        let body = json!({"projectId": project.project_id, "metrics": metrics}).to_string();
        let response = client.send(0, &project.api_key, body).await?;
        let accepted = client::expect(response, StatusCode::OK).await?;
        let mut points = points.lock().unwrap_or_else(PoisonError::into_inner);
        for point in &mut points[first..] {
            point.received_at = accepted["receivedAt"].as_i64();
        }
    }
    Ok(())
}

/// A time series query, answered by the query API and by [`compute`].
#[derive(Debug, Clone, Copy)]
struct Query {
    metric: usize,
    bucket_ms: i64,
    interval: &'static str,
    start: i64,
    end: i64,
}

fn queries(start: i64) -> Vec<Query> {
    let of = |metric, interval, bucket_ms, start, end| Query { metric, bucket_ms, interval, start, end };
    vec![
        of(0, "hour", HOUR, start, start + 2 * DAY),
        of(1, "hour", HOUR, start, start + 2 * DAY),
        of(2, "hour", HOUR, start + HOUR, start + DAY),
        of(0, "minute", MINUTE, start, start + 6 * HOUR),
        of(1, "minute", MINUTE, start + HOUR, start + 3 * HOUR),
        of(2, "day", DAY, start, start + 2 * DAY),
        of(1, "hour", HOUR, start + 17 * MINUTE, start + DAY + 5 * MINUTE),
        // Starts and ends within a minute.
        of(2, "minute", MINUTE, start + 7 * MINUTE + 30_001, start + 4 * HOUR + 12_345),
    ]
}

/// Count and sum of the points by start of the bucket.
type Buckets = BTreeMap<i64, (u64, f64)>;

fn compute<'a>(query: &Query, points: impl IntoIterator<Item = &'a Point>) -> Buckets {
    let mut buckets = Buckets::new();
    let selected =
        |point: &&Point| point.metric == query.metric && (query.start..query.end).contains(&point.time);
    for point in points.into_iter().filter(selected) {
        let bucket = buckets.entry(point.time - point.time.rem_euclid(query.bucket_ms)).or_default();
        *bucket = (bucket.0 + 1, bucket.1 + point.value);
    }
    buckets
}

struct Answer {
    buckets: Buckets,
    watermark: i64,
}

async fn read(client: &Client, project: &Project, queries: &[Query]) -> Result<Vec<Answer>> {
    let queries: Vec<Value> = queries
        .iter()
        .map(|query| {
            json!({
                "metricId": METRICS[query.metric], "interval": query.interval, "aggregation": "sum",
                "startDate": query.start, "endDate": query.end,
            })
        })
        .collect();
    let response = client.post("/api/v1/query", &project.manage_key, &json!({"queries": queries})).await?;
    let body = client::expect(response, StatusCode::OK).await?;
    let results = body["results"].as_array().ok_or("no results")?;
    let parse = |result: &Value| {
        let points = result["points"].as_array().ok_or_else(|| format!("no points in {result}"))?;
        let bucket = |point: &Value| {
            Some((point["timestamp"].as_i64()?, (point["count"].as_u64()?, point["value"].as_f64()?)))
        };
        let watermark = result["watermark"].as_i64().ok_or("no watermark")?;
        Ok(Answer { buckets: points.iter().filter_map(bucket).collect(), watermark })
    };
    results.iter().map(parse).collect()
}

/// Reports whether `actual` has at least the points of `minimum` and at most those of `maximum`.
fn is_between(minimum: &Buckets, actual: &Buckets, maximum: &Buckets) -> bool {
    let contains = |more: &Buckets, fewer: &Buckets| {
        fewer.iter().all(|(start, (count, sum))| {
            more.get(start).is_some_and(|(more_count, more_sum)| count <= more_count && sum <= more_sum)
        })
    };
    contains(actual, minimum) && contains(maximum, actual)
}

/// Number of cache lookups that found their block.
async fn cache_hits(installation: &Installation) -> Result<f64> {
    installation.query.metric("tidemark_query_cache_blocks_total{outcome=\"hit\"}").await
}

/// Compares answers with the computation until the sender has finished, and at least [`READS`] times.
async fn check_while_sending(
    client: &Client,
    project: &Project,
    queries: &[Query],
    points: &Points,
    finished: &AtomicBool,
) -> Result<()> {
    let mut previous: Vec<Buckets> = vec![Buckets::new(); queries.len()];
    let mut reads = 0;
    while !finished.load(Ordering::Relaxed) || reads < READS {
        let answers = read(client, project, queries).await?;
        let sent = sent(points);
        for ((query, answer), previous) in queries.iter().zip(answers).zip(&mut previous) {
            let covered =
                sent.iter().filter(|point| point.received_at.is_some_and(|at| at <= answer.watermark));
            let (minimum, maximum) = (compute(query, covered), compute(query, &sent));
            assert!(
                is_between(&minimum, &answer.buckets, &maximum),
                "{query:?}: a point that the watermark covers is missing, or a point was not sent"
            );
            assert!(
                is_between(previous, &answer.buckets, &maximum),
                "{query:?}: a point of an earlier answer is missing"
            );
            *previous = answer.buckets;
        }
        reads += 1;
    }
    println!("{reads} reads of {} series", queries.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn cached_series_equal_the_store_while_late_points_arrive() -> Result<()> {
    let installation = Installation::start("cached", 1, 2).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let start = MIDNIGHT;
    let (points, finished): (Points, _) = (Arc::default(), Arc::new(AtomicBool::new(false)));
    // Makes each metric known, with points outside of all queries.
    let metrics = METRICS.map(|id| json!({"metricId": id, "value": 0, "timestamp": start - DAY}));
    let body = json!({"projectId": project.project_id, "metrics": metrics}).to_string();
    client::expect(client.send(0, &project.api_key, body).await?, StatusCode::OK).await?;
    let queries = queries(start);
    wait::until("all metrics are known", async || {
        Ok(read(&client, &project, &queries).await.ok().map(|_| ()))
    })
    .await?;

    let sender = {
        let (client, project, points) = (client.clone(), project.clone(), points.clone());
        let finished = finished.clone();
        tokio::spawn(async move {
            let result = send(client, project, points, start).await;
            finished.store(true, Ordering::Relaxed);
            result
        })
    };
    check_while_sending(&client, &project, &queries, &points, &finished).await?;
    sender.await??;

    let sent = sent(&points);
    let last = sent.iter().filter_map(|point| point.received_at).max().ok_or("nothing was accepted")?;
    for _ in 0..2 {
        wait::until("all watermarks cover the last point", async || {
            let answers = read(&client, &project, &queries).await?;
            Ok(answers.iter().all(|answer| answer.watermark >= last).then_some(()))
        })
        .await?;
        for (query, answer) in queries.iter().zip(read(&client, &project, &queries).await?) {
            assert_eq!(answer.buckets, compute(query, &sent), "{query:?}");
        }
    }
    let hits = cache_hits(&installation).await?;
    assert!(hits > 0.0, "the cache was never used: the test proves nothing");
    println!("{} points, {hits} cache hits", sent.len());
    Ok(())
}
