//! Exactly-once storage while workers are killed.
//!
//! Invariants: every metric that was answered 200 is in the table exactly once; the table has no metric that
//! was not sent and no batch in part; rollups equal their samples. A batch without an answer is stored at most
//! once.

use crate::support::{point_counts, wait_for_points};
use e2e::{Installation, Result, environment, kafka_log, wait};
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const BATCHES: u64 = 10_000;
const BATCH_SIZE: u64 = 100;
const CLIENTS: u64 = 64;
const KILLS: u64 = 5;

/// Sends batches until `next` reaches [`BATCHES`], each once; returns those that were answered 200.
async fn send(client: e2e::Client, project: e2e::Project, next: Arc<AtomicU64>) -> Vec<u64> {
    let mut accepted = Vec::new();
    loop {
        let batch = next.fetch_add(1, Ordering::Relaxed);
        if batch >= BATCHES {
            return accepted;
        }
        let metrics: Vec<_> = (0..BATCH_SIZE)
            .map(
                |index| json!({"metricId": format!("m_{}", index % 10), "value": batch * BATCH_SIZE + index}),
            )
            .collect();
        let body = json!({"projectId": project.project_id, "metrics": metrics}).to_string();
        if client.send(0, &project.api_key, body).await.is_ok_and(|response| response.status() == 200) {
            accepted.push(batch);
        }
    }
}

/// Waits until all heads have reached the end of the log: a batch without an answer is stored by then, or
/// never.
async fn wait_until_log_is_stored(installation: &Installation) -> Result<()> {
    let clickhouse = installation.clickhouse()?;
    let ends =
        kafka_log::end_offsets(&environment::required("KAFKA_BROKERS")?, &installation.topics().metrics)?;
    wait::until("all heads have reached the end of the log", async || {
        let heads: Vec<(i32, i64)> = clickhouse
            .query("SELECT partition, max(last_offset) FROM samples WHERE kind = 'marker' GROUP BY kind, partition")
            // Fails if the engine would read the heads from rows instead of from the projection.
            .with_setting("force_optimize_projection", "1")
            .fetch_all()
            .await?;
        let is_stored = |(&partition, &end): (&i32, &i64)| {
            end == 0 || heads.iter().any(|&(of, head)| of == partition && head >= end - 1)
        };
        Ok(ends.iter().all(is_stored).then_some(()))
    })
    .await
}

/// Checks that every stored batch was sent and is complete, and that all accepted ones are stored; returns
/// their number.
async fn check_batches(clickhouse: &clickhouse::Client, accepted: &[u64]) -> Result<usize> {
    let batches: Vec<(u64, u64, u64)> = clickhouse
        .query(
            "SELECT toUInt64(intDiv(toUInt64(value), 100)) AS batch, count(), uniqExact(value) FROM points
             GROUP BY batch ORDER BY batch",
        )
        .fetch_all()
        .await?;
    for &(batch, rows, values) in &batches {
        assert!(batch < BATCHES, "batch {batch} was never sent");
        assert_eq!((rows, values), (BATCH_SIZE, BATCH_SIZE), "batch {batch} is stored in part or twice");
    }
    let stored: HashSet<u64> = batches.iter().map(|row| row.0).collect();
    let lost: Vec<&u64> = accepted.iter().filter(|batch| !stored.contains(batch)).collect();
    assert!(lost.is_empty(), "batches were accepted and lost: {lost:?}");
    Ok(batches.len())
}

async fn check_rollups(clickhouse: &clickhouse::Client) -> Result<()> {
    let rollups: (u64, f64, f64, f64) = clickhouse
        .query(
            "SELECT sum(c), sum(s), min(l), max(h) FROM
               (SELECT count() AS c, sum(value) AS s, min(value) AS l, max(value) AS h FROM samples
                WHERE kind = 'sample' GROUP BY kind, project_id, metric_id, toStartOfHour(time))",
        )
        .with_setting("force_optimize_projection", "1")
        .fetch_one()
        .await?;
    let samples: (u64, f64, f64, f64) = clickhouse
        .query("SELECT count(), sum(value), min(value), max(value) FROM points")
        .with_setting("optimize_use_projections", "0")
        .fetch_one()
        .await?;
    assert_eq!(rollups, samples, "the rollups differ from the samples");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn accepted_metrics_are_stored_once_while_workers_are_killed() -> Result<()> {
    let mut installation = Installation::start("exactly_once", 1, 2).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let next = Arc::new(AtomicU64::new(0));
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        senders.spawn(send(client.clone(), project.clone(), next.clone()));
    }
    for kill in 1..=KILLS {
        let threshold = BATCHES * kill / (KILLS + 1);
        wait::until(&format!("{threshold} batches are sent"), async || {
            Ok((next.load(Ordering::Relaxed) >= threshold).then_some(()))
        })
        .await?;
        let worker = &mut installation.workers[kill as usize % 2];
        worker.kill()?;
        worker.restart()?;
    }
    let accepted: Vec<u64> = senders.join_all().await.concat();
    assert!(accepted.len() as u64 > BATCHES / 2, "only {} batches were accepted", accepted.len());

    let clickhouse = installation.clickhouse()?;
    wait_for_points(&clickhouse, accepted.len() as u64 * BATCH_SIZE).await?;
    wait_until_log_is_stored(&installation).await?;
    let (count, positions, _) = point_counts(&clickhouse).await?;
    assert_eq!(count, positions, "a log position is stored twice");
    let stored = check_batches(&clickhouse, &accepted).await?;
    check_rollups(&clickhouse).await?;
    println!("{} of {BATCHES} batches accepted, {stored} stored, {KILLS} kills", accepted.len());
    Ok(())
}
