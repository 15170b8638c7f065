//! Streams over real HTTP and a real log.

use crate::support::{Caller, Stack, refused, serve_until, settings, start_stack, until};
use proto::Message as _;
use proto::topics::Topics;
use proto::v1::entity::Kind;
use proto::v1::{MetricBatch, Revocation, Sample};
use rdkafka::producer::{FutureProducer, FutureRecord};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Timeout of all steps.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Publishes batches as a gateway does.
pub struct Gateway {
    producer: FutureProducer,
    topic: String,
}

impl Gateway {
    pub fn new(stack: &Stack) -> Self {
        let producer = service::kafka::client(&stack.brokers, "test").create().expect("a producer");
        Self { producer, topic: Topics::new(&stack.namespace).metrics }
    }

    /// Publishes a batch of these metrics and values.
    pub async fn send(&self, project: &str, partition: i32, key: &str, samples: &[(&str, f64)]) {
        let sample = |(metric, value): &(&str, f64)| Sample {
            metric_id: (*metric).to_owned(),
            value: *value,
            timestamp_ms: 1_790_000_000_000,
            ..Sample::default()
        };
        let batch = MetricBatch {
            batch_id: vec![7; 16],
            project_id: project.to_owned(),
            received_at_ms: 1_790_000_000_123,
            samples: samples.iter().map(sample).collect(),
            idempotency_key: key.to_owned(),
            body_hash: vec![1; 32],
            ..MetricBatch::default()
        };
        let payload = batch.encode_to_vec();
        let mut record = FutureRecord::to(&self.topic).partition(partition).payload(&payload);
        if !key.is_empty() {
            record = record.key(key);
        }
        self.producer.send(record, TIMEOUT).await.expect("acknowledged");
    }

    /// Publishes one batch for each value of `a`, over all partitions.
    async fn values(&self, project: &str, values: std::ops::Range<i32>) {
        for value in values {
            self.send(project, value % 4, "", &[("a", value.into())]).await;
        }
    }
}

/// An event or a comment.
#[derive(Debug, Default, Clone)]
struct Event {
    id: String,
    kind: String,
    data: Value,
    comment: bool,
}

/// Reads server-sent events.
struct Listener {
    response: Response,
    text: String,
    last_id: String,
}

impl Listener {
    async fn open(caller: &Caller, path: &str, last_id: &str) -> Self {
        let mut request = caller.request(Method::GET, path);
        if !last_id.is_empty() {
            request = request.header("last-event-id", last_id);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        let header = |name: &str| response.headers()[name].to_str().expect("text").to_owned();
        assert_eq!(header("content-type"), "text/event-stream");
        assert_eq!(
            (header("cache-control"), header("x-accel-buffering")),
            ("no-store".to_owned(), "no".to_owned())
        );
        Self { response, text: String::new(), last_id: last_id.to_owned() }
    }

    /// Opens a stream and waits until it delivers new points.
    async fn connected(caller: &Caller, path: &str) -> Self {
        let mut listener = Self::open(caller, path, "").await;
        let first = listener.next().await.expect("the first id");
        assert!(!first.id.is_empty() && first.kind.is_empty());
        listener
    }

    /// Returns the next event or comment; nothing at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let mut event = Event::default();
                for line in block.lines() {
                    match line.split_once(": ") {
                        Some(("id", id)) => event.id = id.to_owned(),
                        Some(("event", kind)) => event.kind = kind.to_owned(),
                        Some(("data", data)) => event.data = serde_json::from_str(data).expect("JSON"),
                        Some(("", _)) => event.comment = true,
                        Some(("retry", _)) => {}
                        _ => panic!("not a line of an event: {line}"),
                    }
                }
                self.text = rest.to_owned();
                self.last_id.clone_from(&event.id);
                return Some(event);
            }
            let chunk =
                tokio::time::timeout(TIMEOUT, self.response.chunk()).await.expect("data before the timeout");
            self.text.push_str(std::str::from_utf8(&chunk.ok()??).expect("text"));
        }
    }

    /// Returns the next point, gap or notice.
    async fn event(&mut self) -> Option<Event> {
        loop {
            let event = self.next().await?;
            if !event.kind.is_empty() {
                return Some(event);
            }
        }
    }

    /// Returns the values of the next points.
    async fn values(&mut self, count: usize) -> Vec<i64> {
        let mut values = Vec::new();
        while values.len() < count {
            let event = self.event().await.expect("the stream continues");
            assert_eq!(event.kind, "point", "{event:?}");
            values.push(event.data["value"].as_f64().expect("a number") as i64);
        }
        values
    }
}

async fn is_open(caller: &Caller) -> bool {
    let response = caller.request(Method::GET, "/api/v1/stream").send().await;
    response.is_ok_and(|response| response.status() == 200)
}

async fn start() -> (Stack, Gateway, String, Caller) {
    let stack = start_stack().await;
    let gateway = Gateway::new(&stack);
    let (project, manager) = stack.project().await;
    until("the service follows the log", async || is_open(&manager).await).await;
    (stack, gateway, project, manager)
}

#[tokio::test(flavor = "multi_thread")]
async fn points_arrive_in_order_from_the_own_project_only() {
    let (stack, gateway, project, manager) = start().await;
    let (other, other_project) = stack.project().await;
    let mut all = Listener::connected(&manager, "/api/v1/stream").await;
    let mut some = Listener::connected(&manager, "/api/v1/stream?metricIds=b,never").await;
    let mut foreign = Listener::connected(&other_project, "/api/v1/stream").await;
    gateway.send(&other, 0, "", &[("b", -1.0)]).await;
    for value in 0..20 {
        gateway.send(&project, 2, "", &[("a", f64::from(value)), ("b", f64::from(value) + 0.5)]).await;
    }
    gateway.send(&other, 0, "", &[("a", -2.0)]).await;
    for value in 0..20 {
        for (metric, value) in [("a", f64::from(value)), ("b", f64::from(value) + 0.5)] {
            let data = json!({"metricId": metric, "timestamp": 1_790_000_000_000i64, "value": value,
                              "receivedAt": 1_790_000_000_123i64});
            assert_eq!(all.event().await.expect("a point").data, data);
            if metric == "b" {
                assert_eq!(some.event().await.expect("a point").data, data);
            }
        }
    }
    assert_eq!(foreign.values(2).await, [-1, -2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reconnecting_client_receives_missed_points_once() {
    let (stack, gateway, project, manager) = start().await;
    let mut listener = Listener::connected(&manager, "/api/v1/stream").await;
    gateway.values(&project, 0..12).await;
    // A client may disconnect in the middle of a batch.
    gateway.send(&project, 1, "", &[("a", 12.0), ("b", 13.0), ("a", 14.0)]).await;
    let mut ids = vec![(0, listener.last_id.clone())];
    let mut order = Vec::new();
    for seen in 1..=15 {
        order.extend(listener.values(1).await);
        ids.push((seen, listener.last_id.clone()));
    }
    drop(listener);
    gateway.values(&project, 15..18).await;
    // Another replica can resume from the id as well.
    let (url, _) = serve_until(&settings(&stack.namespace), CancellationToken::new()).await;
    let other = Caller { url, key: manager.key.clone() };
    until("the other replica follows the log", async || is_open(&other).await).await;
    for (seen, id) in ids {
        for (caller, path) in [(&manager, "/api/v1/stream"), (&other, "/api/v1/stream")] {
            let mut again = Listener::open(caller, path, &id).await;
            let mut values: Vec<i64> = order[..seen].to_vec();
            values.extend(again.values(18 - seen).await);
            values.sort_unstable();
            assert_eq!(values, (0..18).collect::<Vec<i64>>(), "after {seen}");
        }
    }
    // New points follow the replayed ones. The id may also be a query parameter.
    let id = listener_id(&manager).await;
    let mut again = Listener::open(&manager, &format!("/api/v1/stream?lastEventId={id}"), "").await;
    gateway.values(&project, 18..30).await;
    let mut values = again.values(12).await;
    values.sort_unstable();
    assert_eq!(values, (18..30).collect::<Vec<i64>>());
}

/// Returns the current event id.
async fn listener_id(caller: &Caller) -> String {
    Listener::connected(caller, "/api/v1/stream").await.last_id
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicate_record_is_not_sent_again() {
    let (_stack, gateway, project, manager) = start().await;
    let mut listener = Listener::connected(&manager, "/api/v1/stream").await;
    for (key, value) in [("k", 1.0), ("k", 1.0), ("l", 2.0), ("k", 1.0), ("", 3.0), ("", 3.0)] {
        gateway.send(&project, 1, key, &[("a", value)]).await;
    }
    assert_eq!(listener.values(4).await, [1, 2, 3, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_omits_deleted_points_but_not_later_ones() {
    let (stack, gateway, project, manager) = start().await;
    let id = listener_id(&manager).await;
    gateway.send(&project, 0, "", &[("a", 1.0), ("b", 2.0)]).await;
    gateway.send(&project, 1, "", &[("a", 3.0)]).await;
    stack.store(&project, &[crate::support::Sample { metric: "a", ..Default::default() }]).await;
    let mut listening = Listener::open(&manager, "/api/v1/stream", &id).await;
    listening.values(3).await;
    assert_eq!(manager.delete("/api/v1/metrics/a").await, (204, Value::Null));
    gateway.send(&project, 0, "", &[("a", 4.0)]).await;
    let mut again = Listener::open(&manager, "/api/v1/stream", &id).await;
    assert_eq!(again.values(2).await, [2, 4]);
    assert_eq!(listening.values(1).await, [4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_event_id_causes_a_gap_event() {
    let (_stack, gateway, project, manager) = start().await;
    let id = listener_id(&manager).await;
    gateway.values(&project, 0..4).await;
    // The service has read these points.
    Listener::open(&manager, "/api/v1/stream", &id).await.values(4).await;
    // A malformed id, and an id beyond the end of the log.
    let longer = reads::stream::cursor::Cursor::before(vec![1000; 4]).encode();
    for id in ["nonsense", &longer] {
        let mut listener = Listener::open(&manager, "/api/v1/stream", id).await;
        assert_eq!(listener.event().await.map(|event| event.kind).as_deref(), Some("gap"), "{id}");
        gateway.send(&project, 0, "", &[("a", 77.0)]).await;
        assert_eq!(listener.values(1).await, [77]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_stream_sends_comments_with_current_ids() {
    let (stack, gateway, project, manager) = start().await;
    let (other, _) = stack.project().await;
    let mut listener = Listener::connected(&manager, "/api/v1/stream").await;
    let first = listener.last_id.clone();
    gateway.values(&other, 0..40).await;
    loop {
        let event = listener.next().await.expect("the stream continues");
        assert!(event.comment, "{event:?}");
        if event.id != first {
            break;
        }
    }
    let id = listener.last_id.clone();
    drop(listener);
    gateway.values(&project, 0..4).await;
    let mut values = Listener::open(&manager, "/api/v1/stream", &id).await.values(4).await;
    values.sort_unstable();
    assert_eq!(values, [0, 1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_requires_read_scope_and_ends_with_its_key() {
    let (stack, _gateway, _project, manager) = start().await;
    let mut listener = Listener::connected(&manager, "/api/v1/stream").await;
    let key = manager.key.clone().expect("a key");
    let key_id = key.split('_').nth(1).expect("an id").to_owned();
    let revocation = Revocation { key_id, revoked_at_ms: service::clock::now_ms() };
    stack.publish(Kind::Revocation(revocation)).await;
    while listener.next().await.is_some_and(|event| event.comment) {}
    refused(manager.get("/api/v1/stream").await, 401, "revoked_key");
    refused(Caller { url: stack.url.clone(), key: None }.get("/api/v1/stream").await, 401, "missing_key");
    let (_, other) = stack.project().await;
    let (_, connection) = other.post("/api/v1/connections", &json!({"name": "x"})).await;
    let ingest = stack.client(connection["apiKey"].as_str().expect("a key"));
    refused(ingest.get("/api/v1/stream").await, 403, "insufficient_scope");
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_ends_streams() {
    let (stack, _gateway, _project, manager) = start().await;
    let stop = CancellationToken::new();
    let (url, _) = serve_until(&settings(&stack.namespace), stop.clone()).await;
    let caller = Caller { url, key: manager.key.clone() };
    until("the service follows the log", async || is_open(&caller).await).await;
    let mut listener = Listener::connected(&caller, "/api/v1/stream").await;
    stop.cancel();
    while listener.next().await.is_some_and(|event| event.comment) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn notice_arrives_on_streams_of_its_project_only() {
    let (stack, gateway, project, manager) = start().await;
    let (_, other_project) = stack.project().await;
    let (status, channel) =
        manager.post("/api/v1/channels", &json!({"name": "Inbox", "kind": "in_app"})).await;
    assert_eq!(status, 201, "{channel}");
    let test = format!("/api/v1/channels/{}/test", channel["channelId"].as_str().expect("an id"));
    let mut listener = Listener::connected(&manager, "/api/v1/stream").await;
    let mut foreign = Listener::connected(&other_project, "/api/v1/stream").await;
    let (status, started) = manager.post(&test, &json!({})).await;
    assert_eq!(status, 202, "{started}");
    let notice = listener.event().await.expect("a notice");
    assert_eq!(
        (notice.kind.as_str(), notice.id.as_str()),
        ("notice", ""),
        "a notice has no id to resume from"
    );
    let data = &notice.data;
    assert_eq!((&data["id"], &data["event"]), (&started["testId"], &json!("test")));
    assert_eq!((&data["unread"], &data["read"]), (&json!(1), &json!(false)));
    gateway.values(&project, 0..1).await;
    assert_eq!(listener.values(1).await, [0], "points continue after a notice");
    manager.post(&test, &json!({})).await;
    assert_eq!(listener.event().await.expect("a notice").data["unread"], 2);
    let (_, channel) =
        other_project.post("/api/v1/channels", &json!({"name": "Inbox", "kind": "in_app"})).await;
    let test = format!("/api/v1/channels/{}/test", channel["channelId"].as_str().expect("an id"));
    let (_, started) = other_project.post(&test, &json!({})).await;
    assert_eq!(
        foreign.event().await.expect("a notice").data["id"],
        started["testId"],
        "the first notice is that of its own project"
    );
}
