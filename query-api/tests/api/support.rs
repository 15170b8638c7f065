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
use service::connections::{Connections, RedisEndpoint, TrustedRoots};
use service::kafka::KafkaBrokers;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

pub const OPERATOR: &str = "the-operators-token-of-the-tests";
/// Timeout of [`until`].
const TIMEOUT: Duration = Duration::from_secs(120);

/// Runs the services. It outlives the runtimes of the single tests.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

static SHARED: LazyLock<Stack> = LazyLock::new(|| {
    let start = std::thread::spawn(|| RUNTIME.block_on(Stack::start()));
    start.join().expect("the service starts")
});

/// A service with its own namespace in the stores.
pub struct Stack {
    pub url: String,
    pub ops_url: String,
    pub namespace: String,
    pub brokers: KafkaBrokers,
    /// Used only in [`RUNTIME`]: its connections are pooled, and close together with the runtime that opened
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

/// Returns the service that most tests share.
pub fn shared() -> &'static Stack {
    for name in ["KAFKA_BROKERS", "REDIS_URL", "CLICKHOUSE_URL"] {
        store_address(name);
    }
    &SHARED
}

/// Starts a service for one test.
pub async fn start_stack() -> Stack {
    RUNTIME.spawn(Stack::start()).await.expect("the service starts")
}

/// Starts a service with these settings. Returns its URLs for clients and for operators.
pub async fn serve(settings: &[String]) -> (String, String) {
    serve_until(settings, CancellationToken::new()).await
}

/// Starts a service that runs until `stop` is cancelled. Returns its URLs for clients and for operators.
pub async fn serve_until(settings: &[String], stop: CancellationToken) -> (String, String) {
    let settings = settings.to_vec();
    let start = async move {
        let arguments =
            ["query-api", "--operator-token", OPERATOR].map(str::to_owned).into_iter().chain(settings);
        let mut settings = Arguments::parse_from(arguments).check().unwrap_or_else(|error| panic!("{error}"));
        settings.streams.heartbeat_interval = Duration::from_millis(300);
        let clients = service::http::reserve(([127, 0, 0, 1], 0).into(), "a port").expect("a port");
        let operators = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = clients.local_addr().expect("an address");
        let urls =
            (format!("http://{address}"), format!("http://{}", operators.local_addr().expect("an address")));
        let listeners = Listeners { clients, operators };
        tokio::spawn(async move {
            run(settings, listeners, stop).await.expect("the service runs until it is stopped");
        });
        until("the service accepts clients", || async { TcpStream::connect(address).await.is_ok() }).await;
        urls
    };
    RUNTIME.spawn(start).await.expect("the service starts")
}

/// Returns the settings of a service with this namespace.
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

/// Waits until `condition` holds.
pub async fn until<F: Future<Output = bool>>(expected: &str, mut condition: impl FnMut() -> F) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < TIMEOUT, "timed out waiting for: {expected}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Executes the statements of `migration`, with `database` in place of `{database}`.
pub async fn create_schema(clickhouse: &Client, migration: &str, database: &str) {
    let lines: Vec<&str> = migration.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let sql = lines.join("\n").replace("{database}", database);
    for statement in sql.split(';').filter(|statement| !statement.trim().is_empty()) {
        clickhouse.query_raw(statement).execute().await.expect("the schema is created");
    }
}

/// Waits until the service has created the topics, publishes a generation of the store, and starts a projector.
/// The generation is in the log before the projector starts, so a usable projection contains it.
async fn start_projector(connections: &Connections, namespace: &str, writer: &ControlWriter) {
    let topics = Topics::new(namespace);
    until("the topics", || async {
        control::control_log::end_offset(&connections.kafka, &topics).await.is_ok()
    })
    .await;
    let generation = Generation { number: 1, database: namespace.to_owned(), ..Generation::default() };
    let generations = Generations { generations: vec![generation], read: 1, last_number: 1 };
    writer.publish(&Entity { kind: Some(Kind::Generations(generations)) }).await.expect("published");
    let projector = Projector::new(connections, namespace, writer.clone()).expect("a valid address");
    tokio::spawn(projector.run(CancellationToken::new(), |_| {}));
}

impl Stack {
    async fn start() -> Self {
        let connections = Connections {
            kafka: KafkaBrokers::plaintext(&store_address("KAFKA_BROKERS")),
            redis: RedisEndpoint::new(&store_address("REDIS_URL")),
            roots: TrustedRoots::default(),
        };
        let (brokers, clickhouse_url) = (connections.kafka.clone(), store_address("CLICKHOUSE_URL"));
        let namespace = format!("q{:016x}", rand::random::<u64>());
        let clickhouse = Client::default().with_url(&clickhouse_url);
        let writer = ControlWriter::new(&brokers, &Topics::new(&namespace), Duration::from_secs(10))
            .expect("valid properties of a producer");
        let mut redis = redis_access::connect(&connections.redis).expect("a valid address");
        // Opens the connection here, in the runtime that outlives the tests.
        redis::cmd("PING").query_async::<()>(&mut redis).await.expect("Redis runs");
        let projection = Projection::new(&namespace);

        // Concurrently, because the service starts to listen when its stores are ready, or after five seconds.
        let service_settings = settings(&namespace);
        let ((url, ops_url), (), ()) = tokio::join!(
            serve(&service_settings),
            create_schema(
                &clickhouse,
                include_str!("../../../ingest-worker/migrations/0001_samples.sql"),
                &namespace,
            ),
            start_projector(&connections, &namespace, &writer),
        );
        let ready = format!("{ops_url}/readyz");
        until("readiness", || async {
            reqwest::get(&ready).await.is_ok_and(|response| response.status() == 200)
        })
        .await;
        let position = projection.position(&mut redis).await.expect("Redis runs");
        let log = position.expect("a ready service has a projection").log;
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

    /// Returns a client with this key.
    pub fn client(&self, key: &str) -> Caller {
        Caller { url: self.url.clone(), key: Some(key.to_owned()) }
    }

    /// Creates a project. Returns its id and a client with the scope `manage`.
    pub async fn project(&self) -> (String, Caller) {
        let body = json!({"name": "Test", "plan": "pro"});
        let (status, project) = self.client(OPERATOR).post("/api/v1/projects", &body).await;
        assert_eq!(status, 201, "{project}");
        (text(&project, "projectId"), self.client(&text(&project, "manageKey")))
    }

    /// Publishes an entity and applies it, as a command does.
    pub async fn publish(&self, kind: Kind) {
        let event = self.writer.publish(&Entity { kind: Some(kind) }).await.expect("published");
        self.projection.apply(&mut self.redis.clone(), &self.log, &event).await.expect("applied");
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

    /// Stores a marker: `partition` is stored up to the offset `last`.
    pub async fn mark(&self, partition: i32, last: i64) {
        let sql = format!(
            "INSERT INTO samples (kind, partition, first_offset, last_offset) VALUES ('marker', {partition}, 0, {last})"
        );
        self.insert(&sql).await;
    }

    /// Returns a ClickHouse client with its own connections.
    pub fn clickhouse(&self) -> Client {
        Client::default().with_url(&self.clickhouse_url).with_database(&self.namespace)
    }

    /// Inserts rows in [`RUNTIME`].
    async fn insert(&self, sql: &str) {
        let query = self.clickhouse.query_raw(sql);
        RUNTIME.spawn(query.execute()).await.expect("the task ends").expect("stored");
    }
}

/// A sample to store.
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

/// A client with or without a key.
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

    /// Returns whether the service accepts the key.
    pub async fn is_valid(&self) -> bool {
        let (status, answer) = self.get("/api/v1/plans").await;
        assert!(status == 200 || answer["error"] == "revoked_key", "{answer}");
        status == 200
    }

    /// Waits until the key is refused as revoked.
    pub async fn await_revocation(&self) {
        until("the key is refused", || async { !self.is_valid().await }).await;
    }

    /// Sends a GET request that must succeed, and returns the answer. On a busy machine queries may have to wait, so a
    /// request is repeated when the service says so.
    pub async fn ok(&self, path: &str) -> Value {
        loop {
            let (status, answer) = self.get(path).await;
            if status != 429 {
                assert_eq!(status, 200, "{path}: {answer}");
                return answer;
            }
            tokio::time::sleep(Duration::from_secs(answer["retryAfter"].as_u64().unwrap_or(1))).await;
        }
    }
}

pub async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

/// Returns the status and body of an answer, and checks the properties of all answers.
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
    value[field].as_str().unwrap_or_else(|| panic!("{field} is not a string in {value}")).to_owned()
}

/// Asserts an error's status and code.
#[track_caller]
pub fn refused((status, body): (u16, Value), expected: u16, code: &str) -> Value {
    assert_eq!((status, body["error"].as_str()), (expected, Some(code)), "{body}");
    body
}

/// Returns `field code` of each detail.
pub fn details(body: &Value) -> Vec<String> {
    let details = body["details"].as_array().unwrap_or_else(|| panic!("no details in {body}"));
    details.iter().map(|detail| format!("{} {}", text(detail, "field"), text(detail, "code"))).collect()
}
