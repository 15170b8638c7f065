//! Idempotency keys over several gateways that crash, and a Redis that loses claims.
//!
//! Invariants: requests with one idempotency key and body get the same batch in their answers and are counted
//! once; every acknowledged batch is in the log; all records of one key and body have the same content and
//! partition, so that the worker recognises the duplicates.

use crate::support::{batch, redis_connection};
use e2e::{Client, Installation, Project, Result, client, environment, kafka_log, wait};
use proto::v1::MetricBatch;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use reqwest::{Response, StatusCode};
use serde_json::Value;
use service::kafka::KafkaBrokers;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Hourly quota of the plan `free`.
const FREE_LIMIT: usize = 100;
const RACERS: usize = 32;

fn body(project: &Project, value: usize) -> String {
    batch(project, "once", value)
}

fn header(response: &Response, name: &str) -> Option<String> {
    Some(response.headers().get(name)?.to_str().ok()?.to_owned())
}

/// Waits until `values` distinct values are stored; none may be stored twice.
async fn wait_for_values(installation: &Installation, values: usize) -> Result<()> {
    let clickhouse = installation.clickhouse()?;
    wait::until("every acknowledged value is stored", async || {
        let (distinct, all): (u64, u64) =
            clickhouse.query("SELECT uniqExact(value), count() FROM points").fetch_one().await?;
        assert_eq!(all, distinct, "a duplicate was stored");
        Ok((distinct == values as u64).then_some(()))
    })
    .await
}

/// Returns the batches in the log by idempotency key. Those of one key must have the same body and partition.
fn batches_by_key(installation: &Installation) -> Result<BTreeMap<String, Vec<MetricBatch>>> {
    let mut keys: BTreeMap<String, Vec<(i32, MetricBatch)>> = BTreeMap::new();
    for (partition, batch) in kafka_log::batches(installation)? {
        keys.entry(batch.idempotency_key.clone()).or_default().push((partition, batch));
    }
    keys.remove("");
    for (key, records) in &keys {
        let identity = |(partition, batch): &(i32, MetricBatch)| (*partition, batch.body_hash.clone());
        assert!(records.iter().all(|record| identity(record) == identity(&records[0])), "{key}: {records:?}");
    }
    let batches = |records: Vec<(i32, MetricBatch)>| records.into_iter().map(|(_, batch)| batch).collect();
    Ok(keys.into_iter().map(|(key, records)| (key, batches(records))).collect())
}

/// Sends concurrent requests with one key for a new project, uses up its quota and repeats the request. Returns
/// `None` if the clock hour changed meanwhile, so that the quota proves nothing.
async fn race(client: &Client) -> Result<Option<()>> {
    let project = client.project("free").await?;
    let mut racers = tokio::task::JoinSet::new();
    for racer in 0..RACERS {
        let (client, project) = (client.clone(), project.clone());
        racers.spawn(async move {
            let response =
                client.send_idempotent(racer, &project.api_key, "raced", body(&project, 0)).await?;
            let hour = header(&response, "x-ratelimit-reset");
            let replayed = header(&response, "idempotent-replayed").is_some();
            let answer = client::expect(response, StatusCode::OK).await?;
            Ok::<_, e2e::Error>((hour, replayed, answer))
        });
    }
    let answers: Result<Vec<(Option<String>, bool, Value)>> = racers.join_all().await.into_iter().collect();
    let answers = answers?;
    let mut hours: BTreeSet<String> = answers.iter().filter_map(|(hour, ..)| hour.clone()).collect();
    assert!(answers.iter().all(|(.., answer)| *answer == answers[0].2), "{answers:?}");
    assert_eq!(answers.iter().filter(|(_, replayed, _)| !replayed).count(), 1, "{answers:?}");

    // Replays are refunded shortly after their answers: then all but one of the hour's requests remain.
    let mut passed = 0;
    wait::until("the rest of the hour's quota is used up", async || {
        let response = client.send(passed, &project.api_key, body(&project, 1)).await?;
        hours.extend(header(&response, "x-ratelimit-reset"));
        passed += usize::from(response.status() == StatusCode::OK);
        Ok((passed == FREE_LIMIT - 1 || hours.len() > 1).then_some(()))
    })
    .await?;
    let over = client.send(0, &project.api_key, body(&project, 1)).await?;
    hours.extend(header(&over, "x-ratelimit-reset"));
    if hours.len() > 1 {
        return Ok(None);
    }
    assert_eq!(over.status(), StatusCode::TOO_MANY_REQUESTS, "the race must count as one request");

    for gateway in 0..3 {
        let replay = client.send_idempotent(gateway, &project.api_key, "raced", body(&project, 0)).await?;
        assert_eq!(header(&replay, "idempotent-replayed").as_deref(), Some("true"));
        assert_eq!(client::expect(replay, StatusCode::OK).await?, answers[0].2);
        let other = client.send_idempotent(gateway, &project.api_key, "raced", body(&project, 2)).await?;
        let other = client::expect(other, StatusCode::CONFLICT).await?;
        assert_eq!(other["error"], "idempotency_key_reused");
    }
    Ok(Some(()))
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_with_one_key_count_as_one_batch() -> Result<()> {
    let installation = Installation::start("raced", 3, 1).await?;
    let client = installation.client();
    while race(&client).await?.is_none() {}
    let batches = kafka_log::batches(&installation)?;
    let keyed: Vec<&MetricBatch> =
        batches.iter().map(|(_, batch)| batch).filter(|batch| !batch.idempotency_key.is_empty()).collect();
    let projects: BTreeSet<&str> = keyed.iter().map(|batch| batch.project_id.as_str()).collect();
    assert_eq!(keyed.len(), projects.len(), "each race must write one record");
    Ok(())
}

/// Repeats a request, two times out of three at gateway 0, until it is answered 200.
async fn send_until_accepted(client: &Client, project: &Project, value: usize) -> Result<Value> {
    let started = Instant::now();
    let mut attempt = value;
    while started.elapsed() < Duration::from_secs(120) {
        attempt += 1;
        let gateway = usize::from(attempt.is_multiple_of(3));
        let key = value.to_string();
        match client.send_idempotent(gateway, &project.api_key, &key, body(project, value)).await {
            Ok(response) if response.status() == StatusCode::SERVICE_UNAVAILABLE => {}
            Ok(response) => return client::expect(response, StatusCode::OK).await,
            // The gateway was killed or has not come up again.
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err(format!("request {value} was not answered 200 within 120 s").into())
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_after_gateway_crashes_get_one_answer() -> Result<()> {
    const CLIENTS: usize = 16;
    const KEYS: usize = 12;
    const KILLS: usize = 3;
    let mut installation = Installation::start("killed", 2, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let answered = Arc::new(AtomicUsize::new(0));
    let mut clients = tokio::task::JoinSet::new();
    for index in 0..CLIENTS {
        let (client, project, answered) = (client.clone(), project.clone(), answered.clone());
        clients.spawn(async move {
            let mut answers = Vec::new();
            for value in (0..KEYS).map(|key| index * KEYS + key) {
                let answer = send_until_accepted(&client, &project, value).await?;
                answered.fetch_add(1, Ordering::Relaxed);
                answers.push((
                    value.to_string(),
                    client::text(&answer, "batchId")?,
                    answer["receivedAt"].as_i64(),
                ));
            }
            Ok::<_, e2e::Error>(answers)
        });
    }
    for kill in 1..=KILLS {
        let threshold = CLIENTS * KEYS * kill / (KILLS + 1);
        wait::until(&format!("{threshold} requests are answered"), async || {
            Ok((answered.load(Ordering::Relaxed) >= threshold).then_some(()))
        })
        .await?;
        let gateway = &mut installation.gateways[0];
        gateway.kill()?;
        gateway.restart()?;
    }
    let answers: Result<Vec<Vec<_>>> = clients.join_all().await.into_iter().collect();
    let keys = batches_by_key(&installation)?;
    assert_eq!(keys.len(), CLIENTS * KEYS);
    for (key, batch_id, received_at) in answers?.concat() {
        for batch in &keys[&key] {
            let found = proto::batch_id(&batch.batch_id).map(|id| id.to_string());
            assert_eq!((found, Some(batch.received_at_ms)), (Some(batch_id.clone()), received_at), "{key}");
            assert_eq!(batch.samples, keys[&key][0].samples, "{key}");
        }
    }
    wait_for_values(&installation, CLIENTS * KEYS).await?;
    let records: usize = keys.values().map(Vec::len).sum();
    println!("{} keys, {records} records, {KILLS} kills", keys.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn repeat_after_lost_claim_is_a_recognisable_duplicate() -> Result<()> {
    let installation = Installation::start("forgotten", 2, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let mut redis = redis_connection().await?;
    for gateway in 0..2 {
        let response = client.send_idempotent(gateway, &project.api_key, "kept", body(&project, 1)).await?;
        client::expect(response, StatusCode::OK).await?;
        let claims: Vec<String> = redis::cmd("KEYS")
            .arg(format!("tidemark-{}:claim:*", installation.namespace))
            .query_async(&mut redis)
            .await?;
        assert_eq!(claims.len(), 1);
        redis::cmd("DEL").arg(&claims).query_async::<()>(&mut redis).await?;
    }
    assert_eq!(batches_by_key(&installation)?["kept"].len(), 2);
    wait_for_values(&installation, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn added_partitions_do_not_move_keys() -> Result<()> {
    // Enough keys that every partition gets one with near certainty.
    const KEYS: usize = 96;
    let mut installation = Installation::start("spread", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let partitions_by_key = async |installation: &Installation, value: usize| {
        for key in 0..KEYS {
            let key = format!("{key}/{value}");
            let response = client.send_idempotent(0, &project.api_key, &key, body(&project, value)).await?;
            client::expect(response, StatusCode::OK).await?;
        }
        let batches = kafka_log::batches(installation)?.into_iter();
        let by_key: BTreeMap<String, i32> =
            batches.map(|(partition, batch)| (batch.idempotency_key, partition)).collect();
        Ok::<_, e2e::Error>(by_key)
    };
    let before: BTreeSet<i32> = partitions_by_key(&installation, 0).await?.into_values().collect();
    assert_eq!(before, (0..4).collect(), "keys must be spread over all partitions");

    let admin: AdminClient<DefaultClientContext> =
        service::kafka::client(&KafkaBrokers::plaintext(&environment::required("KAFKA_BROKERS")?), "e2e")
            .create()?;
    let topic = installation.topics().metrics;
    admin.create_partitions(&[NewPartitions::new(&topic, 16)], &AdminOptions::new()).await?;
    wait::until("the new partitions exist", async || {
        let metadata = admin.inner().fetch_metadata(Some(&topic), Duration::from_secs(10))?;
        Ok((metadata.topics()[0].partitions().len() == 16).then_some(()))
    })
    .await?;
    let gateway = &mut installation.gateways[0];
    gateway.terminate().await?;
    gateway.restart()?;
    gateway.ready().await?;
    let after: BTreeSet<i32> = partitions_by_key(&installation, 1).await?.into_values().collect();
    assert_eq!(after, before);
    Ok(())
}
