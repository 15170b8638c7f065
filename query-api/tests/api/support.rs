//! A service on real stores, and clients for it.

use clap::Parser;
use clickhouse::Client;
use control::control_log::ControlWriter;
use control::projection::Projection;
use control::projector::Projector;
use proto::topics::Topics;
use proto::v1::entity::Kind;
use proto::v1::{Entity, Generation, Generations};
use query_api::run::{Listeners, run};
use query_api::settings::Arguments;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use service::kafka::KafkaBrokers;
use service::settings::Common;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

pub const OPERATOR: &str = "the-operators-token-of-the-tests";
/// How long to wait for what must come to pass.
const PATIENCE: Duration = Duration::from_secs(120);

/// What outlives the tests' own runtimes.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

static SHARED: LazyLock<Stack> = LazyLock::new(|| {
    let start = std::thread::spawn(|| RUNTIME.block_on(Stack::start()));
    start.join().expect("the service starts")
});

/// A service with stores that are its own by name.
pub struct Stack {
    pub url: String,
    pub ops_url: String,
    pub namespace: String,
    pub brokers: KafkaBrokers,
    /// For the runtime that outlives the tests alone: its connections are shared, and end with the runtime that made
    /// them.
    clickhouse: Client,
    clickhouse_url: String,
    pub writer: ControlWriter,
    pub projection: Projection,
    pub redis: redis_access::Redis,
    pub log: String,
}

pub fn store_address(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run these tests with `deploy/local/test -p query-api`")
    })
}

/// The service of all tests that do not need one for themselves.
pub fn shared() -> &'static Stack {
    for name in ["KAFKA_BROKERS", "REDIS_URL", "CLICKHOUSE_URL"] {
        store_address(name);
    }
    &SHARED
}

/// A service for one test alone.
pub async fn own() -> Stack {
    RUNTIME.spawn(Stack::start()).await.expect("the service starts")
}

/// Starts a service with these settings; returns its addresses, for clients and for operators.
pub async fn serve(settings: &[String]) -> (String, String) {
    serve_until(settings, CancellationToken::new()).await
}

/// The same, until `stop`.
pub async fn serve_until(settings: &[String], stop: CancellationToken) -> (String, String) {
    let settings = settings.to_vec();
    let start = async move {
        let arguments =
            ["query-api", "--operator-token", OPERATOR].map(str::to_owned).into_iter().chain(settings);
        let mut settings = Arguments::parse_from(arguments).check().unwrap_or_else(|error| panic!("{error}"));
        settings.streams.beat = Duration::from_millis(300);
        let clients = service::http::reserve(([127, 0, 0, 1], 0).into(), "a port").expect("a port");
        let operators = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = clients.local_addr().expect("an address");
        let urls =
            (format!("http://{address}"), format!("http://{}", operators.local_addr().expect("an address")));
        let listeners = Listeners { clients, operators };
        tokio::spawn(async move {
            run(settings, listeners, stop).await.expect("it runs");
        });
        until("it lets clients in", || async { TcpStream::connect(address).await.is_ok() }).await;
        urls
    };
    RUNTIME.spawn(start).await.expect("it starts")
}

/// The settings of a service of the installation `namespace`.
pub fn settings(namespace: &str) -> [String; 7] {
    let part = |setting: &str, name: &str| format!("--{setting}={}", store_address(name));
    [
        part("kafka-brokers", "KAFKA_BROKERS"),
        part("redis-url", "REDIS_URL"),
        part("clickhouse-url", "CLICKHOUSE_URL"),
        format!("--namespace={namespace}"),
        "--max-publish-time=1s".to_owned(),
        "--alert-interval=10s".to_owned(),
        "--allow-outgoing=127.0.0.0/8".to_owned(),
    ]
}

pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "still waiting for: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Stack {
    async fn start() -> Self {
        let (brokers, redis_url, clickhouse_url) =
            (store_address("KAFKA_BROKERS"), store_address("REDIS_URL"), store_address("CLICKHOUSE_URL"));
        let namespace = format!("q{:016x}", rand::random::<u64>());
        let (url, ops_url) = serve(&settings(&namespace)).await;

        let clickhouse = Client::default().with_url(&clickhouse_url);
        let migration = include_str!("../../../ingest-worker/migrations/0001_samples.sql");
        let migration: Vec<&str> =
            migration.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
        let migration = migration.join("\n").replace("{database}", &namespace);
        for statement in migration.split(';').filter(|statement| !statement.trim().is_empty()) {
            clickhouse.query_raw(statement).execute().await.expect("the schema is made");
        }

        let common = Common {
            kafka_brokers: brokers.clone(),
            redis_url: redis_url.clone(),
            security: service::connections::Security::default(),
            traces: service::traces::TraceSettings::default(),
            namespace: namespace.clone(),
            log: "info".to_owned(),
            validate: false,
        };
        let topics = Topics::new(&namespace);
        let writer = ControlWriter::new(&brokers, &topics, Duration::from_secs(10)).expect("a writer");
        let mut redis = redis_access::connect(&redis_url).expect("an address");
        // It connects here, in the runtime that outlives the tests.
        redis::cmd("PING").query_async::<()>(&mut redis).await.expect("Redis runs");
        let projection = Projection::new(&namespace);
        until("the topics", || async { control::control_log::end(&brokers, &topics).await.is_ok() }).await;
        let generation = Generation { number: 1, database: namespace.clone(), ..Generation::default() };
        let generations = Generations { generations: vec![generation], read: 1, last_number: 1 };
        let log = control::control_log::log_id(&brokers, &topics, &writer).await.expect("the log has an id");
        writer.publish(&Entity { kind: Some(Kind::Generations(generations)) }).await.expect("it is written");
        let projector = Projector::new(&common, writer.clone()).expect("an address");
        tokio::spawn(projector.run(CancellationToken::new(), |_| {}));
        let ready = format!("{ops_url}/readyz");
        until("readiness", || async {
            reqwest::get(&ready).await.is_ok_and(|response| response.status() == 200)
        })
        .await;
        Self {
            url,
            ops_url,
            clickhouse: clickhouse.with_database(&namespace),
            clickhouse_url,
            namespace,
            brokers,
            writer,
            projection,
            redis,
            log,
        }
    }

    /// A client with this key.
    pub fn client(&self, key: &str) -> Caller {
        Caller { url: self.url.clone(), key: Some(key.to_owned()) }
    }

    /// A new project: its id, and a client that may manage it.
    pub async fn project(&self) -> (String, Caller) {
        let body = json!({"name": "Test", "plan": "pro"});
        let (status, project) = self.client(OPERATOR).post("/api/v1/projects", &body).await;
        assert_eq!(status, 201, "{project}");
        (text(&project, "projectId"), self.client(&text(&project, "manageKey")))
    }

    /// Publishes an entity and applies it, as a command does.
    pub async fn publish(&self, kind: Kind) {
        let event = self.writer.publish(&Entity { kind: Some(kind) }).await.expect("it is written");
        self.projection.apply(&mut self.redis.clone(), &self.log, &event).await.expect("it is applied");
    }

    /// Stores samples, as an ingest worker does.
    pub async fn store(&self, project: &str, samples: &[Sample]) {
        let rows: Vec<String> = samples
            .iter()
            .map(|s| {
                format!(
                    "('sample', '{project}', '{}', fromUnixTimestamp64Milli({}, 'UTC'), {:?}, \
                     fromUnixTimestamp64Milli({}, 'UTC'), 0, {}, {}, '{}', '{}')",
                    s.metric, s.time, s.value, s.received_at, s.offset, s.index, s.name, s.unit
                )
            })
            .collect();
        let sql = format!(
            "INSERT INTO samples (kind, project_id, metric_id, time, value, received_at, partition, offset, index, \
             metric_name, unit) VALUES {}",
            rows.join(", ")
        );
        self.insert(&sql).await;
    }

    /// Stores a marker: `partition` is stored up to `last`.
    pub async fn mark(&self, partition: i32, last: i64) {
        let sql = format!(
            "INSERT INTO samples (kind, partition, first_offset, last_offset) VALUES ('marker', {partition}, 0, {last})"
        );
        self.insert(&sql).await;
    }

    /// ClickHouse, over connections of the caller's own.
    pub fn clickhouse(&self) -> Client {
        Client::default().with_url(&self.clickhouse_url).with_database(&self.namespace)
    }

    /// On the runtime that outlives the tests.
    async fn insert(&self, sql: &str) {
        let query = self.clickhouse.query_raw(sql);
        RUNTIME.spawn(query.execute()).await.expect("it is carried out").expect("it is stored");
    }
}

/// A sample to be stored.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    pub metric: &'static str,
    pub time: i64,
    pub value: f64,
    pub received_at: i64,
    pub offset: i64,
    pub index: u16,
    pub name: &'static str,
    pub unit: &'static str,
}

/// A client with a key, or without one.
pub struct Caller {
    pub url: String,
    pub key: Option<String>,
}

impl Caller {
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = reqwest::Client::new().request(method, format!("{}{path}", self.url));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        read(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        read(self.request(Method::POST, path).json(body)).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> (u16, Value) {
        read(self.request(Method::PATCH, path).json(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        read(self.request(Method::PUT, path).json(body)).await
    }

    pub async fn delete(&self, path: &str) -> (u16, Value) {
        read(self.request(Method::DELETE, path)).await
    }

    /// Whether the key is good, as far as the service knows.
    pub async fn is_good(&self) -> bool {
        let (status, answer) = self.get("/api/v1/plans").await;
        assert!(status == 200 || answer["error"] == "revoked_key", "{answer}");
        status == 200
    }

    /// Waits until the key is refused as one that was ours.
    pub async fn ends(&self) {
        until("the key is refused", || async { !self.is_good().await }).await;
    }

    /// The answer to what must succeed.
    pub async fn ok(&self, path: &str) -> Value {
        let (status, answer) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }
}

pub async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

/// Status and body of an answer. What every answer must have is checked here.
pub async fn read(request: RequestBuilder) -> (u16, Value) {
    let response = send(request).await;
    let status = response.status().as_u16();
    let header =
        |name: &str| response.headers().get(name).map(|value| value.to_str().expect("text").to_owned());
    let request_id = header("x-request-id").expect("every answer has an id");
    let (retry_after, challenge) = (header("retry-after"), header("www-authenticate"));
    if status == 204 {
        assert!(response.bytes().await.expect("an answer").is_empty());
        return (status, Value::Null);
    }
    let body: Value = response.json().await.expect("every other answer is JSON");
    if status >= 400 {
        assert_eq!(text(&body, "requestId"), request_id);
        assert!(!text(&body, "message").is_empty() && !text(&body, "error").is_empty());
        assert_eq!(retry_after, body.get("retryAfter").map(Value::to_string));
        assert_eq!(status == 503 || status == 429, retry_after.is_some());
        assert_eq!(challenge.as_deref(), (status == 401).then_some("Bearer"));
    }
    (status, body)
}

pub fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("{field} is no string in {value}")).to_owned()
}

/// Asserts an error's status and code.
#[track_caller]
pub fn refused((status, body): (u16, Value), expected: u16, code: &str) -> Value {
    assert_eq!((status, body["error"].as_str()), (expected, Some(code)), "{body}");
    body
}

/// `field code` of each detail.
pub fn details(body: &Value) -> Vec<String> {
    let details = body["details"].as_array().unwrap_or_else(|| panic!("no details in {body}"));
    details.iter().map(|detail| format!("{} {}", text(detail, "field"), text(detail, "code"))).collect()
}
