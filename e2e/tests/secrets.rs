//! What may never happen: a secret that we showed once, or were shown, can be read in a log, in Kafka or in Redis.
//!
//! Everything that an installation has written while it lived through a whole story, at the most talkative log level, is
//! searched for each secret and each secret's own part: as it is, in hexadecimal, and in base64, wherever in a longer
//! text that was encoded it stood.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use e2e::installation::OPERATOR_TOKEN;
use e2e::{Installation, Result, client, wait};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use redis::aio::MultiplexedConnection;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

/// A place where something was written, and what.
type Written = (String, Vec<u8>);

/// Every way in which a secret could be written.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![secret.as_bytes().to_vec(), hex.to_uppercase().into(), hex.into()];
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        for before in 0..3 {
            // What stands before the secret moves its bits; characters that hold bits of others are left out.
            let encoded = engine.encode([&vec![0; before][..], secret.as_bytes()].concat());
            let end = (before + secret.len()) * 8 / 6;
            forms.push(encoded[(before * 8).div_ceil(6)..end].into());
        }
    }
    forms
}

fn holds(text: &[u8], form: &[u8]) -> bool {
    text.windows(form.len()).any(|window| window == form)
}

/// The whole token and the part of it that is secret: what follows the last `_` of a key, the last `.` of a cookie,
/// whose seal is base64url and may hold a `_` anywhere.
fn parts(token: &str) -> Vec<String> {
    let separator = if token.starts_with("tm_") { '_' } else { '.' };
    let secret = token.rsplit(separator).next().unwrap_or(token);
    assert!(secret.len() >= 43, "{} characters are no secret of 256 bits", secret.len());
    vec![token.to_owned(), secret.to_owned()]
}

fn logs(installation: &Installation) -> Result<Vec<Written>> {
    let mut written = Vec::new();
    for entry in fs::read_dir(&installation.directory)? {
        let path = entry?.path();
        written.push((path.display().to_string(), fs::read(&path)?));
    }
    Ok(written)
}

/// Every record of every topic of the namespace: key, payload and headers.
fn records(namespace: &str) -> Result<Vec<Written>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", e2e::installation::part("KAFKA_BROKERS")?)
        .set("group.id", format!("{namespace}_reader"))
        .set("enable.auto.commit", "false")
        // The end of a transaction has a place in the log, and is no record.
        .set("enable.partition.eof", "true")
        .create()?;
    let timeout = Duration::from_secs(30);
    let metadata = consumer.fetch_metadata(None, timeout)?;
    let mut written = Vec::new();
    for topic in metadata.topics().iter().filter(|topic| topic.name().starts_with(&format!("{namespace}."))) {
        for partition in topic.partitions() {
            let (name, partition) = (topic.name(), partition.id());
            let (start, end) = consumer.fetch_watermarks(name, partition, timeout)?;
            let mut assignment = TopicPartitionList::new();
            assignment.add_partition_offset(name, partition, Offset::Offset(start))?;
            consumer.assign(&assignment)?;
            let mut next = start;
            while next < end {
                let polled =
                    consumer.poll(timeout).ok_or_else(|| format!("{name}/{partition} ends at {next}"))?;
                let record = match polled {
                    Err(KafkaError::PartitionEOF(_)) => break,
                    other => other?,
                };
                next = record.offset() + 1;
                let mut bytes = record.key().unwrap_or_default().to_vec();
                bytes.extend(record.payload().unwrap_or_default());
                for header in record.headers().into_iter().flat_map(Headers::iter) {
                    bytes.extend(header.key.as_bytes());
                    bytes.extend(header.value.unwrap_or_default());
                }
                written.push((format!("{name}/{partition}/{}", record.offset()), bytes));
            }
        }
    }
    Ok(written)
}

/// Every key of the namespace with its value.
async fn entries(namespace: &str) -> Result<Vec<Written>> {
    let redis = redis::Client::open(e2e::installation::part("REDIS_URL")?)?;
    let mut redis = redis.get_multiplexed_async_connection().await?;
    let names: Vec<Vec<u8>> =
        redis::cmd("KEYS").arg(format!("*{namespace}*")).query_async(&mut redis).await?;
    let mut written = Vec::new();
    for name in names {
        let mut bytes = name.clone();
        for part in value(&mut redis, &name).await? {
            bytes.push(b' ');
            bytes.extend(part);
        }
        written.push((String::from_utf8_lossy(&name).into_owned(), bytes));
    }
    Ok(written)
}

async fn value(redis: &mut MultiplexedConnection, name: &[u8]) -> Result<Vec<Vec<u8>>> {
    let kind: String = redis::cmd("TYPE").arg(name).query_async(redis).await?;
    let mut read = match kind.as_str() {
        // It ended meanwhile.
        "none" => return Ok(Vec::new()),
        "string" => {
            let value: Option<Vec<u8>> = redis::cmd("GET").arg(name).query_async(redis).await?;
            return Ok(value.into_iter().collect());
        }
        "hash" => redis::cmd("HGETALL"),
        "set" => redis::cmd("SMEMBERS"),
        "list" | "zset" => redis::cmd(if kind == "list" { "LRANGE" } else { "ZRANGE" }),
        other => return Err(format!("{other} is not read by this test").into()),
    };
    read.arg(name);
    if matches!(kind.as_str(), "list" | "zset") {
        read.arg(0).arg(-1);
    }
    Ok(read.query_async(redis).await?)
}

#[test]
fn a_secret_is_found_however_it_is_written() {
    let secret = "0aZ9-secret-of-a-test";
    for text in [
        format!("before {secret} after"),
        secret.bytes().map(|byte| format!("{byte:02x}")).collect(),
        STANDARD_NO_PAD.encode(secret),
        STANDARD_NO_PAD.encode(format!("Bearer {secret} and more")),
        URL_SAFE_NO_PAD.encode(format!("xÿ{secret}ÿ")),
    ] {
        assert!(forms(secret).iter().any(|form| holds(text.as_bytes(), form)), "{text}");
    }
    let other = STANDARD_NO_PAD.encode("1aZ9-secret-of-a-test");
    assert!(!forms(secret).iter().any(|form| holds(other.as_bytes(), form)));
}

/// Asks for something and tells the answer's status, its body and its cookie.
async fn ask(
    request: reqwest::RequestBuilder,
    authorization: &str,
    body: Option<String>,
) -> Result<(StatusCode, Value, Option<String>)> {
    let mut request = request.header("authorization", authorization);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body);
    }
    let answer = request.send().await?;
    let cookie = answer.headers().get("set-cookie").and_then(|cookie| cookie.to_str().ok());
    let cookie = cookie
        .and_then(|cookie| cookie.split(';').next()?.split_once('='))
        .map(|(_, value)| value.to_owned());
    let status = answer.status();
    Ok((status, serde_json::from_str(&answer.text().await?).unwrap_or(Value::Null), cookie))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_can_be_read_in_logs_in_kafka_or_in_redis() -> Result<()> {
    let mut installation = Installation::start_with("secrets", 1, 1, &[("LOG", "trace")]).await?;
    let client = installation.client();
    let http = reqwest::Client::new();
    let api = format!("{}/api/v1", client.query_url());
    let bearer = |token: &str| format!("Bearer {token}");
    let mut secrets = vec![OPERATOR_TOKEN.to_owned()];

    // A project, a connection, keys, a session; rotated, revoked, deleted.
    let project = client.project("pro").await?;
    secrets.extend(parts(&project.manage_key));
    secrets.extend(parts(&project.api_key));
    let body = json!({"projectId": project.project_id, "metricId": "told", "value": 1}).to_string();
    client::expect(client.send(0, &project.api_key, body.clone()).await?, StatusCode::OK).await?;
    let manage = bearer(&project.manage_key);
    let url = format!("{api}/connections");
    let (status, connections, _) = ask(http.get(&url), &manage, None).await?;
    assert_eq!(status, StatusCode::OK, "{connections}");
    let connection = client::text(&connections["items"][0], "connectionId")?;
    for grace in [600, 0] {
        let rotate = http.post(format!("{url}/{connection}/rotate"));
        let (status, rotated, _) =
            ask(rotate, &manage, Some(json!({"graceSeconds": grace}).to_string())).await?;
        assert_eq!(status, StatusCode::OK, "{rotated}");
        let token = client::text(&rotated, "apiKey")?;
        client::expect(client.send(0, &token, body.clone()).await?, StatusCode::OK).await?;
        secrets.extend(parts(&token));
    }
    let new_key = json!({"name": "Reports", "scopes": ["read", "manage"]}).to_string();
    let (status, key, _) = ask(http.post(format!("{api}/keys")), &manage, Some(new_key)).await?;
    assert_eq!(status, StatusCode::CREATED, "{key}");
    let key = client::text(&key, "key")?;
    secrets.extend(parts(&key));
    let sign_in = http.post(format!("{api}/session")).json(&json!({"key": key}));
    let (status, session, cookie) = ask(sign_in, "", None).await?;
    assert_eq!(status, StatusCode::OK, "{session}");
    let cookie = cookie.ok_or("no cookie came")?;
    secrets.extend(parts(&cookie));
    let me = http.get(format!("{api}/session")).header("cookie", format!("tidemark_session={cookie}"));
    let answer = me.send().await?;
    client::expect(answer, StatusCode::OK).await?;
    let (status, revoked, _) = ask(http.post(format!("{url}/{connection}/revoke")), &manage, None).await?;
    assert_eq!(status, StatusCode::NO_CONTENT, "{revoked}");

    // What is refused is not written down either: wrong keys, headers, bodies; keys where they do not belong.
    let wrong = format!("tm_{}_{}", &"x".repeat(16), "SecretThatNobodyEverHadButWhichWasTriedHere");
    secrets.extend(parts(&wrong));
    let webhook = client.webhook(0);
    let key = project.manage_key.as_str();
    let tries = [
        (bearer(&wrong), body.clone()),
        (bearer(&project.api_key), body.clone()),
        (bearer(key), body.clone()),
        (format!("Basic {}", STANDARD_NO_PAD.encode(format!("user:{key}"))), body.clone()),
        (format!("bearer  {key} {key}"), body.clone()),
        (key.to_owned(), body.clone()),
        (bearer(OPERATOR_TOKEN), format!("{{\"key\": \"{key}\"")),
        (manage.clone(), json!({"name": key, "plan": {"key": key}, "key": [key]}).to_string()),
        (manage.clone(), format!("not JSON: {key}")),
    ];
    for (authorization, body) in &tries {
        for url in
            [webhook.clone(), format!("{api}/projects"), format!("{api}/session"), format!("{api}/keys")]
        {
            // A key of ours may be a name, if somebody wants that; nothing is made of it here.
            let (status, answer, _) = ask(http.post(url), authorization, Some(body.clone())).await?;
            assert!(status.is_client_error(), "{status}: {answer}");
        }
    }
    for path in ["/nothing/here", "/connections/con_x", "/metrics/told", "/usage"] {
        let url = format!("{api}{path}?key={key}&access_token={key}");
        let (status, answer, _) = ask(http.request(Method::DELETE, url), &bearer(&wrong), None).await?;
        assert!(status.is_client_error(), "{status}: {answer}");
    }
    wait::until("the metric is stored", async || {
        let status = client.get("/api/v1/metrics/told", &project.manage_key).await?.status();
        Ok((status == StatusCode::OK).then_some(()))
    })
    .await?;

    // What is still in their hands is written when they stop.
    for process in installation.gateways.iter_mut().chain(&mut installation.workers) {
        process.terminate().await?;
    }
    installation.query.terminate().await?;

    let places = [
        ("logs", logs(&installation)?),
        ("Kafka", records(&installation.namespace)?),
        ("Redis", entries(&installation.namespace).await?),
    ];
    // The search reads what it should: the public part of a key is in each of these.
    let public = project.manage_key.split('_').nth(1).unwrap_or_default().as_bytes();
    for (place, written) in &places[1..] {
        assert!(written.iter().any(|(_, bytes)| holds(bytes, public)), "no key was found in {place}");
    }
    let talkative = |(_, bytes): &Written| holds(bytes, b"\"level\":\"TRACE\"");
    assert!(places[0].1.iter().filter(|log| talkative(log)).count() >= 3, "the logs are not talkative");
    for secret in &secrets {
        for form in forms(secret) {
            for (place, written) in &places {
                for (name, bytes) in written {
                    assert!(
                        !holds(bytes, &form),
                        "{place}: `{}` is in {name}",
                        String::from_utf8_lossy(&form)
                    );
                }
            }
        }
    }
    Ok(())
}
