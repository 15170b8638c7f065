//! Repeats of an idempotency key in the log: a gateway that crashed between Kafka and Redis writes them, and the worker
//! makes them one.
//!
//! What may never happen: a repeat is stored; a record that is no repeat is dropped; either depends on how the log was
//! cut into blocks, or on a crash.

use e2e::log::{Given, LogWriter, RECEIVED_AT_MS};
use e2e::{Installation, Result, wait};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn keyed(value: f64, key: &str, hash: u8) -> Given<'_> {
    Given { keyed: Some((key, hash)), ..Given::plain(value) }
}

/// The stored values once the chain of partition 0 has passed `last`.
async fn stored(installation: &Installation, last: i64) -> Result<Vec<f64>> {
    let clickhouse = installation.clickhouse()?;
    wait::until(&format!("offset {last} is passed"), async || {
        let head: i64 = clickhouse
            .query("SELECT max(last_offset) FROM samples WHERE kind = 'marker' AND partition = 0")
            .fetch_one()
            .await?;
        Ok((head >= last).then_some(()))
    })
    .await?;
    Ok(clickhouse.query("SELECT value FROM points ORDER BY offset").fetch_all().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_key_is_stored_once_within_a_block_across_blocks_and_across_a_killed_worker() -> Result<()>
{
    let mut installation = Installation::start("repeats", 0, 1).await?;
    let log = LogWriter::new(&installation)?;
    let last = |offsets: Vec<i64>| offsets.last().copied().ok_or("nothing was written");

    // One block, for nobody reads while they are written.
    installation.workers[0].terminate().await?;
    let within =
        [keyed(1.0, "a", 1), Given::plain(2.0), keyed(3.0, "a", 1), keyed(4.0, "b", 1), keyed(5.0, "a", 1)];
    let written = last(log.write(0, &within).await?)?;
    installation.workers[0].restart()?;
    assert_eq!(stored(&installation, written).await?, [1.0, 2.0, 4.0]);

    // Blocks of their own: each is written when the one before is stored. One of them falls away whole.
    let written = last(log.write(0, &[keyed(6.0, "a", 1)]).await?)?;
    assert_eq!(stored(&installation, written).await?, [1.0, 2.0, 4.0]);
    let written = last(log.write(0, &[keyed(7.0, "c", 1)]).await?)?;
    assert_eq!(stored(&installation, written).await?, [1.0, 2.0, 4.0, 7.0]);

    // A worker that never saw the first ones.
    installation.workers[0].kill()?;
    installation.workers[0].restart()?;
    let written = last(log.write(0, &[keyed(8.0, "c", 1), keyed(9.0, "b", 1), keyed(10.0, "d", 1)]).await?)?;
    assert_eq!(stored(&installation, written).await?, [1.0, 2.0, 4.0, 7.0, 10.0]);

    let marker_alone: u64 = installation
        .clickhouse()?
        .query("SELECT count() FROM samples WHERE kind = 'marker' AND first_offset = 5 AND last_offset = 5")
        .fetch_one()
        .await?;
    assert_eq!(marker_alone, 1, "a block whose records all fell away is a marker alone");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_body_another_day_and_another_partition_are_no_repeats() -> Result<()> {
    let installation = Installation::start("no_repeats", 0, 1).await?;
    let log = LogWriter::new(&installation)?;
    let later = |value, ms| Given { received_at_ms: RECEIVED_AT_MS + ms, ..keyed(value, "a", 1) };
    let mut values = Vec::new();
    for given in [
        keyed(1.0, "a", 1),
        keyed(2.0, "a", 2),
        later(3.0, DAY_MS - 1),
        later(4.0, DAY_MS),
        later(5.0, DAY_MS + 1),
        later(6.0, -DAY_MS),
    ] {
        let written = log.write(0, &[given]).await?;
        values = stored(&installation, written[0]).await?;
    }
    assert_eq!(values, [1.0, 2.0, 4.0, 6.0]);

    log.write(1, &[keyed(7.0, "a", 1)]).await?;
    let clickhouse = installation.clickhouse()?;
    wait::until("the other partition's record is stored", async || {
        let found: u64 = clickhouse.query("SELECT count() FROM points WHERE value = 7").fetch_one().await?;
        Ok((found == 1).then_some(()))
    })
    .await
}
