//! The quota as clients see it: which requests are counted, rejected and refunded, and which answers carry
//! its headers.

use crate::support::{
    Answer, HOUR, LIMIT, PATH, SECONDS_LEFT, Server, VALID_BATCH, ask, limited, lock, post, server,
};
use gateway::publish::PublishError;

/// Returns limit, remaining and reset from the headers of the answer.
fn quota_headers(answer: &Answer) -> Option<[u64; 3]> {
    let number = |name| answer.header(name).map(|value| value.parse().expect("a number"));
    let limit = number("x-ratelimit-limit");
    let all = [limit, number("x-ratelimit-remaining"), number("x-ratelimit-reset")];
    assert!(all.iter().all(|number| number.is_some() == limit.is_some()), "all three or none: {all:?}");
    limit.map(|_| all.map(Option::unwrap_or_default))
}

fn remaining(left: u64) -> Option<[u64; 3]> {
    Some([LIMIT, left, (HOUR + 1) * 3600])
}

fn set_kafka_failure(server: &Server, failure: PublishError) {
    *lock(&server.kafka.failure) = Some(failure);
}

fn counted_requests(server: &Server) -> u64 {
    *lock(&server.quota.counted)
}

#[tokio::test]
async fn unlimited_projects_are_not_counted_and_get_no_headers() {
    let server = server().await;
    let answer = ask(&server, post("", VALID_BATCH)).await;
    assert_eq!((answer.summary().as_str(), quota_headers(&answer)), ("200 1", None));
    assert_eq!(counted_requests(&server), 0);
}

#[tokio::test]
async fn requests_are_counted_once_and_get_quota_headers() {
    let server = server().await;
    for left in (0..LIMIT).rev() {
        let answer = ask(&server, limited("", VALID_BATCH)).await;
        assert_eq!((answer.summary().as_str(), quota_headers(&answer)), ("200 1", remaining(left)));
    }
}

#[tokio::test]
async fn requests_over_the_limit_are_rejected_until_the_next_hour() {
    let server = server().await;
    for _ in 0..LIMIT {
        ask(&server, limited("", VALID_BATCH)).await;
    }
    // The quota is checked before the body, so an invalid body is not read.
    for body in [VALID_BATCH, "{"] {
        let answer = ask(&server, limited("", body)).await;
        assert_eq!((answer.summary().as_str(), quota_headers(&answer)), ("429 quota_exceeded", remaining(0)));
        assert_eq!(answer.header("retry-after"), Some(SECONDS_LEFT.to_string().as_str()));
    }
    let stored = lock(&server.kafka.records).len();
    assert_eq!(stored as u64, LIMIT);
}

#[tokio::test]
async fn requests_with_invalid_bodies_are_counted() {
    for (body, expected) in [
        ("{".to_owned(), "400 invalid_json"),
        (VALID_BATCH.replace("42", "null"), "400 invalid_batch 0.value:required"),
        (VALID_BATCH.replace("prj_a", "prj_b"), "403 project_mismatch"),
        (" ".repeat((1 << 20) + 1), "413 body_too_large"),
    ] {
        let server = server().await;
        let answer = ask(&server, limited("", body)).await;
        assert_eq!((answer.summary().as_str(), quota_headers(&answer)), (expected, remaining(LIMIT - 1)));
        assert_eq!(counted_requests(&server), 1);
        assert!(lock(&server.quota.refunds).is_empty());
    }
}

#[tokio::test]
async fn requests_rejected_before_the_quota_check_are_not_counted() {
    let server = server().await;
    for (from, to, expected) in [
        ("Bearer limited", "Bearer nobody", "401 invalid_key"),
        ("Bearer limited", "Bearer reader", "403 insufficient_scope"),
        (PATH, "/", "404 not_found"),
        ("POST", "PUT", "405 method_not_allowed"),
        ("Host", "Content-Type: text/plain\r\nHost", "415 unsupported_media_type"),
        ("Host", "Idempotency-Key: a b\r\nHost", "400 invalid_idempotency_key"),
    ] {
        let request = String::from_utf8(limited("", VALID_BATCH)).expect("valid UTF-8").replacen(from, to, 1);
        let answer = ask(&server, request).await;
        assert_eq!((answer.summary().as_str(), quota_headers(&answer)), (expected, None));
    }
    assert_eq!(counted_requests(&server), 0);
}

#[tokio::test]
async fn unavailable_answers_are_refunded() {
    for failure in [
        PublishError::NotConnected,
        PublishError::QueueFull,
        PublishError::Refused,
        PublishError::TimedOut,
        PublishError::Failed,
    ] {
        let server = server().await;
        set_kafka_failure(&server, failure);
        let answer = ask(&server, limited("", VALID_BATCH)).await;
        assert_eq!(
            (answer.summary().as_str(), quota_headers(&answer)),
            ("503 unavailable", remaining(LIMIT - 1))
        );
        let refunds = lock(&server.quota.refunds).clone();
        let numbers: Vec<u64> = refunds.iter().map(|charge| charge.number).collect();
        assert_eq!(numbers, [1], "{failure}");
    }
}

#[tokio::test]
async fn uncountable_requests_are_answered_with_503() {
    let server = server().await;
    *lock(&server.quota.unavailable) = true;
    let answer = ask(&server, limited("", VALID_BATCH)).await;
    assert_eq!((answer.summary().as_str(), quota_headers(&answer)), ("503 unavailable", remaining(0)));
    assert!(lock(&server.kafka.records).is_empty());
    assert_eq!(
        ask(&server, post("", VALID_BATCH)).await.summary(),
        "200 1",
        "projects without a limit are not affected"
    );
}
