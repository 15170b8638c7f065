//! The promise that the product exists for.
//!
//! What may never happen: a metric that was answered 200 is missing from the table or there twice; a metric is there that
//! was not sent; a batch is there in part; a rollup says something else than the samples. A batch whose answer never came
//! may be there, once.

use e2e::{Installation, Result, wait};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const BATCHES: u64 = 10_000;
const SIZE: u64 = 100;
const CLIENTS: u64 = 64;
const KILLS: u64 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn every_accepted_metric_is_stored_once_while_workers_are_killed() -> Result<()> {
    let mut installation = Installation::start("exactly_once", 1, 2).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let next = Arc::new(AtomicU64::new(0));
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let (client, project, next) = (client.clone(), project.clone(), next.clone());
        senders.spawn(async move {
            let mut accepted = Vec::new();
            loop {
                let batch = next.fetch_add(1, Ordering::Relaxed);
                if batch >= BATCHES {
                    return accepted;
                }
                let metrics: Vec<_> = (0..SIZE)
                    .map(|index| json!({"metricId": format!("m_{}", index % 10), "value": batch * SIZE + index}))
                    .collect();
                let body = json!({"projectId": project.project_id, "metrics": metrics}).to_string();
                if client.send(0, &project.api_key, body).await.is_ok_and(|answer| answer.status() == 200) {
                    accepted.push(batch);
                }
            }
        });
    }
    for kill in 1..=KILLS {
        let reached = BATCHES * kill / (KILLS + 1);
        wait::until("so many batches are sent", async || {
            Ok((next.load(Ordering::Relaxed) >= reached).then_some(()))
        })
        .await?;
        let worker = &mut installation.workers[kill as usize % 2];
        worker.kill()?;
        worker.restart()?;
    }
    let accepted: Vec<u64> = senders.join_all().await.concat();
    assert!(accepted.len() as u64 > BATCHES / 2, "only {} batches were accepted", accepted.len());

    let clickhouse = installation.clickhouse()?;
    wait::until("all accepted metrics are stored", async || {
        let stored: u64 = clickhouse.query("SELECT count() FROM points").fetch_one().await?;
        Ok((stored >= accepted.len() as u64 * SIZE).then_some(()))
    })
    .await?;
    // What was not answered may still come; once the workers have passed the log's end it has come or never will.
    let ends = log_ends(&installation.topics().metrics)?;
    wait::until("the workers have passed the log's end", async || {
        let heads: Vec<(i32, i64)> = clickhouse
            .query("SELECT partition, max(last_offset) FROM samples WHERE kind = 'marker' GROUP BY kind, partition")
            // Refused if the head of a chain were read from its rows.
            .with_setting("force_optimize_projection", "1")
            .fetch_all()
            .await?;
        let passed = |end: &(i32, i64)| end.1 == 0 || heads.iter().any(|head| head.0 == end.0 && head.1 >= end.1 - 1);
        Ok(ends.iter().all(passed).then_some(()))
    })
    .await?;

    let (count, distinct): (u64, u64) = clickhouse
        .query("SELECT count(), uniqExact(partition, offset, index) FROM points")
        .fetch_one()
        .await?;
    assert_eq!(count, distinct, "a place in the log is stored twice");
    let batches: Vec<(u64, u64, u64)> = clickhouse
        .query(
            "SELECT toUInt64(intDiv(toUInt64(value), 100)) AS batch, count(), uniqExact(value) FROM points
             GROUP BY batch ORDER BY batch",
        )
        .fetch_all()
        .await?;
    for &(batch, rows, values) in &batches {
        assert!(batch < BATCHES, "batch {batch} was never sent");
        assert_eq!((rows, values), (SIZE, SIZE), "batch {batch} is there in part, or twice");
    }
    let stored: std::collections::HashSet<u64> = batches.iter().map(|row| row.0).collect();
    let lost: Vec<&u64> = accepted.iter().filter(|batch| !stored.contains(batch)).collect();
    assert!(lost.is_empty(), "accepted and lost: {lost:?}");

    let rollup: (u64, f64, f64, f64) = clickhouse
        .query(
            "SELECT sum(c), sum(s), min(l), max(h) FROM
               (SELECT count() AS c, sum(value) AS s, min(value) AS l, max(value) AS h FROM samples
                WHERE kind = 'sample' GROUP BY kind, project_id, metric_id, toStartOfHour(time))",
        )
        .with_setting("force_optimize_projection", "1")
        .fetch_one()
        .await?;
    let raw: (u64, f64, f64, f64) = clickhouse
        .query("SELECT count(), sum(value), min(value), max(value) FROM points")
        .with_setting("optimize_use_projections", "0")
        .fetch_one()
        .await?;
    assert_eq!(rollup, raw, "the rollup says something else than the samples");
    println!("{} of {BATCHES} batches accepted, {} stored, {KILLS} kills", accepted.len(), batches.len());
    Ok(())
}

fn log_ends(topic: &str) -> Result<Vec<(i32, i64)>> {
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    let timeout = std::time::Duration::from_secs(10);
    let consumer: BaseConsumer =
        service::kafka::client(&e2e::installation::part("KAFKA_BROKERS")?, "e2e").create()?;
    let metadata = consumer.fetch_metadata(Some(topic), timeout)?;
    let partitions =
        metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|partition| partition.id());
    partitions.map(|id| Ok((id, consumer.fetch_watermarks(topic, id, timeout)?.1))).collect()
}
