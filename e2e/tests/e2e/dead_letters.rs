//! Dead letters: records that could not be stored are listed, retried and dropped.
//!
//! Invariants: a retried record is stored exactly once, however often it is sent and in every generation; a
//! record that still cannot be stored does not disappear.

use crate::support::wait_for_head;
use e2e::kafka_log::{LogWriter, TestBatch};
use e2e::{Installation, Result, wait};

const UNDECODABLE: &[u8] = b"\xff\xffno batch";

/// Waits until `dead list` counts `count` dead letters; returns its output.
async fn listed(installation: &Installation, count: usize) -> Result<String> {
    wait::until(&format!("{count} dead letters are listed"), async || {
        let output = installation.run_command_ok(&["dead", "list"]).await?;
        Ok(output.ends_with(&format!("{count} dead letters\n")).then_some(output))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_that_fails_again_is_listed_until_dropped() -> Result<()> {
    let installation = Installation::start("dead_again", 0, 1).await?;
    let log = LogWriter::new(&installation)?;
    let offset = log.write_raw(2, UNDECODABLE, &[]).await?;
    let source = format!("{}/2/{offset}", installation.topics().metrics);
    let output = listed(&installation, 1).await?;
    assert!(output.contains(&source) && output.contains("undecodable"), "{output}");
    let output = installation.run_command_ok(&["dead", "show", &source]).await?;
    assert!(output.contains("6e6f206261746368"), "its bytes are not shown: {output}");

    installation.run_command_ok(&["dead", "retry", "--all"]).await?;
    let output = wait::until("it is listed again", async || {
        let output = installation.run_command_ok(&["dead", "list"]).await?;
        Ok(output.contains("retried at offset").then_some(output))
    })
    .await?;
    assert!(output.contains(&source) && output.ends_with("1 dead letters\n"), "{output}");

    installation.run_command_ok(&["dead", "drop", &source]).await?;
    listed(&installation, 0).await?;
    let retry = installation.run_command(&["dead", "retry", &source]).await?;
    assert!(!retry.success && retry.stderr.contains("no open dead letter"), "{retry:?}");
    // A new generation reads both records again, but does not list them again.
    installation.run_command_ok(&["rebuild", "clickhouse"]).await?;
    listed(&installation, 0).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn retried_dead_letter_is_stored_once_also_by_rebuilds() -> Result<()> {
    let installation = Installation::start("retried", 0, 1).await?;
    let topics = installation.topics();
    let (log, dead) = (LogWriter::new(&installation)?, LogWriter::to(&topics.dead)?);
    let offset = log.write_raw(0, UNDECODABLE, &[]).await?;
    let source = format!("{}/0/{offset}", topics.metrics);
    listed(&installation, 1).await?;
    installation.run_command_ok(&["dead", "drop", &source]).await?;
    // Two dead letters as an earlier version of the worker might have written them, for records that this
    // version can store: one record is stored already, the other one is not.
    let stored = log.write(0, &[TestBatch::new(1.0)]).await?[0];
    let stored_source = format!("{}/0/{stored}", topics.metrics);
    let lost = TestBatch::new(2.0).encode();
    let lost_source = format!("{}/0/{}", topics.metrics, log.write_raw(0, UNDECODABLE, &[]).await?);
    listed(&installation, 1).await?;
    let headers =
        |source| [("reason", "invalid"), ("message", "of a test"), ("source", source), ("place", source)];
    dead.write_raw(0, &lost, &headers(&lost_source)).await?;
    dead.write_raw(0, &TestBatch::new(1.0).encode(), &headers(&stored_source)).await?;
    listed(&installation, 2).await?;

    // The stored record's retry is dropped. The lost record is sent twice more, in one block and in a later
    // one.
    installation.run_command_ok(&["dead", "retry", "--all"]).await?;
    listed(&installation, 0).await?;
    for _ in 0..2 {
        log.write_raw(0, &lost, &[("origin", &lost_source)]).await?;
    }
    let last = log.write(0, &[TestBatch::new(3.0)]).await?[0];
    let clickhouse = installation.clickhouse()?;
    wait_for_head(&clickhouse, 0, last).await?;
    let values = "SELECT value FROM points ORDER BY value";
    assert_eq!(clickhouse.query(values).fetch_all::<f64>().await?, [1.0, 2.0, 3.0]);

    let output = installation.run_command_ok(&["rebuild", "clickhouse"]).await?;
    assert!(output.contains("the generations are equal: 3 metrics"), "{output}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn record_that_the_table_refuses_becomes_a_dead_letter() -> Result<()> {
    let mut installation = Installation::start("refused", 0, 1).await?;
    let log = LogWriter::new(&installation)?;
    let clickhouse = installation.clickhouse()?;
    let wait_for_points = async |expected: (u64, f64)| {
        wait::until(&format!("{} points with the sum {} are stored", expected.0, expected.1), async || {
            let stored: (u64, f64) =
                clickhouse.query("SELECT count(), sum(value) FROM points").fetch_one().await?;
            Ok((stored == expected).then_some(()))
        })
        .await
    };
    clickhouse.query("ALTER TABLE samples ADD CONSTRAINT unlucky CHECK value != 13").execute().await?;
    // Written while the worker is stopped, so that many are in one block.
    installation.workers[0].terminate().await?;
    let batches: Vec<_> = (0..40).map(|value| TestBatch::new(f64::from(value))).collect();
    let offsets = log.write(0, &batches).await?;
    installation.workers[0].restart()?;
    let output = listed(&installation, 1).await?;
    let source = format!("{}/0/{}", installation.topics().metrics, offsets[13]);
    assert!(output.contains(&source) && output.contains("refused"), "{output}");
    wait_for_points((39, 767.0)).await?;

    clickhouse.query("ALTER TABLE samples DROP CONSTRAINT unlucky").execute().await?;
    installation.run_command_ok(&["dead", "retry", &source]).await?;
    wait_for_points((40, 780.0)).await?;
    // The new generation stores the record at its original position, and drops the retry.
    let output = installation.run_command_ok(&["rebuild", "clickhouse", "--accept-differences"]).await?;
    assert!(output.contains("queries read generation 2"), "{output}");
    let clickhouse = installation.clickhouse_generation(2)?;
    let rebuilt: (u64, f64) = clickhouse.query("SELECT count(), sum(value) FROM points").fetch_one().await?;
    assert_eq!(rebuilt, (40, 780.0));
    Ok(())
}
