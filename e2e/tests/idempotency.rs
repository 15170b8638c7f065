//! What may never happen: requests with one idempotency key and body are told different batches, or are counted twice; a
//! batch that was acknowledged is not in the log; two records of one key and body are no copies of each other, so that
//! the worker could not tell.

use e2e::{Client, Installation, Project, Result, client, log, wait};
use proto::v1::MetricBatch;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const LIMIT: usize = 100;
const RACERS: usize = 32;

fn body(project: &Project, value: usize) -> String {
    json!({"projectId": project.project_id, "metricId": "once", "value": value}).to_string()
}

fn header(response: &Response, name: &str) -> Option<String> {
    Some(response.headers().get(name)?.to_str().ok()?.to_owned())
}

/// Waits until the worker has stored so many values, each once.
async fn stored(installation: &Installation, values: usize) -> Result<()> {
    let clickhouse = installation.clickhouse()?;
    wait::until("every acknowledged value is stored", async || {
        let (stored, all): (u64, u64) =
            clickhouse.query("SELECT uniqExact(value), count() FROM points").fetch_one().await?;
        assert_eq!(all, stored, "a copy was stored");
        Ok((stored == values as u64).then_some(()))
    })
    .await
}

/// The batches of each idempotency key. Those of one key must be copies of each other, in one partition.
fn copies(installation: &Installation) -> Result<BTreeMap<String, Vec<MetricBatch>>> {
    let mut keys: BTreeMap<String, Vec<(i32, MetricBatch)>> = BTreeMap::new();
    for (partition, batch) in log::batches(installation)? {
        keys.entry(batch.idempotency_key.clone()).or_default().push((partition, batch));
    }
    keys.remove("");
    for (key, records) in &keys {
        let place = |(partition, batch): &(i32, MetricBatch)| (*partition, batch.body_hash.clone());
        assert!(records.iter().all(|record| place(record) == place(&records[0])), "{key}: {records:?}");
    }
    let bare = |records: Vec<(i32, MetricBatch)>| records.into_iter().map(|(_, batch)| batch).collect();
    Ok(keys.into_iter().map(|(key, records)| (key, bare(records))).collect())
}

/// Races on a fresh project, uses its hour up, and repeats. None if the hour turned in the middle.
async fn race(client: &Client) -> Result<Option<()>> {
    let project = client.project("free").await?;
    let mut racers = tokio::task::JoinSet::new();
    for racer in 0..RACERS {
        let (client, project) = (client.clone(), project.clone());
        racers.spawn(async move {
            let response = client.send_once(racer, &project.api_key, "raced", body(&project, 0)).await?;
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

    // What the repeats had been counted comes back a moment later: then all but one of the hour's requests are left.
    let mut passed = 0;
    wait::until("the rest of the hour is used up", async || {
        let response = client.send(passed, &project.api_key, body(&project, 1)).await?;
        hours.extend(header(&response, "x-ratelimit-reset"));
        passed += usize::from(response.status() == StatusCode::OK);
        Ok((passed == LIMIT - 1 || hours.len() > 1).then_some(()))
    })
    .await?;
    let over = client.send(0, &project.api_key, body(&project, 1)).await?;
    hours.extend(header(&over, "x-ratelimit-reset"));
    if hours.len() > 1 {
        return Ok(None);
    }
    assert_eq!(over.status(), StatusCode::TOO_MANY_REQUESTS, "the race was counted once");

    for gateway in 0..3 {
        let again = client.send_once(gateway, &project.api_key, "raced", body(&project, 0)).await?;
        assert_eq!(header(&again, "idempotent-replayed").as_deref(), Some("true"));
        assert_eq!(client::expect(again, StatusCode::OK).await?, answers[0].2);
        let other = client.send_once(gateway, &project.api_key, "raced", body(&project, 2)).await?;
        let other = client::expect(other, StatusCode::CONFLICT).await?;
        assert_eq!(other["error"], "idempotency_key_reused");
    }
    Ok(Some(()))
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_race_over_gateways_are_one_batch_that_is_counted_once() -> Result<()> {
    let installation = Installation::start("raced", 3, 1).await?;
    let client = installation.client();
    while race(&client).await?.is_none() {}
    let batches = log::batches(&installation)?;
    let keyed: Vec<&MetricBatch> =
        batches.iter().map(|(_, batch)| batch).filter(|batch| !batch.idempotency_key.is_empty()).collect();
    let projects: BTreeSet<&str> = keyed.iter().map(|batch| batch.project_id.as_str()).collect();
    assert_eq!(keyed.len(), projects.len(), "one record for each project that raced");
    Ok(())
}

/// Repeats a request, mostly at the first gateway, until it is answered 200.
async fn answered_at_last(client: &Client, project: &Project, value: usize) -> Result<Value> {
    let begun = Instant::now();
    let mut attempt = value;
    while begun.elapsed() < Duration::from_secs(120) {
        attempt += 1;
        let gateway = usize::from(attempt.is_multiple_of(3));
        let sent =
            client.send_once(gateway, &project.api_key, &value.to_string(), body(project, value)).await;
        match sent {
            Ok(response) if response.status() == StatusCode::SERVICE_UNAVAILABLE => {}
            Ok(response) => return client::expect(response, StatusCode::OK).await,
            // It was killed, or is not up again yet.
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err(format!("{value} was never answered").into())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_gateway_dies_of_a_repeat_ends_in_one_answer() -> Result<()> {
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
                let answer = answered_at_last(&client, &project, value).await?;
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
        let reached = CLIENTS * KEYS * kill / (KILLS + 1);
        wait::until("so many are answered", async || {
            Ok((answered.load(Ordering::Relaxed) >= reached).then_some(()))
        })
        .await?;
        let gateway = &mut installation.gateways[0];
        gateway.kill()?;
        gateway.restart()?;
    }
    let answers: Result<Vec<Vec<_>>> = clients.join_all().await.into_iter().collect();
    let keys = copies(&installation)?;
    assert_eq!(keys.len(), CLIENTS * KEYS);
    for (key, batch_id, received_at) in answers?.concat() {
        for batch in &keys[&key] {
            let found = proto::batch_id(&batch.batch_id).map(|id| id.to_string());
            assert_eq!((found, Some(batch.received_at_ms)), (Some(batch_id.clone()), received_at), "{key}");
            assert_eq!(batch.samples, keys[&key][0].samples, "{key}");
        }
    }
    stored(&installation, CLIENTS * KEYS).await?;
    let records: usize = keys.values().map(Vec::len).sum();
    println!("{} keys, {records} records, {KILLS} kills", keys.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_after_redis_lost_the_claim_is_a_copy_that_the_worker_can_tell() -> Result<()> {
    let installation = Installation::start("forgotten", 2, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let mut redis = redis::Client::open(e2e::installation::part("REDIS_URL")?)?
        .get_multiplexed_async_connection()
        .await?;
    for gateway in 0..2 {
        let response = client.send_once(gateway, &project.api_key, "kept", body(&project, 1)).await?;
        client::expect(response, StatusCode::OK).await?;
        let claims: Vec<String> = redis::cmd("KEYS")
            .arg(format!("tidemark-{}:claim:*", installation.namespace))
            .query_async(&mut redis)
            .await?;
        assert_eq!(claims.len(), 1);
        redis::cmd("DEL").arg(&claims).query_async::<()>(&mut redis).await?;
    }
    assert_eq!(copies(&installation)?["kept"].len(), 2);
    stored(&installation, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_added_move_no_key() -> Result<()> {
    // So many that no partition is left out by chance.
    const KEYS: usize = 96;
    let mut installation = Installation::start("spread", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let spread = async |installation: &Installation, value: usize| -> Result<BTreeMap<String, i32>> {
        for key in 0..KEYS {
            let key = format!("{key}/{value}");
            let response = client.send_once(0, &project.api_key, &key, body(&project, value)).await?;
            client::expect(response, StatusCode::OK).await?;
        }
        let batches = log::batches(installation)?;
        Ok(batches.into_iter().map(|(partition, batch)| (batch.idempotency_key, partition)).collect())
    };
    let before: BTreeSet<i32> = spread(&installation, 0).await?.into_values().collect();
    assert_eq!(before, (0..4).collect(), "keys are spread over all partitions");

    let admin: AdminClient<DefaultClientContext> =
        service::kafka::client(&e2e::installation::part("KAFKA_BROKERS")?, "e2e").create()?;
    let topic = installation.topics().metrics;
    admin.create_partitions(&[NewPartitions::new(&topic, 16)], &AdminOptions::new()).await?;
    wait::until("the partitions are there", async || {
        let metadata = admin.inner().fetch_metadata(Some(&topic), Duration::from_secs(10))?;
        Ok((metadata.topics()[0].partitions().len() == 16).then_some(()))
    })
    .await?;
    let gateway = &mut installation.gateways[0];
    gateway.terminate().await?;
    gateway.restart()?;
    gateway.ready().await?;
    let after: BTreeSet<i32> = spread(&installation, 1).await?.into_values().collect();
    assert_eq!(after, before);
    Ok(())
}
