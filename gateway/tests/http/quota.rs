//! The quota as clients see it: who is counted, who is told, who is refused, who gets the count back.

use crate::support::{Answer, GOOD, HOUR, LIMIT, PATH, SECONDS_LEFT, Server, ask, limited, post, server};
use gateway::publish::NotPublished;

/// Limit, remaining and reset, as the answer says them.
fn standing(answer: &Answer) -> Option<[u64; 3]> {
    let number = |name| answer.header(name).map(|value| value.parse().expect("it is a number"));
    let limit = number("x-ratelimit-limit");
    let all = [limit, number("x-ratelimit-remaining"), number("x-ratelimit-reset")];
    assert!(all.iter().all(|number| number.is_some() == limit.is_some()), "all three or none: {all:?}");
    limit.map(|_| all.map(Option::unwrap_or_default))
}

fn remaining(left: u64) -> Option<[u64; 3]> {
    Some([LIMIT, left, (HOUR + 1) * 3600])
}

fn fail(server: &Server, failure: NotPublished) {
    *server.kafka.failure.lock().expect("no test panics while holding it") = Some(failure);
}

fn counted(server: &Server) -> u64 {
    *server.quota.counted.lock().expect("no test panics while holding it")
}

#[tokio::test]
async fn a_project_without_a_limit_is_neither_counted_nor_told() {
    let server = server().await;
    let answer = ask(&server, post("", GOOD)).await;
    assert_eq!((answer.summary().as_str(), standing(&answer)), ("200 1", None));
    assert_eq!(counted(&server), 0);
}

#[tokio::test]
async fn every_request_counts_once_and_is_told_what_is_left() {
    let server = server().await;
    for left in (0..LIMIT).rev() {
        let answer = ask(&server, limited("", GOOD)).await;
        assert_eq!((answer.summary().as_str(), standing(&answer)), ("200 1", remaining(left)));
    }
}

#[tokio::test]
async fn a_request_over_the_limit_is_refused_until_the_next_hour() {
    let server = server().await;
    for _ in 0..LIMIT {
        ask(&server, limited("", GOOD)).await;
    }
    // The quota is checked before the body: a bad one is not looked at.
    for body in [GOOD, "{"] {
        let answer = ask(&server, limited("", body)).await;
        assert_eq!((answer.summary().as_str(), standing(&answer)), ("429 quota_exceeded", remaining(0)));
        assert_eq!(answer.header("retry-after"), Some(SECONDS_LEFT.to_string().as_str()));
    }
    let stored = server.kafka.records.lock().expect("no test panics while holding it").len();
    assert_eq!(stored as u64, LIMIT);
}

#[tokio::test]
async fn a_request_whose_body_is_refused_counts_and_is_told() {
    for (body, expected) in [
        ("{".to_owned(), "400 invalid_json"),
        (GOOD.replace("42", "null"), "400 invalid_batch 0.value:required"),
        (GOOD.replace("prj_a", "prj_b"), "403 project_mismatch"),
        (" ".repeat((1 << 20) + 1), "413 body_too_large"),
    ] {
        let server = server().await;
        let answer = ask(&server, limited("", body)).await;
        assert_eq!((answer.summary().as_str(), standing(&answer)), (expected, remaining(LIMIT - 1)));
        assert_eq!(counted(&server), 1);
        assert!(server.quota.refunds.lock().expect("no test panics while holding it").is_empty());
    }
}

#[tokio::test]
async fn what_is_refused_before_the_quota_check_is_not_counted() {
    let server = server().await;
    for (from, to, expected) in [
        ("Bearer limited", "Bearer nobody", "401 invalid_key"),
        ("Bearer limited", "Bearer reader", "403 insufficient_scope"),
        (PATH, "/", "404 not_found"),
        ("POST", "PUT", "405 method_not_allowed"),
        ("Host", "Content-Type: text/plain\r\nHost", "415 unsupported_media_type"),
        ("Host", "Idempotency-Key: a b\r\nHost", "400 invalid_idempotency_key"),
    ] {
        let request = String::from_utf8(limited("", GOOD)).expect("it is text").replacen(from, to, 1);
        let answer = ask(&server, request).await;
        assert_eq!((answer.summary().as_str(), standing(&answer)), (expected, None));
    }
    assert_eq!(counted(&server), 0);
}

#[tokio::test]
async fn who_is_told_to_come_again_has_its_count_back() {
    for failure in [
        NotPublished::NotConnected,
        NotPublished::QueueFull,
        NotPublished::Refused,
        NotPublished::TimedOut,
        NotPublished::Failed,
    ] {
        let server = server().await;
        fail(&server, failure);
        let answer = ask(&server, limited("", GOOD)).await;
        assert_eq!((answer.summary().as_str(), standing(&answer)), ("503 unavailable", remaining(LIMIT - 1)));
        let refunds = server.quota.refunds.lock().expect("no test panics while holding it").clone();
        let numbers: Vec<u64> = refunds.iter().map(|charge| charge.number).collect();
        assert_eq!(numbers, [1], "{failure}");
    }
}

#[tokio::test]
async fn what_cannot_be_counted_is_unavailable_and_nothing_is_stored() {
    let server = server().await;
    *server.quota.away.lock().expect("no test panics while holding it") = true;
    let answer = ask(&server, limited("", GOOD)).await;
    assert_eq!((answer.summary().as_str(), standing(&answer)), ("503 unavailable", remaining(0)));
    assert!(server.kafka.records.lock().expect("no test panics while holding it").is_empty());
    assert_eq!(ask(&server, post("", GOOD)).await.summary(), "200 1", "who has no limit is not concerned");
}
