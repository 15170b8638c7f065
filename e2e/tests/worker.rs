//! What the worker does with what it cannot store, and with a table that lost something.

use e2e::{Installation, Result, client, wait};
use proto::encode::{BatchRef, SampleRef};
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::producer::{FutureProducer, FutureRecord};
use reqwest::StatusCode;
use serde_json::json;
use std::time::Duration;

async fn stored(installation: &Installation, expected: u64) -> Result<()> {
    let clickhouse = installation.clickhouse()?;
    wait::until(&format!("{expected} metrics are stored"), async || {
        let stored: u64 = clickhouse.query("SELECT count() FROM points").fetch_one().await?;
        Ok((stored == expected).then_some(()))
    })
    .await
}

/// The value of a metric of the first worker; 0 if it is not there.
async fn metric(installation: &Installation, line: &str) -> Result<f64> {
    let page = reqwest::get(format!("{}/metrics", installation.workers[0].ops_url())).await?.text().await?;
    let values =
        page.lines().filter(|found| found.starts_with(line)).filter_map(|found| found.split(' ').nth(1));
    Ok(values.filter_map(|value| value.parse::<f64>().ok()).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_decoded_is_kept_as_a_dead_letter_and_the_rest_is_stored() -> Result<()> {
    let installation = Installation::start("dead_letter", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let topics = installation.topics();
    let brokers = e2e::installation::part("KAFKA_BROKERS")?;
    let producer: FutureProducer = service::kafka::client(&brokers, "e2e").set("acks", "all").create()?;
    let rubbish = b"\xff\xffno batch".as_slice();
    for partition in 0..4 {
        let record = FutureRecord::<(), _>::to(&topics.metrics).partition(partition).payload(rubbish);
        producer.send(record, Duration::ZERO).await.map_err(|(error, _)| error)?;
    }
    let body = json!({"projectId": project.project_id, "metricId": "good", "value": 1}).to_string();
    client::expect(client.send(0, &project.api_key, body).await?, StatusCode::OK).await?;
    stored(&installation, 1).await?;

    let consumer: StreamConsumer = service::kafka::client(&brokers, "e2e")
        .set("group.id", &installation.namespace)
        .set("auto.offset.reset", "earliest")
        .create()?;
    consumer.subscribe(&[&topics.dead])?;
    for _ in 0..4 {
        let letter = tokio::time::timeout(Duration::from_secs(60), consumer.recv()).await??;
        assert_eq!(letter.payload(), Some(rubbish), "the record is kept as it was");
        let headers = letter.headers().ok_or("a dead letter says why")?;
        let header = |key| headers.iter().find(|header| header.key == key).and_then(|header| header.value);
        assert_eq!(header("reason"), Some(b"undecodable".as_slice()));
        let source = String::from_utf8(header("source").unwrap_or_default().to_vec())?;
        assert!(source.starts_with(&topics.metrics), "{source}");
    }
    wait::until("all four are counted", async || {
        let counted = metric(&installation, "tidemark_ingest_dead_letters_total").await?;
        Ok((counted == 4.0).then_some(()))
    })
    .await?;
    Ok(())
}

/// Writes a batch of one metric straight into partition 0 of the log.
async fn write_to_log(producer: &FutureProducer, topic: &str, value: f64) -> Result<()> {
    let now = 1_790_000_000_000;
    let sample = SampleRef { metric_id: "m", metric_name: None, value, unit: None, timestamp_ms: now };
    let payload = BatchRef {
        batch_id: uuid::Uuid::now_v7(),
        project_id: "prj_test",
        connection_id: "con_test",
        received_at_ms: now,
        idempotency: None,
        samples: std::iter::once(sample),
    }
    .encode();
    let record = FutureRecord::<(), _>::to(topic).partition(0).payload(&payload);
    producer.send(record, Duration::ZERO).await.map_err(|(error, _)| error)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_is_one_part_with_one_marker() -> Result<()> {
    let mut installation = Installation::start("one_part", 0, 1).await?;
    let clickhouse = installation.clickhouse()?;
    clickhouse.query("SYSTEM STOP MERGES samples").execute().await?;
    // With the worker away records gather, so that they come to it all at once.
    installation.workers[0].terminate().await?;
    let writer = e2e::log::LogWriter::new(&installation)?;
    let records: Vec<_> = (0..2_000).map(|value| e2e::log::Given::plain(f64::from(value))).collect();
    writer.write(0, &records).await?;
    installation.workers[0].restart()?;
    stored(&installation, records.len() as u64).await?;
    let parts: Vec<(u64, u64)> = clickhouse
        .query("SELECT countIf(kind = 'marker'), countIf(kind = 'sample') FROM samples GROUP BY _part")
        .fetch_all()
        .await?;
    assert!(parts.iter().all(|&(markers, _)| markers == 1), "a part without its own marker: {parts:?}");
    assert!(parts.iter().any(|&(_, samples)| samples > 1), "no block had more than one record: {parts:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_lost_a_part_is_refused_until_the_part_is_back() -> Result<()> {
    let installation = Installation::start("lost_part", 0, 1).await?;
    let topic = installation.topics().metrics;
    let brokers = e2e::installation::part("KAFKA_BROKERS")?;
    let producer: FutureProducer = service::kafka::client(&brokers, "e2e").set("acks", "all").create()?;
    let clickhouse = installation.clickhouse()?;
    clickhouse.query("SYSTEM STOP MERGES samples").execute().await?;
    for value in 0..3 {
        write_to_log(&producer, &topic, f64::from(value)).await?;
        stored(&installation, u64::try_from(value)? + 1).await?;
    }
    let middle: String =
        clickhouse.query("SELECT DISTINCT _part FROM samples WHERE value = 1").fetch_one().await?;
    clickhouse.query_raw(&format!("ALTER TABLE samples DETACH PART '{middle}'")).execute().await?;
    write_to_log(&producer, &topic, 3.0).await?;
    wait::until("the worker refuses the partition", async || {
        Ok((metric(&installation, "tidemark_ingest_partition_refused").await? == 1.0).then_some(()))
    })
    .await?;
    assert!(installation.workers[0].log().contains("has a gap or an overlap"));

    clickhouse.query_raw(&format!("ALTER TABLE samples ATTACH PART '{middle}'")).execute().await?;
    wait::until("the worker goes on by itself", async || {
        Ok((metric(&installation, "tidemark_ingest_partition_refused").await? == 0.0).then_some(()))
    })
    .await?;
    write_to_log(&producer, &topic, 4.0).await?;
    stored(&installation, 5).await?;
    let values: Vec<f64> = clickhouse.query("SELECT value FROM points ORDER BY value").fetch_all().await?;
    assert_eq!(values, [0.0, 1.0, 2.0, 3.0, 4.0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_dropped_is_not_made_anew() -> Result<()> {
    let mut installation = Installation::start("dropped", 1, 1).await?;
    installation.workers[0].terminate().await?;
    let clickhouse = installation.clickhouse()?;
    clickhouse.query("DROP TABLE samples SYNC").execute().await?;
    installation.workers[0].restart()?;
    wait::until("the worker says what is wrong", async || {
        Ok(installation.workers[0].log().contains("samples of generation 1 is missing").then_some(()))
    })
    .await?;
    let ready = reqwest::get(format!("{}/readyz", installation.workers[0].ops_url())).await?;
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    let tables: u64 = clickhouse
        .query("SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'samples'")
        .fetch_one()
        .await?;
    assert_eq!(tables, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn services_leave_in_order_when_told_to() -> Result<()> {
    let mut installation = Installation::start("orderly", 1, 1).await?;
    let Installation { gateways, workers, query, .. } = &mut installation;
    for process in gateways.iter_mut().chain(workers).chain(std::iter::once(query)) {
        let status = process.terminate().await?;
        assert!(status.success(), "{status}");
    }
    Ok(())
}
