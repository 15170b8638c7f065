//! A gateway on a port of its own, and a client that sends exactly the bytes it is told to.

use accounts::claims::{Away, Change, Claim, Exchanged, Seen};
use accounts::keys::{AuthError, Key};
use accounts::quota::{Charge, Source, Standing, Verdict};
use accounts::{Scope, Scopes};
use gateway::Gateway;
use gateway::handle::Keys;
use gateway::idempotency::{Claims, Idempotency};
use gateway::metrics::Metrics;
use gateway::outcomes::Outcomes;
use gateway::publish::{NotPublished, Publish, Record};
use gateway::quota::Quota;
use gateway::request::body::BodyTimes;
use hyper::service::service_fn;
use proto::Message;
use proto::v1::MetricBatch;
use serde_json::Value;
use service::client::Clients;
use service::http::HalfClosed;
use service::slowdown::Slowdown;
use service::traces::Traces;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

pub const PATH: &str = "/api/webhooks/custom";

/// Keys by their names: `good`, `limited` (to [`LIMIT`] requests), `reader`, `revoked`, `away`; every other token is
/// unknown.
struct FakeKeys;

impl Keys for FakeKeys {
    async fn authenticate(&self, token: &str) -> Result<Arc<Key>, AuthError> {
        let key = |scope, requests_per_hour| {
            Ok(Arc::new(Key {
                key_id: "key_a".into(),
                project_id: "prj_a".into(),
                connection_id: "con_a".into(),
                scopes: Scopes::new([scope]),
                requests_per_hour,
            }))
        };
        match token {
            "good" => key(Scope::Ingest, None),
            "limited" => key(Scope::Ingest, Some(LIMIT)),
            "reader" => key(Scope::Manage, Some(LIMIT)),
            "revoked" => Err(AuthError::Revoked),
            "away" => Err(AuthError::Unavailable),
            _ => Err(AuthError::Unknown),
        }
    }

    fn named(&self, _: &str) -> Option<Arc<Key>> {
        None
    }
}

/// A record's idempotency key and its batch.
pub type Published = (Option<String>, MetricBatch);

/// Keeps what it is given, or fails as it is told.
#[derive(Clone, Default)]
pub struct FakeKafka {
    pub records: Arc<Mutex<Vec<Published>>>,
    pub failure: Arc<Mutex<Option<NotPublished>>>,
    /// While somebody writes, nothing arrives.
    pub hold: Arc<tokio::sync::RwLock<()>>,
}

impl Publish for FakeKafka {
    async fn publish(&self, record: Record<'_>) -> Result<(), NotPublished> {
        let _arrives = self.hold.read().await;
        if let Some(failure) = *self.failure.lock().expect("no test panics while holding it") {
            return Err(failure);
        }
        let batch = MetricBatch::decode(record.payload).expect("the gateway writes what the contract says");
        assert_eq!(record.project_id, batch.project_id);
        let key = record.idempotency_key.map(str::to_owned);
        self.records.lock().expect("no test panics while holding it").push((key, batch));
        Ok(())
    }
}

/// By project and key, a claim and whether its lease is over.
type ByKey = HashMap<(String, String), (Claim, bool)>;

/// Claims in memory.
#[derive(Clone, Default)]
pub struct FakeClaims {
    pub all: Arc<Mutex<ByKey>>,
    pub away: Arc<Mutex<bool>>,
}

impl FakeClaims {
    /// The only claim, if there is one.
    pub fn only(&self) -> Option<Claim> {
        let all = self.all.lock().expect("no test panics while holding it");
        assert!(all.len() <= 1, "{all:?}");
        all.values().map(|(claim, _)| *claim).next()
    }
}

impl Claims for FakeClaims {
    async fn exchange(&self, project_id: &str, key: &str, change: Change) -> Result<Exchanged, Away> {
        if *self.away.lock().expect("no test panics while holding it") {
            return Err(Away);
        }
        let name = (project_id.to_owned(), key.to_owned());
        let mut all = self.all.lock().expect("no test panics while holding it");
        let version = all.get(&name).map(|(claim, _)| claim.version);
        let done = match change {
            Change::Put { expected, claim } if expected == version => {
                all.insert(name.clone(), (claim, false));
                true
            }
            Change::Drop(expected) if Some(expected) == version => all.remove(&name).is_some(),
            _ => false,
        };
        let seen = match all.get(&name) {
            Some(&(claim, over)) => Seen { claim: Some(claim), lease_left_ms: if over { 0 } else { 60_000 } },
            None => Seen::default(),
        };
        Ok(Exchanged { done, seen })
    }
}

/// How many requests per hour the key `limited` may send.
pub const LIMIT: u64 = 3;
/// The hour in which all is counted, and how many seconds are left of it.
pub const HOUR: u64 = 497_222;
pub const SECONDS_LEFT: u64 = 1234;

/// Counts by hand; what was given back is noted and not given out again.
#[derive(Clone, Default)]
pub struct FakeQuota {
    pub counted: Arc<Mutex<u64>>,
    pub refunds: Arc<Mutex<Vec<Charge>>>,
    pub away: Arc<Mutex<bool>>,
}

impl Quota for FakeQuota {
    async fn count(&self, project_id: &str, limit: u64) -> Verdict {
        assert_eq!(project_id, "prj_a");
        let standing = Standing { limit, remaining: 0, reset: (HOUR + 1) * 3600 };
        if *self.away.lock().expect("no test panics while holding it") {
            return Verdict::Unavailable(standing);
        }
        let mut counted = self.counted.lock().expect("no test panics while holding it");
        if *counted == limit {
            return Verdict::Over { standing, retry_after: SECONDS_LEFT };
        }
        *counted += 1;
        Verdict::Counted(Charge { limit, number: *counted, hour: HOUR, source: Source::Redis(1) })
    }

    fn refund(&self, project_id: &str, charge: Charge) {
        assert_eq!(project_id, "prj_a");
        self.refunds.lock().expect("no test panics while holding it").push(charge);
    }
}

pub struct Server {
    pub address: SocketAddr,
    pub kafka: FakeKafka,
    pub quota: FakeQuota,
    pub claims: FakeClaims,
    pub metrics: Metrics,
    pub slowdown: Slowdown,
    _stop: DropGuard,
}

/// A gateway that waits long enough for any body.
pub async fn server() -> Server {
    server_with(LONG).await
}

const LONG: BodyTimes = BodyTimes { idle: Duration::from_secs(60), total: Duration::from_secs(60) };

pub async fn server_with(body_times: BodyTimes) -> Server {
    start(body_times, Duration::from_secs(60)).await
}

/// A gateway at which a repeat waits so long for the first.
pub async fn server_with_patience(patience: Duration) -> Server {
    start(LONG, patience).await
}

async fn start(body_times: BodyTimes, patience: Duration) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    let address = listener.local_addr().expect("it is bound");
    let (kafka, quota, claims) = (FakeKafka::default(), FakeQuota::default(), FakeClaims::default());
    let (metrics, slowdown) = (Metrics::default(), Slowdown::default());
    let stop = CancellationToken::new();
    let gateway = Arc::new(Gateway {
        keys: FakeKeys,
        quota: quota.clone(),
        idempotency: Idempotency::new(claims.clone(), patience, metrics.idempotency.clone()),
        publisher: kafka.clone(),
        body_times,
        clients: Clients::new("127.0.0.2".parse().expect("an address"), None),
        slowdown: slowdown.clone(),
        outcomes: Outcomes::default(),
        traces: Traces::default(),
        metrics: metrics.clone(),
    });
    let service = move |peer: SocketAddr| {
        let (gateway, peer) = (gateway.clone(), gateway.clients.peer(peer.ip()));
        service_fn(move |request| {
            let gateway = gateway.clone();
            async move { Ok::<_, Infallible>(gateway.handle(request, peer).await) }
        })
    };
    tokio::spawn(service::http::serve(
        listener,
        service,
        HalfClosed::Answer,
        stop.clone(),
        Duration::from_secs(1),
    ));
    Server { address, kafka, quota, claims, metrics, slowdown, _stop: stop.drop_guard() }
}

impl Server {
    /// A line of its metrics: the value of `name`, with its labels.
    pub fn metric(&self, name: &str) -> u64 {
        let mut registry = prometheus_client::registry::Registry::default();
        self.metrics.register(&mut registry);
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).expect("it is written to memory");
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or(0)
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// `200 3` for three metrics accepted, else such as `400 invalid_batch 3.value:not_a_number metrics:empty`.
    pub fn summary(&self) -> String {
        let json = self.json();
        let word = json["error"].as_str().map_or_else(|| json["accepted"].to_string(), str::to_owned);
        let details = json["details"].as_array().into_iter().flatten().map(|fault| {
            let index = fault["index"].as_u64().map_or_else(String::new, |index| format!("{index}."));
            let text = |name: &str| fault[name].as_str().expect("it is a string").to_owned();
            format!(" {index}{}:{}", text("field"), text("code"))
        });
        format!("{} {word}{}", self.status, details.collect::<String>())
    }

    /// Checks what every answer has, whatever it says.
    pub fn check_shape(&self) {
        let id = self.header("x-request-id").expect("every answer has a request id");
        assert!(!id.is_empty());
        assert_eq!(self.header("content-type"), Some("application/json"));
        let json = self.json();
        if self.status == 200 {
            assert_eq!(json["success"], true);
            return;
        }
        assert_eq!(json["requestId"], *id);
        assert!(json["message"].as_str().is_some_and(|message| message.len() > 10), "{json}");
        assert_eq!(json.get("details").is_some(), json["error"] == "invalid_batch", "{json}");
        assert_eq!(self.header("www-authenticate"), (self.status == 401).then_some("Bearer"));
        assert_eq!(self.header("allow"), (self.status == 405).then_some("POST"));
        let retry = json.get("retryAfter").map(Value::to_string);
        assert_eq!(self.header("retry-after"), retry.as_deref());
        assert_eq!(retry.is_some(), matches!(self.status, 429 | 503));
        for fault in json["details"].as_array().into_iter().flatten() {
            assert!(fault["message"].as_str().is_some_and(|message| !message.is_empty()), "{json}");
        }
    }
}

pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub async fn to(server: &Server) -> Self {
        Self(BufReader::new(TcpStream::connect(server.address).await.expect("it listens")))
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).await.expect("the server reads");
    }

    /// False if the server takes nothing more.
    pub async fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.get_mut().write_all(bytes.as_ref()).await.is_ok()
    }

    /// The server may have closed the connection already.
    pub async fn try_end_of_input(&mut self) {
        let _ = self.0.get_mut().shutdown().await;
    }

    pub async fn end_of_input(&mut self) {
        self.0.get_mut().shutdown().await.expect("the connection is open");
    }

    /// The next answer; none if the server closed the connection instead.
    pub async fn try_read(&mut self, has_body: bool) -> Option<Answer> {
        let status = self.line().await?;
        let status = status.split(' ').nth(1)?.parse().expect("a status is a number");
        let mut headers = Vec::new();
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        let length = answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        if has_body {
            answer.body.resize(length, 0);
            self.0.read_exact(&mut answer.body).await.ok()?;
        }
        Some(answer)
    }

    pub async fn read(&mut self) -> Answer {
        self.try_read(true).await.expect("there is an answer")
    }

    /// Whether the server has closed the connection, without another byte.
    pub async fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        !matches!(self.0.read(&mut byte).await, Ok(1))
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line).await {
            Ok(length) if length > 0 => Some(line.trim_end().to_owned()),
            _ => None,
        }
    }
}

/// A request with the usual headers, those of `headers` (each ending in a line break), and `body`.
pub fn post(headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer good\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The same with a key that is counted.
pub fn limited(headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let request = String::from_utf8(post(headers, body)).expect("it is text");
    request.replacen("Bearer good", "Bearer limited", 1).into_bytes()
}

/// Asks `condition` until it holds.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, holds).await.unwrap_or_else(|_| panic!("it never came about that {what}"));
}

/// The answer to `request`, sent over a connection of its own, with the shape that every answer has.
pub async fn ask(server: &Server, request: impl AsRef<[u8]>) -> Answer {
    let mut connection = Connection::to(server).await;
    connection.write(request).await;
    let answer = connection.read().await;
    answer.check_shape();
    answer
}

/// A batch of one good metric.
pub const GOOD: &str = r#"{"projectId":"prj_a","metrics":[{"metricId":"daily_signups","value":42}]}"#;
