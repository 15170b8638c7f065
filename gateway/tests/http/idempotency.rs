//! Idempotency keys as clients see them: whoever repeats is told the same, is not counted, and nothing is stored twice.

use crate::support::{
    Answer, Connection, GOOD, LIMIT, Server, ask, limited, post, server, server_with_patience, until,
};
use accounts::claims::{Claim, State};
use flate2::write::GzEncoder;
use gateway::publish::NotPublished;
use std::io::Write;
use std::time::Duration;

const KEY: &str = "Idempotency-Key: order-17\r\n";

fn fail(server: &Server, failure: Option<NotPublished>) {
    *server.kafka.failure.lock().expect("no test panics while holding it") = failure;
}

fn redis_away(server: &Server, away: bool) {
    *server.claims.away.lock().expect("no test panics while holding it") = away;
}

fn stored(server: &Server) -> usize {
    server.kafka.records.lock().expect("no test panics while holding it").len()
}

/// Requests that were counted and stay so.
fn counted(server: &Server) -> u64 {
    let counted = *server.quota.counted.lock().expect("no test panics while holding it");
    counted - server.quota.refunds.lock().expect("no test panics while holding it").len() as u64
}

fn state(server: &Server) -> Option<State> {
    server.claims.only().map(|claim| claim.version.state)
}

/// Changes the only claim, and whether its lease is over.
fn set_claim(server: &Server, set: impl Fn(&mut Claim, &mut bool)) {
    let mut all = server.claims.all.lock().expect("no test panics while holding it");
    all.values_mut().for_each(|(claim, over)| set(claim, over));
}

fn is_replay_of(answer: &Answer, first: &Answer) {
    assert_eq!((answer.status, &answer.body), (200, &first.body), "byte for byte");
    assert_eq!(answer.header("idempotent-replayed"), Some("true"));
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_again_and_costs_nothing() {
    let server = server().await;
    let first = ask(&server, limited(KEY, GOOD)).await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (200, None));
    for _ in 0..=LIMIT {
        let again = ask(&server, limited(KEY, GOOD)).await;
        is_replay_of(&again, &first);
        assert_eq!(again.header("x-ratelimit-remaining"), None, "the quota is not looked at");
    }
    assert_eq!((stored(&server), counted(&server)), (1, 1));
    assert_eq!(server.metric("tidemark_gateway_requests_total{outcome=\"replayed\"}"), LIMIT + 1);
    assert_eq!(server.metric("tidemark_gateway_metrics_accepted_total"), 1);
}

#[tokio::test]
async fn a_repeat_is_answered_when_the_hour_is_used_up() {
    let server = server().await;
    let first = ask(&server, limited(KEY, GOOD)).await;
    for _ in 1..LIMIT {
        ask(&server, limited("", GOOD)).await;
    }
    assert_eq!(ask(&server, limited("", GOOD)).await.summary(), "429 quota_exceeded");
    is_replay_of(&ask(&server, limited(KEY, GOOD)).await, &first);
}

#[tokio::test]
async fn the_same_decoded_bytes_are_the_same_body() {
    let server = server().await;
    let first = ask(&server, post(KEY, GOOD)).await;
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(GOOD.as_bytes()).expect("it is written to memory");
    let gzip = gzip.finish().expect("it is written to memory");
    is_replay_of(&ask(&server, post(&format!("{KEY}Content-Encoding: gzip\r\n"), gzip)).await, &first);
}

#[tokio::test]
async fn a_key_of_a_stored_batch_is_refused_with_any_other_body() {
    let server = server().await;
    ask(&server, post(KEY, GOOD)).await;
    let undecodable = post(&format!("{KEY}Content-Encoding: gzip\r\n"), GOOD);
    let too_large = post(KEY, " ".repeat((1 << 20) + 1));
    let other = |body: &str| post(KEY, body);
    for request in [other(&format!("{GOOD} ")), other("{"), other(""), undecodable, too_large] {
        assert_eq!(ask(&server, request).await.summary(), "409 idempotency_key_reused");
    }
    assert_eq!(stored(&server), 1);
}

#[tokio::test]
async fn only_an_answer_of_200_is_remembered() {
    let server = server().await;
    for (body, expected) in
        [("{", "400 invalid_json"), ("{}", "400 invalid_batch projectId:required metrics:required")]
    {
        assert_eq!(ask(&server, post(KEY, body)).await.summary(), expected);
    }
    assert_eq!(ask(&server, post(KEY, GOOD)).await.summary(), "200 1");
    assert_eq!(ask(&server, post(KEY, "{")).await.summary(), "409 idempotency_key_reused");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_requests_that_race_one_is_stored_and_counted() {
    let server = std::sync::Arc::new(server().await);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..LIMIT {
        let server = server.clone();
        clients.spawn(async move { ask(&server, limited(KEY, GOOD)).await });
    }
    let answers = clients.join_all().await;
    let (replays, firsts): (Vec<&Answer>, Vec<&Answer>) =
        answers.iter().partition(|answer| answer.header("idempotent-replayed").is_some());
    assert_eq!(firsts.len(), 1);
    replays.iter().for_each(|answer| is_replay_of(answer, firsts[0]));
    assert_eq!((stored(&server), counted(&server)), (1, 1));
}

#[tokio::test]
async fn a_repeat_waits_for_the_first() {
    let server = server().await;
    let held = server.kafka.hold.clone().write_owned().await;
    let mut first = Connection::to(&server).await;
    first.write(limited(KEY, GOOD)).await;
    until("the first one holds the claim", || state(&server) == Some(State::Held)).await;
    let mut second = Connection::to(&server).await;
    second.write(limited(KEY, GOOD)).await;
    until("both are under way", || server.metric("tidemark_gateway_requests_in_flight") == 2).await;
    drop(held);
    let first = first.read().await;
    is_replay_of(&second.read().await, &first);
    assert_eq!((stored(&server), counted(&server)), (1, 1));
}

#[tokio::test]
async fn a_repeat_waits_only_so_long_and_is_not_counted() {
    let server = server_with_patience(Duration::ZERO).await;
    let held = server.kafka.hold.clone().write_owned().await;
    let mut first = Connection::to(&server).await;
    first.write(limited(KEY, GOOD)).await;
    until("the first one holds the claim", || state(&server) == Some(State::Held)).await;
    // Also with another body: whether the key is taken is not known yet.
    for body in [GOOD, "{"] {
        assert_eq!(ask(&server, limited(KEY, body)).await.summary(), "503 unavailable");
    }
    drop(held);
    assert_eq!(first.read().await.summary(), "200 1");
    assert_eq!(counted(&server), 1);
}

#[tokio::test]
async fn what_kafka_surely_does_not_have_leaves_the_key_free() {
    for failure in [NotPublished::NotConnected, NotPublished::QueueFull, NotPublished::Refused] {
        let server = server().await;
        fail(&server, Some(failure));
        assert_eq!(ask(&server, limited(KEY, GOOD)).await.summary(), "503 unavailable");
        assert_eq!((server.claims.only(), counted(&server)), (None, 0));
        fail(&server, None);
        assert_eq!(ask(&server, limited(KEY, format!("{GOOD} "))).await.summary(), "200 1");
        assert_eq!(counted(&server), 1);
    }
}

#[tokio::test]
async fn what_kafka_may_have_is_published_again_with_the_same_ids_and_counted_once() {
    for failure in [NotPublished::TimedOut, NotPublished::Failed] {
        let server = server().await;
        fail(&server, Some(failure));
        assert_eq!(ask(&server, limited(KEY, GOOD)).await.summary(), "503 unavailable");
        let claim = server.claims.only().expect("the ids are kept");
        assert_eq!(claim.version.state, State::Unacknowledged);
        // A repeat that is surely not sent changes nothing of that.
        fail(&server, Some(NotPublished::QueueFull));
        assert_eq!(ask(&server, limited(KEY, GOOD)).await.summary(), "503 unavailable");
        assert_eq!(server.claims.only().map(|claim| claim.batch), Some(claim.batch));
        fail(&server, None);
        let answer = ask(&server, limited(KEY, GOOD)).await;
        let json = answer.json();
        assert_eq!(json["batchId"], claim.batch.ids.batch_id.to_string());
        assert_eq!(json["receivedAt"], claim.batch.ids.received_at_ms);
        assert_eq!(answer.header("idempotent-replayed"), None, "it is the first 200");
        let records = server.kafka.records.lock().expect("no test panics while holding it").clone();
        let [(Some(key), batch)] = &records[..] else { panic!("{records:?}") };
        assert_eq!((key.as_str(), batch.idempotency_key.as_str()), ("order-17", "order-17"));
        assert_eq!(batch.received_at_ms, claim.batch.ids.received_at_ms);
        assert_eq!(
            batch.samples[0].timestamp_ms, batch.received_at_ms,
            "the copy is equal, its default time too"
        );
        assert_eq!(batch.body_hash, claim.batch.body_hash);
        assert_eq!(counted(&server), 1);
    }
}

#[tokio::test]
async fn another_body_may_follow_one_that_was_never_acknowledged() {
    let server = server().await;
    fail(&server, Some(NotPublished::TimedOut));
    ask(&server, post(KEY, GOOD)).await;
    let claim = server.claims.only().expect("the ids are kept");
    fail(&server, None);
    let answer = ask(&server, post(KEY, format!("{GOOD} "))).await;
    assert_eq!(answer.summary(), "200 1");
    assert_ne!(answer.json()["batchId"], claim.batch.ids.batch_id.to_string());
    assert_eq!(ask(&server, post(KEY, GOOD)).await.summary(), "409 idempotency_key_reused");
}

#[tokio::test]
async fn the_claim_of_a_gateway_that_died_is_taken_over_when_its_lease_ends() {
    let server = server().await;
    fail(&server, Some(NotPublished::TimedOut));
    ask(&server, post(KEY, GOOD)).await;
    fail(&server, None);
    // As it stands when the gateway is killed while it publishes.
    set_claim(&server, |claim, _| claim.version.state = State::Held);
    let mut waiting = Connection::to(&server).await;
    waiting.write(post(KEY, GOOD)).await;
    until("it is under way", || server.metric("tidemark_gateway_requests_in_flight") == 1).await;
    set_claim(&server, |_, over| *over = true);
    let claim = server.claims.only().expect("the ids are kept");
    let answer = waiting.read().await;
    assert_eq!(answer.json()["batchId"], claim.batch.ids.batch_id.to_string());
    assert_eq!(state(&server), Some(State::Confirmed));
}

#[tokio::test]
async fn a_client_that_goes_away_finds_its_batch_stored_when_it_asks_again() {
    let server = server().await;
    let held = server.kafka.hold.clone().write_owned().await;
    let mut first = Connection::to(&server).await;
    first.write(limited(KEY, GOOD)).await;
    until("the first one holds the claim", || state(&server) == Some(State::Held)).await;
    drop(first);
    drop(held);
    until("the claim is confirmed", || state(&server) == Some(State::Confirmed)).await;
    let claim = server.claims.only().expect("it is confirmed");
    let answer = ask(&server, limited(KEY, GOOD)).await;
    assert_eq!(answer.json()["batchId"], claim.batch.ids.batch_id.to_string());
    assert_eq!(answer.header("idempotent-replayed"), Some("true"));
    assert_eq!((stored(&server), counted(&server)), (1, 1));
}

#[tokio::test]
async fn without_redis_batches_are_stored_and_carry_what_tells_the_worker_which_are_copies() {
    let server = server().await;
    redis_away(&server, true);
    for _ in 0..2 {
        assert_eq!(ask(&server, post(KEY, GOOD)).await.summary(), "200 1");
    }
    let records = server.kafka.records.lock().expect("no test panics while holding it").clone();
    let [(first_key, first), (second_key, second)] = &records[..] else { panic!("{records:?}") };
    assert_eq!(first_key, second_key);
    assert_eq!((&first.idempotency_key, &first.body_hash), (&second.idempotency_key, &second.body_hash));
    assert_eq!(server.metric("tidemark_gateway_idempotency_unclaimed_total"), 2);
}

#[tokio::test]
async fn a_batch_whose_claim_cannot_be_confirmed_is_accepted_and_a_repeat_is_told_the_same() {
    let server = server().await;
    let held = server.kafka.hold.clone().write_owned().await;
    let mut first = Connection::to(&server).await;
    first.write(post(KEY, GOOD)).await;
    until("the first one holds the claim", || state(&server) == Some(State::Held)).await;
    redis_away(&server, true);
    drop(held);
    let first = first.read().await;
    assert_eq!(first.summary(), "200 1");
    assert_eq!(server.metric("tidemark_gateway_idempotency_unconfirmed_total"), 1);
    redis_away(&server, false);
    set_claim(&server, |_, over| *over = true);
    let second = ask(&server, post(KEY, GOOD)).await;
    assert_eq!((second.status, &second.body), (200, &first.body));
}
