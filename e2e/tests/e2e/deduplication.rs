//! Records with the same idempotency key in the log: a gateway that crashes between Kafka and Redis leads to
//! such duplicates, and the worker stores one of them.
//!
//! Invariants: no duplicate is stored; no record that is not a duplicate is dropped; neither depends on how the
//! log was divided into blocks, nor on a crash.

use crate::support::wait_for_head;
use e2e::kafka_log::{LogWriter, RECEIVED_AT_MS, TestBatch};
use e2e::{Installation, Result, wait};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A batch whose idempotency key is `key` and whose body hash consists of `hash`.
fn keyed(value: f64, key: &str, hash: u8) -> TestBatch<'_> {
    TestBatch { idempotency: Some((key, hash)), ..TestBatch::new(value) }
}

/// Returns the stored values once the head of partition 0 has reached `offset`.
async fn stored(installation: &Installation, offset: i64) -> Result<Vec<f64>> {
    let clickhouse = installation.clickhouse()?;
    wait_for_head(&clickhouse, 0, offset).await?;
    Ok(clickhouse.query("SELECT value FROM points ORDER BY offset").fetch_all().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_are_dropped_within_and_across_blocks() -> Result<()> {
    let mut installation = Installation::start("repeats", 0, 1).await?;
    let log = LogWriter::new(&installation)?;
    let last = |offsets: Vec<i64>| offsets.last().copied().ok_or("nothing was written");

    // Written while the worker is stopped, so that all are in one block.
    installation.workers[0].terminate().await?;
    let batches =
        [keyed(1.0, "a", 1), TestBatch::new(2.0), keyed(3.0, "a", 1), keyed(4.0, "b", 1), keyed(5.0, "a", 1)];
    let written = last(log.write(0, &batches).await?)?;
    installation.workers[0].restart()?;
    assert_eq!(stored(&installation, written).await?, [1.0, 2.0, 4.0]);

    // Each is written once its predecessor is stored, so that each has its own block. The first block has no
    // samples.
    let written = last(log.write(0, &[keyed(6.0, "a", 1)]).await?)?;
    assert_eq!(stored(&installation, written).await?, [1.0, 2.0, 4.0]);
    let written = last(log.write(0, &[keyed(7.0, "c", 1)]).await?)?;
    assert_eq!(stored(&installation, written).await?, [1.0, 2.0, 4.0, 7.0]);

    // The restarted worker has not seen the earlier records.
    installation.workers[0].kill()?;
    installation.workers[0].restart()?;
    let written = last(log.write(0, &[keyed(8.0, "c", 1), keyed(9.0, "b", 1), keyed(10.0, "d", 1)]).await?)?;
    assert_eq!(stored(&installation, written).await?, [1.0, 2.0, 4.0, 7.0, 10.0]);

    let markers: u64 = installation
        .clickhouse()?
        .query("SELECT count() FROM samples WHERE kind = 'marker' AND first_offset = 5 AND last_offset = 5")
        .fetch_one()
        .await?;
    assert_eq!(markers, 1, "a block in which every record is a duplicate consists of its marker");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn other_body_day_or_partition_is_no_duplicate() -> Result<()> {
    let installation = Installation::start("no_repeats", 0, 1).await?;
    let log = LogWriter::new(&installation)?;
    let later = |value, ms| TestBatch { received_at_ms: RECEIVED_AT_MS + ms, ..keyed(value, "a", 1) };
    let mut values = Vec::new();
    for batch in [
        keyed(1.0, "a", 1),
        keyed(2.0, "a", 2),
        later(3.0, DAY_MS - 1),
        later(4.0, DAY_MS),
        later(5.0, DAY_MS + 1),
        later(6.0, -DAY_MS),
    ] {
        let written = log.write(0, &[batch]).await?;
        values = stored(&installation, written[0]).await?;
    }
    assert_eq!(values, [1.0, 2.0, 4.0, 6.0]);

    log.write(1, &[keyed(7.0, "a", 1)]).await?;
    let clickhouse = installation.clickhouse()?;
    wait::until("the record of the other partition is stored", async || {
        let found: u64 = clickhouse.query("SELECT count() FROM points WHERE value = 7").fetch_one().await?;
        Ok((found == 1).then_some(()))
    })
    .await
}
