//! Idempotency keys as clients see them: a retry gets the first answer again, costs no quota, and stores
//! nothing twice.

use crate::support::{
    Answer, Connection, LIMIT, Server, VALID_BATCH, ask, limited, lock, post, server, server_with_max_wait,
    until,
};
use flate2::write::GzEncoder;
use gateway::publish::PublishError;
use idempotency::{Claim, State};
use std::io::Write;
use std::time::Duration;

const KEY: &str = "Idempotency-Key: order-17\r\n";

fn set_kafka_failure(server: &Server, failure: Option<PublishError>) {
    *lock(&server.kafka.failure) = failure;
}

fn set_redis_unavailable(server: &Server, unavailable: bool) {
    *lock(&server.claims.unavailable) = unavailable;
}

fn stored_count(server: &Server) -> usize {
    lock(&server.kafka.records).len()
}

/// Number of requests that were counted and not refunded.
fn counted_requests(server: &Server) -> u64 {
    let counted = *lock(&server.quota.counted);
    counted - lock(&server.quota.refunds).len() as u64
}

fn claim_state(server: &Server) -> Option<State> {
    server.claims.only().map(|claim| claim.version.state)
}

/// Changes the only claim, and whether its lease has expired.
fn set_claim(server: &Server, set: impl Fn(&mut Claim, &mut bool)) {
    let mut all = lock(&server.claims.all);
    all.values_mut().for_each(|(claim, expired)| set(claim, expired));
}

fn assert_is_replay(answer: &Answer, first: &Answer) {
    assert_eq!((answer.status, &answer.body), (200, &first.body), "the bodies are equal byte for byte");
    assert_eq!(answer.header("idempotent-replayed"), Some("true"));
}

#[tokio::test]
async fn retries_get_the_first_answer_and_cost_no_quota() {
    let server = server().await;
    let first = ask(&server, limited(KEY, VALID_BATCH)).await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (200, None));
    for _ in 0..=LIMIT {
        let again = ask(&server, limited(KEY, VALID_BATCH)).await;
        assert_is_replay(&again, &first);
        assert_eq!(again.header("x-ratelimit-remaining"), None, "the quota is not checked");
    }
    assert_eq!((stored_count(&server), counted_requests(&server)), (1, 1));
    assert_eq!(server.metric("tidemark_gateway_requests_total{outcome=\"replayed\"}"), LIMIT + 1);
    assert_eq!(server.metric("tidemark_gateway_metrics_accepted_total"), 1);
}

#[tokio::test]
async fn retries_are_answered_when_the_quota_is_used_up() {
    let server = server().await;
    let first = ask(&server, limited(KEY, VALID_BATCH)).await;
    for _ in 1..LIMIT {
        ask(&server, limited("", VALID_BATCH)).await;
    }
    assert_eq!(ask(&server, limited("", VALID_BATCH)).await.summary(), "429 quota_exceeded");
    assert_is_replay(&ask(&server, limited(KEY, VALID_BATCH)).await, &first);
}

#[tokio::test]
async fn bodies_are_compared_after_decoding() {
    let server = server().await;
    let first = ask(&server, post(KEY, VALID_BATCH)).await;
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(VALID_BATCH.as_bytes()).expect("writing to memory");
    let gzip = gzip.finish().expect("writing to memory");
    assert_is_replay(&ask(&server, post(&format!("{KEY}Content-Encoding: gzip\r\n"), gzip)).await, &first);
}

#[tokio::test]
async fn a_used_key_is_rejected_with_any_other_body() {
    let server = server().await;
    ask(&server, post(KEY, VALID_BATCH)).await;
    let undecodable = post(&format!("{KEY}Content-Encoding: gzip\r\n"), VALID_BATCH);
    let too_large = post(KEY, " ".repeat((1 << 20) + 1));
    let other = |body: &str| post(KEY, body);
    for request in [other(&format!("{VALID_BATCH} ")), other("{"), other(""), undecodable, too_large] {
        assert_eq!(ask(&server, request).await.summary(), "409 idempotency_key_reused");
    }
    assert_eq!(stored_count(&server), 1);
}

#[tokio::test]
async fn only_200_answers_are_remembered() {
    let server = server().await;
    for (body, expected) in
        [("{", "400 invalid_json"), ("{}", "400 invalid_batch projectId:required metrics:required")]
    {
        assert_eq!(ask(&server, post(KEY, body)).await.summary(), expected);
    }
    assert_eq!(ask(&server, post(KEY, VALID_BATCH)).await.summary(), "200 1");
    assert_eq!(ask(&server, post(KEY, "{")).await.summary(), "409 idempotency_key_reused");
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_requests_are_stored_and_counted_once() {
    let server = std::sync::Arc::new(server().await);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..LIMIT {
        let server = server.clone();
        clients.spawn(async move { ask(&server, limited(KEY, VALID_BATCH)).await });
    }
    let answers = clients.join_all().await;
    let (replays, firsts): (Vec<&Answer>, Vec<&Answer>) =
        answers.iter().partition(|answer| answer.header("idempotent-replayed").is_some());
    assert_eq!(firsts.len(), 1);
    replays.iter().for_each(|answer| assert_is_replay(answer, firsts[0]));
    assert_eq!((stored_count(&server), counted_requests(&server)), (1, 1));
}

#[tokio::test]
async fn retries_wait_for_the_first_request() {
    let server = server().await;
    let held = server.kafka.hold.clone().write_owned().await;
    let mut first = Connection::to(&server).await;
    first.write(limited(KEY, VALID_BATCH)).await;
    until("the first request holds the claim", || claim_state(&server) == Some(State::Held)).await;
    let mut second = Connection::to(&server).await;
    second.write(limited(KEY, VALID_BATCH)).await;
    until("both requests are in flight", || server.metric("tidemark_gateway_requests_in_flight") == 2).await;
    drop(held);
    let first = first.read().await;
    assert_is_replay(&second.read().await, &first);
    assert_eq!((stored_count(&server), counted_requests(&server)), (1, 1));
}

#[tokio::test]
async fn retries_stop_waiting_with_503_and_are_not_counted() {
    let server = server_with_max_wait(Duration::ZERO).await;
    let held = server.kafka.hold.clone().write_owned().await;
    let mut first = Connection::to(&server).await;
    first.write(limited(KEY, VALID_BATCH)).await;
    until("the first request holds the claim", || claim_state(&server) == Some(State::Held)).await;
    // Even with another body: it is not known yet whether the first request will be stored.
    for body in [VALID_BATCH, "{"] {
        assert_eq!(ask(&server, limited(KEY, body)).await.summary(), "503 unavailable");
    }
    drop(held);
    assert_eq!(first.read().await.summary(), "200 1");
    assert_eq!(counted_requests(&server), 1);
}

#[tokio::test]
async fn unsent_batches_leave_the_key_free() {
    for failure in [PublishError::NotConnected, PublishError::QueueFull, PublishError::Refused] {
        let server = server().await;
        set_kafka_failure(&server, Some(failure));
        assert_eq!(ask(&server, limited(KEY, VALID_BATCH)).await.summary(), "503 unavailable");
        assert_eq!((server.claims.only(), counted_requests(&server)), (None, 0));
        set_kafka_failure(&server, None);
        assert_eq!(ask(&server, limited(KEY, format!("{VALID_BATCH} "))).await.summary(), "200 1");
        assert_eq!(counted_requests(&server), 1);
    }
}

#[tokio::test]
async fn unacknowledged_batches_are_republished_with_the_same_ids() {
    for failure in [PublishError::TimedOut, PublishError::Failed] {
        let server = server().await;
        set_kafka_failure(&server, Some(failure));
        assert_eq!(ask(&server, limited(KEY, VALID_BATCH)).await.summary(), "503 unavailable");
        let claim = server.claims.only().expect("the claim is kept");
        assert_eq!(claim.version.state, State::Unacknowledged);
        // A retry that is definitely not sent keeps the claim.
        set_kafka_failure(&server, Some(PublishError::QueueFull));
        assert_eq!(ask(&server, limited(KEY, VALID_BATCH)).await.summary(), "503 unavailable");
        assert_eq!(server.claims.only().map(|claim| claim.batch), Some(claim.batch));
        set_kafka_failure(&server, None);
        let answer = ask(&server, limited(KEY, VALID_BATCH)).await;
        let json = answer.json();
        assert_eq!(json["batchId"], claim.batch.ids.batch_id.to_string());
        assert_eq!(json["receivedAt"], claim.batch.ids.received_at_ms);
        assert_eq!(answer.header("idempotent-replayed"), None, "this is the first 200");
        let records = lock(&server.kafka.records).clone();
        let [(Some(key), batch)] = &records[..] else { panic!("{records:?}") };
        assert_eq!((key.as_str(), batch.idempotency_key.as_str()), ("order-17", "order-17"));
        assert_eq!(batch.received_at_ms, claim.batch.ids.received_at_ms);
        assert_eq!(
            batch.samples[0].timestamp_ms, batch.received_at_ms,
            "the copy has the same default timestamp"
        );
        assert_eq!(batch.body_hash, claim.batch.body_hash);
        assert_eq!(counted_requests(&server), 1);
    }
}

#[tokio::test]
async fn unacknowledged_keys_accept_another_body() {
    let server = server().await;
    set_kafka_failure(&server, Some(PublishError::TimedOut));
    ask(&server, post(KEY, VALID_BATCH)).await;
    let claim = server.claims.only().expect("the claim is kept");
    set_kafka_failure(&server, None);
    let answer = ask(&server, post(KEY, format!("{VALID_BATCH} "))).await;
    assert_eq!(answer.summary(), "200 1");
    assert_ne!(answer.json()["batchId"], claim.batch.ids.batch_id.to_string());
    assert_eq!(ask(&server, post(KEY, VALID_BATCH)).await.summary(), "409 idempotency_key_reused");
}

#[tokio::test]
async fn expired_claims_of_dead_gateways_are_taken_over() {
    let server = server().await;
    set_kafka_failure(&server, Some(PublishError::TimedOut));
    ask(&server, post(KEY, VALID_BATCH)).await;
    set_kafka_failure(&server, None);
    // The state in which a gateway leaves the claim when it is killed while publishing.
    set_claim(&server, |claim, _| claim.version.state = State::Held);
    let mut waiting = Connection::to(&server).await;
    waiting.write(post(KEY, VALID_BATCH)).await;
    until("the request is in flight", || server.metric("tidemark_gateway_requests_in_flight") == 1).await;
    set_claim(&server, |_, expired| *expired = true);
    let claim = server.claims.only().expect("the claim is kept");
    let answer = waiting.read().await;
    assert_eq!(answer.json()["batchId"], claim.batch.ids.batch_id.to_string());
    assert_eq!(claim_state(&server), Some(State::Confirmed));
}

#[tokio::test]
async fn batches_of_disconnected_clients_are_stored_and_replayed() {
    let server = server().await;
    let held = server.kafka.hold.clone().write_owned().await;
    let mut first = Connection::to(&server).await;
    first.write(limited(KEY, VALID_BATCH)).await;
    until("the first request holds the claim", || claim_state(&server) == Some(State::Held)).await;
    drop(first);
    drop(held);
    until("the claim is confirmed", || claim_state(&server) == Some(State::Confirmed)).await;
    let claim = server.claims.only().expect("a confirmed claim");
    let answer = ask(&server, limited(KEY, VALID_BATCH)).await;
    assert_eq!(answer.json()["batchId"], claim.batch.ids.batch_id.to_string());
    assert_eq!(answer.header("idempotent-replayed"), Some("true"));
    assert_eq!((stored_count(&server), counted_requests(&server)), (1, 1));
}

#[tokio::test]
async fn batches_without_redis_carry_key_and_hash_for_the_worker() {
    let server = server().await;
    set_redis_unavailable(&server, true);
    for _ in 0..2 {
        assert_eq!(ask(&server, post(KEY, VALID_BATCH)).await.summary(), "200 1");
    }
    let records = lock(&server.kafka.records).clone();
    let [(first_key, first), (second_key, second)] = &records[..] else { panic!("{records:?}") };
    assert_eq!(first_key, second_key);
    assert_eq!((&first.idempotency_key, &first.body_hash), (&second.idempotency_key, &second.body_hash));
    assert_eq!(server.metric("tidemark_gateway_idempotency_unclaimed_total"), 2);
}

#[tokio::test]
async fn retry_after_an_unconfirmed_claim_gets_the_same_answer() {
    let server = server().await;
    let held = server.kafka.hold.clone().write_owned().await;
    let mut first = Connection::to(&server).await;
    first.write(post(KEY, VALID_BATCH)).await;
    until("the first request holds the claim", || claim_state(&server) == Some(State::Held)).await;
    set_redis_unavailable(&server, true);
    drop(held);
    let first = first.read().await;
    assert_eq!(first.summary(), "200 1");
    assert_eq!(server.metric("tidemark_gateway_idempotency_unconfirmed_total"), 1);
    set_redis_unavailable(&server, false);
    set_claim(&server, |_, expired| *expired = true);
    let second = ask(&server, post(KEY, VALID_BATCH)).await;
    assert_eq!((second.status, &second.body), (200, &first.body));
}
