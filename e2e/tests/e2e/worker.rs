//! The worker: records that it cannot store, blocks, tables that lost data, shutdown.

use crate::support::send;
use e2e::kafka_log::{LogWriter, TestBatch};
use e2e::{Installation, Result, environment, wait};
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::message::{Headers as _, Message as _};
use reqwest::StatusCode;
use service::kafka::KafkaBrokers;
use std::time::Duration;

/// Waits until exactly `count` points are stored.
async fn wait_for_points(installation: &Installation, count: u64) -> Result<()> {
    let clickhouse = installation.clickhouse()?;
    wait::until(&format!("{count} points are stored"), async || {
        let stored: u64 = clickhouse.query("SELECT count() FROM points").fetch_one().await?;
        Ok((stored == count).then_some(()))
    })
    .await
}

/// Waits until a metric of the worker has this value.
async fn wait_for_metric(installation: &Installation, name: &str, value: f64) -> Result<()> {
    wait::until(&format!("{name} is {value}"), async || {
        Ok((installation.workers[0].metric(name).await? == value).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn undecodable_record_becomes_a_dead_letter() -> Result<()> {
    let installation = Installation::start("dead_letter", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let topics = installation.topics();
    let undecodable = b"\xff\xffno batch".as_slice();
    let log = LogWriter::new(&installation)?;
    for partition in 0..4 {
        log.write_raw(partition, undecodable, &[]).await?;
    }
    send(&client, &project, "good", 1).await?;
    wait_for_points(&installation, 1).await?;

    let consumer: StreamConsumer =
        service::kafka::client(&KafkaBrokers::plaintext(&environment::required("KAFKA_BROKERS")?), "e2e")
            .set("group.id", &installation.namespace)
            .set("auto.offset.reset", "earliest")
            .create()?;
    consumer.subscribe(&[&topics.dead])?;
    for _ in 0..4 {
        let record = tokio::time::timeout(Duration::from_secs(60), consumer.recv()).await??;
        assert_eq!(record.payload(), Some(undecodable), "the payload was changed");
        let headers = record.headers().ok_or("the dead letter has no headers")?;
        let header = |key| headers.iter().find(|header| header.key == key).and_then(|header| header.value);
        assert_eq!(header("reason"), Some(b"undecodable".as_slice()));
        let source = String::from_utf8(header("source").unwrap_or_default().to_vec())?;
        assert!(source.starts_with(&topics.metrics), "{source}");
    }
    wait_for_metric(&installation, "tidemark_ingest_dead_letters_total", 4.0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn block_is_one_part_with_one_marker() -> Result<()> {
    let mut installation = Installation::start("one_part", 0, 1).await?;
    let clickhouse = installation.clickhouse()?;
    clickhouse.query("SYSTEM STOP MERGES samples").execute().await?;
    // Written while the worker is stopped, so that blocks have many records.
    installation.workers[0].terminate().await?;
    let log = LogWriter::new(&installation)?;
    let batches: Vec<_> = (0..2_000).map(|value| TestBatch::new(f64::from(value))).collect();
    log.write(0, &batches).await?;
    installation.workers[0].restart()?;
    wait_for_points(&installation, batches.len() as u64).await?;
    let parts: Vec<(u64, u64)> = clickhouse
        .query("SELECT countIf(kind = 'marker'), countIf(kind = 'sample') FROM samples GROUP BY _part")
        .fetch_all()
        .await?;
    assert!(parts.iter().all(|&(markers, _)| markers == 1), "a part has not exactly one marker: {parts:?}");
    assert!(parts.iter().any(|&(_, samples)| samples > 1), "no block has more than one record: {parts:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn table_with_a_missing_part_is_refused_until_it_is_back() -> Result<()> {
    const REFUSED: &str = "tidemark_ingest_partition_refused";
    let installation = Installation::start("lost_part", 0, 1).await?;
    let log = LogWriter::new(&installation)?;
    let clickhouse = installation.clickhouse()?;
    clickhouse.query("SYSTEM STOP MERGES samples").execute().await?;
    for value in 0..3 {
        log.write(0, &[TestBatch::new(f64::from(value))]).await?;
        wait_for_points(&installation, u64::try_from(value)? + 1).await?;
    }
    let middle: String =
        clickhouse.query("SELECT DISTINCT _part FROM samples WHERE value = 1").fetch_one().await?;
    clickhouse.query_raw(&format!("ALTER TABLE samples DETACH PART '{middle}'")).execute().await?;
    log.write(0, &[TestBatch::new(3.0)]).await?;
    wait_for_metric(&installation, REFUSED, 1.0).await?;
    assert!(installation.workers[0].log().contains("has a gap or an overlap"));

    clickhouse.query_raw(&format!("ALTER TABLE samples ATTACH PART '{middle}'")).execute().await?;
    wait_for_metric(&installation, REFUSED, 0.0).await?;
    log.write(0, &[TestBatch::new(4.0)]).await?;
    wait_for_points(&installation, 5).await?;
    let values: Vec<f64> = clickhouse.query("SELECT value FROM points ORDER BY value").fetch_all().await?;
    assert_eq!(values, [0.0, 1.0, 2.0, 3.0, 4.0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_table_is_not_recreated() -> Result<()> {
    let mut installation = Installation::start("dropped", 1, 1).await?;
    installation.workers[0].terminate().await?;
    let clickhouse = installation.clickhouse()?;
    clickhouse.query("DROP TABLE samples SYNC").execute().await?;
    installation.workers[0].restart()?;
    wait::until("the worker logs that the table is missing", async || {
        Ok(installation.workers[0].log().contains("samples of generation 1 is missing").then_some(()))
    })
    .await?;
    let (status, _) = installation.workers[0].ops("/readyz").await?;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let tables: u64 = clickhouse
        .query("SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'samples'")
        .fetch_one()
        .await?;
    assert_eq!(tables, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_stops_every_service_with_exit_code_0() -> Result<()> {
    let mut installation = Installation::start("orderly", 1, 1).await?;
    let Installation { gateways, workers, query, .. } = &mut installation;
    for process in gateways.iter_mut().chain(workers).chain(std::iter::once(query)) {
        let status = process.terminate().await?;
        assert!(status.success(), "{status}");
    }
    Ok(())
}
