//! Starts a gateway on its own port, and provides a client that sends the given bytes unchanged.

use control::keys::{AuthError, Key};
use control::{Scope, Scopes};
use gateway::Gateway;
use gateway::handle::Authenticator;
use gateway::idempotency::{Claims, Idempotency};
use gateway::metrics::Metrics;
use gateway::outcomes::Outcomes;
use gateway::publish::{Publish, PublishError, Record};
use gateway::quota::Quota;
use gateway::request::body::BodyTimeouts;
use hyper::service::service_fn;
use idempotency::{Change, Claim, Exchanged, Seen, Unavailable};
use proto::Message;
use proto::v1::MetricBatch;
use quota::{Charge, QuotaState, Source, Verdict};
use serde_json::Value;
use service::auth_throttle::AuthThrottle;
use service::client::Clients;
use service::http::HalfClosed;
use service::traces::Traces;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

pub const PATH: &str = "/api/webhooks/custom";

/// Locks a mutex of a fake.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("not poisoned")
}

/// Accepts the tokens `good` and `limited` (to [`LIMIT`] requests per hour). `reader` lacks the ingest scope,
/// `revoked` is revoked, and `unavailable` cannot be looked up. Every other token is unknown.
struct FakeKeys;

impl Authenticator for FakeKeys {
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
            "unavailable" => Err(AuthError::Unavailable),
            _ => Err(AuthError::Unknown),
        }
    }

    fn find_cached(&self, _: &str) -> Option<Arc<Key>> {
        None
    }
}

/// The idempotency key and the batch of a record.
pub type Published = (Option<String>, MetricBatch);

/// Keeps the published records, or fails with `failure`.
#[derive(Clone, Default)]
pub struct FakeKafka {
    pub records: Arc<Mutex<Vec<Published>>>,
    pub failure: Arc<Mutex<Option<PublishError>>>,
    /// Publishes wait while a test holds the write lock.
    pub hold: Arc<tokio::sync::RwLock<()>>,
}

impl Publish for FakeKafka {
    async fn publish(&self, record: Record<'_>) -> Result<(), PublishError> {
        let _released = self.hold.read().await;
        if let Some(failure) = *lock(&self.failure) {
            return Err(failure);
        }
        let batch = MetricBatch::decode(record.payload).expect("a valid batch");
        assert_eq!(record.project_id, batch.project_id);
        let key = record.idempotency_key.map(str::to_owned);
        lock(&self.records).push((key, batch));
        Ok(())
    }
}

/// Claims and whether their leases have expired, by project and key.
type ClaimsByKey = HashMap<(String, String), (Claim, bool)>;

/// Keeps claims in memory.
#[derive(Clone, Default)]
pub struct FakeClaims {
    pub all: Arc<Mutex<ClaimsByKey>>,
    pub unavailable: Arc<Mutex<bool>>,
}

impl FakeClaims {
    /// Returns the only claim, if there is one.
    pub fn only(&self) -> Option<Claim> {
        let all = lock(&self.all);
        assert!(all.len() <= 1, "{all:?}");
        all.values().map(|(claim, _)| *claim).next()
    }
}

impl Claims for FakeClaims {
    async fn exchange(&self, project_id: &str, key: &str, change: Change) -> Result<Exchanged, Unavailable> {
        if *lock(&self.unavailable) {
            return Err(Unavailable);
        }
        let name = (project_id.to_owned(), key.to_owned());
        let mut all = lock(&self.all);
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
            Some(&(claim, expired)) => {
                Seen { claim: Some(claim), lease_left_ms: if expired { 0 } else { 60_000 } }
            }
            None => Seen::default(),
        };
        Ok(Exchanged { done, seen })
    }
}

/// Hourly request limit of the key `limited`.
pub const LIMIT: u64 = 3;
/// Hours since 1970 in which [`FakeQuota`] counts.
pub const HOUR: u64 = 497_222;
/// Seconds left of [`HOUR`].
pub const SECONDS_LEFT: u64 = 1234;

/// Counts in memory. Refunds are recorded but do not free quota.
#[derive(Clone, Default)]
pub struct FakeQuota {
    pub counted: Arc<Mutex<u64>>,
    pub refunds: Arc<Mutex<Vec<Charge>>>,
    pub unavailable: Arc<Mutex<bool>>,
}

impl Quota for FakeQuota {
    async fn count(&self, project_id: &str, limit: u64) -> Verdict {
        assert_eq!(project_id, "prj_a");
        let state = QuotaState { limit, remaining: 0, reset: (HOUR + 1) * 3600 };
        if *lock(&self.unavailable) {
            return Verdict::Unavailable(state);
        }
        let mut counted = lock(&self.counted);
        if *counted == limit {
            return Verdict::Exceeded { state, retry_after: SECONDS_LEFT };
        }
        *counted += 1;
        Verdict::Counted(Charge { limit, number: *counted, hour: HOUR, source: Source::Redis(1) })
    }

    fn refund(&self, project_id: &str, charge: Charge) {
        assert_eq!(project_id, "prj_a");
        lock(&self.refunds).push(charge);
    }
}

pub struct Server {
    pub address: SocketAddr,
    pub kafka: FakeKafka,
    pub quota: FakeQuota,
    pub claims: FakeClaims,
    pub metrics: Metrics,
    pub auth_throttle: AuthThrottle,
    _stop: DropGuard,
}

/// Starts a gateway with timeouts that no test reaches.
pub async fn server() -> Server {
    server_with(LONG_TIMEOUTS).await
}

const LONG_TIMEOUTS: BodyTimeouts =
    BodyTimeouts { idle: Duration::from_secs(60), total: Duration::from_secs(60) };

pub async fn server_with(body_timeouts: BodyTimeouts) -> Server {
    start(body_timeouts, Duration::from_secs(60)).await
}

/// Starts a gateway where a retry waits up to `max_wait` for the first request.
pub async fn server_with_max_wait(max_wait: Duration) -> Server {
    start(LONG_TIMEOUTS, max_wait).await
}

async fn start(body_timeouts: BodyTimeouts, max_wait: Duration) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound listener");
    let (kafka, quota, claims) = (FakeKafka::default(), FakeQuota::default(), FakeClaims::default());
    let (metrics, auth_throttle) = (Metrics::default(), AuthThrottle::default());
    let stop = CancellationToken::new();
    let gateway = Arc::new(Gateway {
        keys: FakeKeys,
        quota: quota.clone(),
        idempotency: Idempotency::new(claims.clone(), max_wait, metrics.idempotency.clone()),
        publisher: kafka.clone(),
        body_timeouts,
        clients: Clients::new("127.0.0.2".parse().expect("a valid address"), None),
        auth_throttle: auth_throttle.clone(),
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
    Server { address, kafka, quota, claims, metrics, auth_throttle, _stop: stop.drop_guard() }
}

impl Server {
    /// Returns the value of the metric `name`, which includes its labels.
    pub fn metric(&self, name: &str) -> u64 {
        let mut registry = prometheus_client::registry::Registry::default();
        self.metrics.register(&mut registry);
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).expect("writing to memory");
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

    /// Returns `200 3` for three accepted metrics; for an error, for example
    /// `400 invalid_batch 3.value:not_a_number metrics:empty`.
    pub fn summary(&self) -> String {
        let json = self.json();
        let result = json["error"].as_str().map_or_else(|| json["accepted"].to_string(), str::to_owned);
        let details = json["details"].as_array().into_iter().flatten().map(|fault| {
            let index = fault["index"].as_u64().map_or_else(String::new, |index| format!("{index}."));
            let text = |name: &str| fault[name].as_str().expect("a string").to_owned();
            format!(" {index}{}:{}", text("field"), text("code"))
        });
        format!("{} {result}{}", self.status, details.collect::<String>())
    }

    /// Checks the properties that all answers share.
    pub fn check_shape(&self) {
        let id = self.header("x-request-id").expect("a request id");
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
        Self(BufReader::new(TcpStream::connect(server.address).await.expect("a listening server")))
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).await.expect("an open connection");
    }

    /// Returns false if the server has closed the connection.
    pub async fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.get_mut().write_all(bytes.as_ref()).await.is_ok()
    }

    /// Does not fail if the server has closed the connection already.
    pub async fn try_close_sending_side(&mut self) {
        let _ = self.0.get_mut().shutdown().await;
    }

    pub async fn close_sending_side(&mut self) {
        self.0.get_mut().shutdown().await.expect("an open connection");
    }

    /// Returns the next answer, or `None` if the server closed the connection instead.
    pub async fn try_read(&mut self, has_body: bool) -> Option<Answer> {
        let status = self.line().await?;
        let status = status.split(' ').nth(1)?.parse().expect("a numeric status");
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
        self.try_read(true).await.expect("an answer")
    }

    /// Waits for the next byte. Returns true if the server closed the connection instead.
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

/// Returns a POST with the key `good`, the additional `headers` (each with a line break at its end) and
/// `body`.
pub fn post(headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer good\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Like [`post`], but with the key `limited`, whose requests are counted.
pub fn limited(headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let request = String::from_utf8(post(headers, body)).expect("valid UTF-8");
    request.replacen("Bearer good", "Bearer limited", 1).into_bytes()
}

/// Polls until `condition` holds; `description` is for the panic message.
pub async fn until(description: &str, condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let max_wait = Duration::from_secs(60);
    tokio::time::timeout(max_wait, holds)
        .await
        .unwrap_or_else(|_| panic!("timed out waiting until {description}"));
}

/// Sends `request` over its own connection, checks the properties that all answers share, and returns the
/// answer.
pub async fn ask(server: &Server, request: impl AsRef<[u8]>) -> Answer {
    let mut connection = Connection::to(server).await;
    connection.write(request).await;
    let answer = connection.read().await;
    answer.check_shape();
    answer
}

/// A batch of one valid metric.
pub const VALID_BATCH: &str = r#"{"projectId":"prj_a","metrics":[{"metricId":"daily_signups","value":42}]}"#;
