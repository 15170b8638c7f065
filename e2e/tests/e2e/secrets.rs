//! Invariant: no secret that we issued or received can be read in a log, in Kafka or in Redis.
//!
//! An installation runs through the life of its secrets at the log level `trace`. Everything that it wrote is
//! then searched for each secret: in plain text, in hexadecimal, and in base64, also as part of a longer
//! encoded text.

use crate::support::{batch, redis_connection, wait_for_metric};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use e2e::client::OPERATOR_TOKEN;
use e2e::{Client, Installation, Project, Result, client, environment};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use redis::aio::MultiplexedConnection;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

/// Name and contents of a log file, record or Redis entry. Bytes that are not UTF-8 are replaced: secrets are ASCII.
type Written = (String, String);

/// Returns every encoding in which a secret is searched for.
fn encodings(secret: &str) -> Vec<String> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut encodings = vec![secret.to_owned(), hex.to_uppercase(), hex];
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        for offset in 0..3 {
            // Bytes before the secret shift its bits. Characters that also encode bits of other bytes are left
            // out.
            let encoded = engine.encode([&vec![0; offset][..], secret.as_bytes()].concat());
            let end = (offset + secret.len()) * 8 / 6;
            encodings.push(encoded[(offset * 8).div_ceil(6)..end].to_owned());
        }
    }
    encodings
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns a token and its secret part: the part after the last `_` of a key, or after the last `.` of a
/// cookie, whose base64url signature may contain `_`.
fn token_and_secret(token: &str) -> Vec<String> {
    let separator = if token.starts_with("tm_") { '_' } else { '.' };
    let secret = token.rsplit(separator).next().unwrap_or(token);
    assert!(secret.len() >= 43, "{} characters cannot be a secret of 256 bits", secret.len());
    vec![token.to_owned(), secret.to_owned()]
}

fn logs(installation: &Installation) -> Result<Vec<Written>> {
    let mut written = Vec::new();
    for entry in fs::read_dir(&installation.directory)? {
        let path = entry?.path();
        written.push((path.display().to_string(), text(&fs::read(&path)?)));
    }
    Ok(written)
}

/// Returns key, payload and headers of every record in the topics of the namespace.
fn records(namespace: &str) -> Result<Vec<Written>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", environment::required("KAFKA_BROKERS")?)
        .set("group.id", format!("{namespace}_reader"))
        .set("enable.auto.commit", "false")
        // Tells when a partition is read completely.
        .set("enable.partition.eof", "true")
        .create()?;
    let timeout = Duration::from_secs(30);
    let metadata = consumer.fetch_metadata(None, timeout)?;
    let mut written = Vec::new();
    for topic in metadata.topics().iter().filter(|topic| topic.name().starts_with(&format!("{namespace}."))) {
        let name = topic.name();
        let mut unread: BTreeSet<i32> = topic.partitions().iter().map(|partition| partition.id()).collect();
        let mut assignment = TopicPartitionList::new();
        for &partition in &unread {
            assignment.add_partition_offset(name, partition, Offset::Beginning)?;
        }
        consumer.assign(&assignment)?;
        while !unread.is_empty() {
            let polled = consumer.poll(timeout);
            let record = match polled.ok_or_else(|| format!("Kafka returned no record of {name} in time"))? {
                Err(KafkaError::PartitionEOF(partition)) => {
                    unread.remove(&partition);
                    continue;
                }
                other => other?,
            };
            let mut bytes = record.key().unwrap_or_default().to_vec();
            bytes.extend(record.payload().unwrap_or_default());
            for header in record.headers().into_iter().flat_map(Headers::iter) {
                bytes.extend(header.key.as_bytes());
                bytes.extend(header.value.unwrap_or_default());
            }
            written.push((format!("{name}/{}/{}", record.partition(), record.offset()), text(&bytes)));
        }
    }
    Ok(written)
}

/// Returns every Redis key of the namespace with its value.
async fn entries(namespace: &str) -> Result<Vec<Written>> {
    let mut redis = redis_connection().await?;
    let names: Vec<Vec<u8>> =
        redis::cmd("KEYS").arg(format!("*{namespace}*")).query_async(&mut redis).await?;
    let mut written = Vec::new();
    for name in names {
        let mut bytes = name.clone();
        for part in value(&mut redis, &name).await? {
            bytes.push(b' ');
            bytes.extend(part);
        }
        written.push((text(&name), text(&bytes)));
    }
    Ok(written)
}

async fn value(redis: &mut MultiplexedConnection, name: &[u8]) -> Result<Vec<Vec<u8>>> {
    let kind: String = redis::cmd("TYPE").arg(name).query_async(redis).await?;
    let mut read = match kind.as_str() {
        // It has expired.
        "none" => return Ok(Vec::new()),
        "string" => {
            let value: Option<Vec<u8>> = redis::cmd("GET").arg(name).query_async(redis).await?;
            return Ok(value.into_iter().collect());
        }
        "hash" => redis::cmd("HGETALL"),
        "set" => redis::cmd("SMEMBERS"),
        "list" | "zset" => redis::cmd(if kind == "list" { "LRANGE" } else { "ZRANGE" }),
        other => return Err(format!("this test cannot read the Redis type {other}").into()),
    };
    read.arg(name);
    if matches!(kind.as_str(), "list" | "zset") {
        read.arg(0).arg(-1);
    }
    Ok(read.query_async(redis).await?)
}

#[test]
fn search_finds_every_encoding_of_a_secret() {
    let secret = "0aZ9-secret-of-a-test";
    for text in [
        format!("before {secret} after"),
        secret.bytes().map(|byte| format!("{byte:02x}")).collect(),
        STANDARD_NO_PAD.encode(secret),
        STANDARD_NO_PAD.encode(format!("Bearer {secret} and more")),
        URL_SAFE_NO_PAD.encode(format!("xÿ{secret}ÿ")),
    ] {
        assert!(encodings(secret).iter().any(|encoding| text.contains(encoding)), "{text}");
    }
    let other = STANDARD_NO_PAD.encode("1aZ9-secret-of-a-test");
    assert!(!encodings(secret).iter().any(|encoding| other.contains(encoding)));
}

/// Status, JSON body and cookie value of a response.
type Answer = (StatusCode, Value, Option<String>);

/// Sends a request with an `Authorization` header.
async fn send(request: reqwest::RequestBuilder, authorization: &str, body: Option<String>) -> Result<Answer> {
    let mut request = request.header("authorization", authorization);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body);
    }
    let response = request.send().await?;
    let cookie = response.headers().get("set-cookie").and_then(|cookie| cookie.to_str().ok());
    let cookie = cookie
        .and_then(|cookie| cookie.split(';').next()?.split_once('='))
        .map(|(_, value)| value.to_owned());
    let status = response.status();
    Ok((status, serde_json::from_str(&response.text().await?).unwrap_or(Value::Null), cookie))
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// An installation whose secrets are created, used and ended.
struct Scenario {
    client: Client,
    http: reqwest::Client,
    /// Base URL of the management API.
    api: String,
    project: Project,
    /// Body that the webhook accepts with a key of the project.
    batch: String,
    /// All secrets that were issued or sent.
    secrets: Vec<String>,
}

impl Scenario {
    async fn start(installation: &Installation) -> Result<Self> {
        let client = installation.client();
        let project = client.project("pro").await?;
        let mut secrets = vec![OPERATOR_TOKEN.to_owned()];
        secrets.extend(token_and_secret(&project.manage_key));
        secrets.extend(token_and_secret(&project.api_key));
        let batch = batch(&project, "used", 1);
        client::expect(client.send(0, &project.api_key, batch.clone()).await?, StatusCode::OK).await?;
        let api = format!("{}/api/v1", client.query_url());
        Ok(Self { client, http: reqwest::Client::new(), api, project, batch, secrets })
    }

    /// Rotates and revokes the connection; creates a key, and signs in with it.
    async fn use_secrets(&mut self) -> Result<()> {
        let manage = bearer(&self.project.manage_key);
        let url = format!("{}/connections", self.api);
        let (status, connections, _) = send(self.http.get(&url), &manage, None).await?;
        assert_eq!(status, StatusCode::OK, "{connections}");
        let connection = client::text(&connections["items"][0], "connectionId")?;
        for grace in [600, 0] {
            let rotate = self.http.post(format!("{url}/{connection}/rotate"));
            let (status, rotated, _) =
                send(rotate, &manage, Some(json!({"graceSeconds": grace}).to_string())).await?;
            assert_eq!(status, StatusCode::OK, "{rotated}");
            let token = client::text(&rotated, "apiKey")?;
            let response = self.client.send(0, &token, self.batch.clone()).await?;
            client::expect(response, StatusCode::OK).await?;
            self.secrets.extend(token_and_secret(&token));
        }
        let new_key = json!({"name": "Reports", "scopes": ["read", "manage"]}).to_string();
        let create = self.http.post(format!("{}/keys", self.api));
        let (status, key, _) = send(create, &manage, Some(new_key)).await?;
        assert_eq!(status, StatusCode::CREATED, "{key}");
        let key = client::text(&key, "key")?;
        self.secrets.extend(token_and_secret(&key));
        let session = format!("{}/session", self.api);
        let sign_in = self.http.post(&session).json(&json!({"key": key}));
        let (status, signed_in, cookie) = send(sign_in, "", None).await?;
        assert_eq!(status, StatusCode::OK, "{signed_in}");
        let cookie = cookie.ok_or("the response has no cookie")?;
        self.secrets.extend(token_and_secret(&cookie));
        let request = self.http.get(&session).header("cookie", format!("tidemark_session={cookie}"));
        client::expect(request.send().await?, StatusCode::OK).await?;
        let revoke = self.http.post(format!("{url}/{connection}/revoke"));
        let (status, revoked, _) = send(revoke, &manage, None).await?;
        assert_eq!(status, StatusCode::NO_CONTENT, "{revoked}");
        Ok(())
    }

    /// Sends secrets in requests that are refused: wrong keys, and keys where they do not belong.
    async fn send_refused_requests(&mut self) -> Result<()> {
        let wrong = format!("tm_{}_{}", &"x".repeat(16), "SecretThatNobodyEverHadButWhichWasTriedHere");
        self.secrets.extend(token_and_secret(&wrong));
        let (key, batch, api) = (self.project.manage_key.as_str(), &self.batch, &self.api);
        let cases = [
            (bearer(&wrong), batch.clone()),
            (bearer(&self.project.api_key), batch.clone()),
            (bearer(key), batch.clone()),
            (format!("Basic {}", STANDARD_NO_PAD.encode(format!("user:{key}"))), batch.clone()),
            (format!("bearer  {key} {key}"), batch.clone()),
            (key.to_owned(), batch.clone()),
            (bearer(OPERATOR_TOKEN), format!("{{\"key\": \"{key}\"")),
            // Invalid for every call: a key would otherwise be stored as a name, which users may do.
            (bearer(key), json!({"name": key, "plan": {"key": key}, "key": [key]}).to_string()),
            (bearer(key), format!("not JSON: {key}")),
        ];
        for (authorization, body) in &cases {
            for url in [
                self.client.webhook(0),
                format!("{api}/projects"),
                format!("{api}/session"),
                format!("{api}/keys"),
            ] {
                let (status, answer, _) =
                    send(self.http.post(url), authorization, Some(body.clone())).await?;
                assert!(status.is_client_error(), "{status}: {answer}");
            }
        }
        for path in ["/nothing/here", "/connections/con_x", "/metrics/used", "/usage"] {
            let url = format!("{api}{path}?key={key}&access_token={key}");
            let (status, answer, _) = send(self.http.delete(url), &bearer(&wrong), None).await?;
            assert!(status.is_client_error(), "{status}: {answer}");
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_readable_in_logs_kafka_or_redis() -> Result<()> {
    let mut installation = Installation::start_with("secrets", 1, 1, &[("LOG", "trace")]).await?;
    let mut scenario = Scenario::start(&installation).await?;
    scenario.use_secrets().await?;
    scenario.send_refused_requests().await?;
    wait_for_metric(&scenario.client, &scenario.project, "used").await?;

    // The services write what they have buffered when they shut down.
    for process in installation.gateways.iter_mut().chain(&mut installation.workers) {
        process.terminate().await?;
    }
    installation.query.terminate().await?;

    let searched = [
        ("logs", logs(&installation)?),
        ("Kafka", records(&installation.namespace)?),
        ("Redis", entries(&installation.namespace).await?),
    ];
    // Proves that the search covers the right data: the public part of a key is in Kafka and Redis.
    let public = scenario.project.manage_key.split('_').nth(1).unwrap_or_default();
    for (store, written) in &searched[1..] {
        assert!(written.iter().any(|(_, text)| text.contains(public)), "no key was found in {store}");
    }
    let has_trace_level = |(_, text): &&Written| text.contains(r#""level":"TRACE""#);
    assert!(searched[0].1.iter().filter(has_trace_level).count() >= 3, "the log level is not `trace`");
    for encoding in scenario.secrets.iter().flat_map(|secret| encodings(secret)) {
        for (store, written) in &searched {
            for (name, text) in written {
                assert!(!text.contains(&encoding), "{store}: `{encoding}` is in {name}");
            }
        }
    }
    Ok(())
}
