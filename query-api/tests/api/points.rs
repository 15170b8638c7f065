//! Lists of points.

use crate::support::{Caller, Sample, details, refused, send, shared};
use reqwest::Method;
use serde_json::{Value, json};

const START: i64 = 1_767_571_200_000;

/// 50 points at 10 different times, so that pages end between points with the same time.
fn samples() -> Vec<Sample> {
    let sample = |i: i64| Sample {
        metric: "m",
        time: START + i % 10 * 1000,
        value: i as f64 / 4.0,
        received_at: START + 60_000 + i / 20,
        offset: i / 5,
        index: u16::try_from(i % 5).expect("fits in u16"),
        ..Sample::default()
    };
    (0..50).map(sample).collect()
}

fn expected(mut samples: Vec<Sample>) -> Vec<Value> {
    samples.sort_by_key(|s| std::cmp::Reverse((s.time, s.received_at, s.offset, s.index)));
    samples
        .iter()
        .map(|s| json!({"timestamp": s.time, "value": s.value, "receivedAt": s.received_at}))
        .collect()
}

async fn pages(caller: &Caller, query: &str) -> Vec<Value> {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = caller.ok(&format!("/api/v1/metrics/m/points?{query}&cursor={cursor}")).await;
        seen.extend(page["items"].as_array().expect("items").iter().cloned());
        match page["nextCursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return seen,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_contain_every_point_once_newest_first() {
    let stack = shared();
    let (project, manager) = stack.project().await;
    stack.store(&project, &samples()).await;
    let range = format!("startDate={START}&endDate={}", START + 10_000);
    for limit in [1, 7, 50, 1000] {
        assert_eq!(
            pages(&manager, &format!("{range}&limit={limit}")).await,
            expected(samples()),
            "limit {limit}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn range_includes_start_and_excludes_end() {
    let stack = shared();
    let (project, manager) = stack.project().await;
    stack.store(&project, &samples()).await;
    let inside = |s: &Sample| (START + 2000..START + 5000).contains(&s.time);
    let inside = expected(samples().into_iter().filter(inside).collect());
    assert_eq!(pages(&manager, "startDate=2026-01-05T00:00:02Z&endDate=2026-01-05T00:00:05Z").await, inside);
    let zoned = "startDate=2026-01-05T01:00:02&endDate=2026-01-05T01:00:05&timezone=Europe/Berlin";
    assert_eq!(pages(&manager, zoned).await, inside);
    let none = manager.ok("/api/v1/metrics/m/points").await;
    assert_eq!(none, json!({"items": [], "nextCursor": null}), "without a range it is the last 24 hours");
    assert_eq!(pages(&manager, "startDate=0&endDate=253370000000000").await.len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn cursor_keeps_its_range_while_points_arrive() {
    let stack = shared();
    let (project, manager) = stack.project().await;
    let now = service::clock::now_ms();
    let at = |offset: i64, time: i64| Sample {
        metric: "m",
        time,
        value: offset as f64,
        received_at: now,
        offset,
        ..Sample::default()
    };
    stack.store(&project, &[at(0, now - 3000), at(1, now - 2000), at(2, now - 1000)]).await;
    let first = manager.ok("/api/v1/metrics/m/points?limit=1").await;
    assert_eq!(first["items"][0]["value"], 2.0);
    stack.store(&project, &[at(3, now - 500)]).await;
    let cursor = first["nextCursor"].as_str().expect("a next page");
    let rest = manager.ok(&format!("/api/v1/metrics/m/points?cursor={cursor}")).await;
    let values: Vec<_> =
        rest["items"].as_array().expect("items").iter().map(|item| item["value"].clone()).collect();
    assert_eq!(values, [json!(1.0), json!(0.0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn points_are_returned_as_csv_on_request() {
    let stack = shared();
    let (project, manager) = stack.project().await;
    stack.store(&project, &samples()[..2]).await;
    let path = format!("/api/v1/metrics/m/points?startDate={START}&endDate={}&limit=1", START + 10_000);
    let response = send(manager.request(Method::GET, &path).header("accept", "text/csv")).await;
    assert!(response.headers()["content-type"].to_str().expect("text").starts_with("text/csv"));
    assert!(
        response.headers().contains_key("x-next-cursor") && response.headers().contains_key("x-request-id")
    );
    let text = response.text().await.expect("text");
    assert_eq!(text, format!("timestamp,value,receivedAt\r\n{},0.25,{}\r\n", START + 1000, START + 60_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_faults_of_parameters_are_reported() {
    let stack = shared();
    let (_, manager) = stack.project().await;
    let path =
        "/api/v1/metrics/m/points?startDate=x&endDate=99999999999999999&limit=ten&cursor=eyJ9&timezone=Moon";
    let answer = refused(manager.get(path).await, 400, "invalid_parameter");
    let mut reported = details(&answer);
    reported.sort_unstable();
    let expected = [
        "cursor bad_cursor",
        "endDate out_of_range",
        "limit not_an_integer",
        "startDate bad_timestamp",
        "timezone unknown_timezone",
    ];
    assert_eq!(reported, expected);
    let answer = refused(
        manager.get("/api/v1/metrics/m/points?startDate=5&endDate=5").await,
        400,
        "invalid_parameter",
    );
    assert_eq!(details(&answer), ["startDate empty_range"]);
}
