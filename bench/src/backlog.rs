//! Rows per second and CPU per row of one worker that processes a backlog.

use e2e::{Installation, Result};
use proto::encode::{BatchRef, SampleRef};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use service::kafka::KafkaBrokers;
use std::time::{Duration, Instant};

/// Number of metrics per batch.
const BATCH: u64 = 100;
/// Number of series in the backlog.
pub const SERIES: u64 = 1_000;

/// Fills the topic while no worker runs, then starts one and prints its rate.
pub async fn run(metrics: u64) -> Result<()> {
    let mut installation = Installation::start("bench", 0, 1).await?;
    installation.workers.clear();
    eprintln!("writing a backlog of {metrics} metrics");
    let topic = installation.topics().metrics;
    tokio::task::spawn_blocking(move || fill(&topic, "prj_bench", metrics)).await??;
    let started = Instant::now();
    installation.add_worker()?;
    let clickhouse = installation.clickhouse()?;
    let mut first = None;
    let stored = loop {
        let stored: u64 = clickhouse.query("SELECT count() FROM points").fetch_one().await?;
        if stored > 0 && first.is_none() {
            first = Some((stored, Instant::now()));
        }
        if stored >= metrics {
            break stored;
        }
        eprint!("\r{stored} of {metrics} in {:.0} s", started.elapsed().as_secs_f64());
        if started.elapsed() > Duration::from_secs(600) {
            return Err("the worker did not process the backlog within 600 s".into());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    eprintln!();
    // The rate excludes the worker's start: it counts from the first rows that were seen.
    let (initial, since) = first.unwrap_or((0, started));
    let seconds = since.elapsed().as_secs_f64();
    let cpu = installation.workers[0].cpu()?.as_secs_f64();
    println!("backlog: {stored} metrics in batches of {BATCH}, {SERIES} series, one worker, 4 partitions");
    println!("| rows/s | worker CPU µs/row | from start to done s |\n|---|---|---|");
    println!(
        "| {:.0} | {:.2} | {:.1} |",
        (stored - initial) as f64 / seconds,
        cpu * 1e6 / stored as f64,
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Writes metrics of `project` to `topic`, with event times in the last day.
pub fn fill(topic: &str, project: &str, metrics: u64) -> Result<()> {
    let producer: ThreadedProducer<_> = service::kafka::client(
        &KafkaBrokers::plaintext(&e2e::environment::required("KAFKA_BROKERS")?),
        "bench",
    )
    .set("acks", "all")
    .set("compression.type", "lz4")
    .set("linger.ms", "20")
    .create()?;
    let ids: Vec<String> = (0..SERIES).map(|series| format!("metric_{series}")).collect();
    let now = service::clock::now_ms();
    for batch in 0..metrics / BATCH {
        let payload = BatchRef {
            batch_id: uuid::Uuid::now_v7(),
            project_id: project,
            connection_id: "con_bench",
            received_at_ms: now,
            idempotency: None,
            samples: (0..BATCH).map(|index| SampleRef {
                metric_id: &ids[((batch * BATCH + index) % SERIES) as usize],
                metric_name: None,
                value: index as f64,
                unit: Some("ms"),
                timestamp_ms: now - 1_000 * i64::try_from(batch % 86_400).unwrap_or(0),
            }),
        }
        .encode();
        let mut record: BaseRecord<'_, (), _> = BaseRecord::to(topic).payload(&payload);
        while let Err((error, unsent)) = producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            std::thread::sleep(Duration::from_millis(10));
            record = unsent;
        }
    }
    Ok(producer.flush(Duration::from_secs(60))?)
}
