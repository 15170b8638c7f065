//! Records that could not be stored: listed, sent again, given up.
//!
//! What may never happen: a retried record is stored twice, however often it is sent, in whatever generation; one that
//! still cannot be stored disappears.

use e2e::log::{Given, LogWriter};
use e2e::{Installation, Result, wait};

const RUBBISH: &[u8] = b"\xff\xffno batch";

/// Waits until `dead list` says that there are so many; gives what it says.
async fn listed(installation: &Installation, letters: usize) -> Result<String> {
    wait::until(&format!("{letters} dead letters are listed"), async || {
        let said = installation.commanded(&["dead", "list"]).await?;
        Ok(said.ends_with(&format!("{letters} dead letters\n")).then_some(said))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_still_cannot_be_stored_comes_back_under_its_source_until_it_is_given_up() -> Result<()>
{
    let installation = Installation::start("dead_again", 0, 1).await?;
    let log = LogWriter::new(&installation)?;
    let offset = log.raw(2, RUBBISH, &[]).await?;
    let source = format!("{}/2/{offset}", installation.topics().metrics);
    let said = listed(&installation, 1).await?;
    assert!(said.contains(&source) && said.contains("undecodable"), "{said}");
    let said = installation.commanded(&["dead", "show", &source]).await?;
    assert!(said.contains("6e6f206261746368"), "its bytes are shown: {said}");

    installation.commanded(&["dead", "retry", "--all"]).await?;
    let said = wait::until("it is listed again", async || {
        let said = installation.commanded(&["dead", "list"]).await?;
        Ok(said.contains("sent again at offset").then_some(said))
    })
    .await?;
    assert!(said.contains(&source) && said.ends_with("1 dead letters\n"), "{said}");

    installation.commanded(&["dead", "drop", &source]).await?;
    listed(&installation, 0).await?;
    let gone = installation.command(&["dead", "retry", &source]).await?;
    assert!(!gone.success && gone.err.contains("not among the dead letters"), "{gone:?}");
    // A new generation meets both records again, and opens nothing again.
    installation.commanded(&["rebuild", "clickhouse"]).await?;
    listed(&installation, 0).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_record_is_stored_once_however_often_it_is_sent_and_on_rebuilds() -> Result<()> {
    let installation = Installation::start("retried", 0, 1).await?;
    let topics = installation.topics();
    let (log, dead) = (LogWriter::new(&installation)?, LogWriter::to(&topics.dead)?);
    let offset = log.raw(0, RUBBISH, &[]).await?;
    let source = format!("{}/0/{offset}", topics.metrics);
    listed(&installation, 1).await?;
    installation.commanded(&["dead", "drop", &source]).await?;
    // As if an earlier version of the worker had not understood a record that this one does.
    let good = log.write(0, &[Given::plain(1.0)]).await?[0];
    let kept = format!("{}/0/{good}", topics.metrics);
    let lost = Given::plain(2.0).encode();
    let later = format!("{}/0/{}", topics.metrics, log.raw(0, RUBBISH, &[]).await?);
    listed(&installation, 1).await?;
    let headers =
        |source| [("reason", "invalid"), ("message", "of a test"), ("source", source), ("place", source)];
    dead.raw(0, &lost, &headers(&later)).await?;
    dead.raw(0, &Given::plain(1.0).encode(), &headers(&kept)).await?;
    listed(&installation, 2).await?;

    // The one is stored where it stood first, so its retry falls away; the other is sent twice, in one block and later.
    installation.commanded(&["dead", "retry", "--all"]).await?;
    listed(&installation, 0).await?;
    for _ in 0..2 {
        log.raw(0, &lost, &[("origin", &later)]).await?;
    }
    let last = log.write(0, &[Given::plain(3.0)]).await?[0];
    let clickhouse = installation.clickhouse()?;
    wait::until("all is passed", async || {
        let head: i64 = clickhouse
            .query("SELECT max(last_offset) FROM samples WHERE kind = 'marker'")
            .fetch_one()
            .await?;
        Ok((head >= last).then_some(()))
    })
    .await?;
    let values = "SELECT value FROM points ORDER BY value";
    assert_eq!(clickhouse.query(values).fetch_all::<f64>().await?, [1.0, 2.0, 3.0]);

    let said = installation.commanded(&["rebuild", "clickhouse"]).await?;
    assert!(said.contains("the generations are equal: 3 metrics"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_the_table_refuses_is_kept_and_all_others_are_stored() -> Result<()> {
    let mut installation = Installation::start("refused", 0, 1).await?;
    let log = LogWriter::new(&installation)?;
    let clickhouse = installation.clickhouse()?;
    clickhouse.query("ALTER TABLE samples ADD CONSTRAINT unlucky CHECK value != 13").execute().await?;
    // Many of them in one block.
    installation.workers[0].terminate().await?;
    let given: Vec<_> = (0..40).map(|value| Given::plain(f64::from(value))).collect();
    let offsets = log.write(0, &given).await?;
    installation.workers[0].restart()?;
    let said = listed(&installation, 1).await?;
    let source = format!("{}/0/{}", installation.topics().metrics, offsets[13]);
    assert!(said.contains(&source) && said.contains("refused"), "{said}");
    wait::until("all others are stored", async || {
        let (count, sum): (u64, f64) =
            clickhouse.query("SELECT count(), sum(value) FROM points").fetch_one().await?;
        Ok(((count, sum) == (39, 767.0)).then_some(()))
    })
    .await?;

    clickhouse.query("ALTER TABLE samples DROP CONSTRAINT unlucky").execute().await?;
    installation.commanded(&["dead", "retry", &source]).await?;
    wait::until("the retried one is stored", async || {
        let (count, sum): (u64, f64) =
            clickhouse.query("SELECT count(), sum(value) FROM points").fetch_one().await?;
        Ok(((count, sum) == (40, 780.0)).then_some(()))
    })
    .await?;
    // A new generation stores it where it stood first, and drops the retry.
    let said = installation.commanded(&["rebuild", "clickhouse", "--accept-differences"]).await?;
    assert!(said.contains("queries read generation 2"), "{said}");
    let clickhouse = clickhouse.with_database(format!("tidemark_{}_g2", installation.namespace));
    let rebuilt: (u64, f64) = clickhouse.query("SELECT count(), sum(value) FROM points").fetch_one().await?;
    assert_eq!(rebuilt, (40, 780.0));
    Ok(())
}
