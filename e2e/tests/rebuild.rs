//! ClickHouse is a projection: a new generation is filled from the log, compared and switched to while metrics come in
//! and are read.
//!
//! What may never happen: a switch to a generation that lacks something; an accepted metric that is missing or there
//! twice afterwards; a generation that is dropped while it is read.

use e2e::log::{Given, LogWriter};
use e2e::{Installation, Result, client, wait};
use reqwest::StatusCode;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Metrics and distinct places of a generation.
async fn counts(installation: &Installation, generation: u32) -> Result<(u64, u64)> {
    let database = format!("tidemark_{}_g{generation}", installation.namespace);
    let clickhouse = installation.clickhouse()?.with_database(database);
    let query = "SELECT count(), uniqExact(partition, offset, index) FROM points";
    Ok(clickhouse.query(query).fetch_one().await?)
}

async fn databases(installation: &Installation) -> Result<Vec<String>> {
    let names = installation
        .clickhouse()?
        .with_database("default")
        .query("SELECT name FROM system.databases WHERE startsWith(name, {prefix:String}) ORDER BY name")
        .param("prefix", format!("tidemark_{}_", installation.namespace))
        .fetch_all()
        .await?;
    Ok(names)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_beside_running_ingestion_loses_and_doubles_nothing() -> Result<()> {
    let installation = Installation::start("rebuild", 1, 2).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let ended = Arc::new(AtomicBool::new(false));
    let sender = tokio::spawn({
        let (client, project, ended) = (client.clone(), project.clone(), ended.clone());
        async move {
            let mut accepted = 0_u64;
            for value in 0_u64.. {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let metrics: Vec<_> =
                    (0..100).map(|index| json!({"metricId": "m", "value": value + index})).collect();
                let body = json!({"projectId": project.project_id, "metrics": metrics}).to_string();
                accepted +=
                    u64::from(client.send(0, &project.api_key, body).await.is_ok_and(|a| a.status() == 200));
            }
            accepted * 100
        }
    });
    wait::until("something is stored", async || Ok((counts(&installation, 1).await?.0 > 0).then_some(())))
        .await?;

    let said = installation.commanded(&["rebuild", "clickhouse"]).await?;
    assert!(
        said.contains("the generations are equal") && said.contains("queries read generation 2"),
        "{said}"
    );
    let said = installation.commanded(&["generations"]).await?;
    assert!(said.contains("generation 1") && said.contains("_g2  read"), "{said}");
    let refused = installation.command(&["generations", "drop", "2"]).await?;
    assert!(!refused.success && refused.err.contains("cannot be dropped"), "{refused:?}");
    // What is left of the rebuild is dropped; the other one goes on being filled and read.
    let said = installation.commanded(&["rebuild", "clickhouse", "--drop-old"]).await?;
    assert!(said.contains("generation 1 is gone"), "{said}");
    assert_eq!(databases(&installation).await?, [format!("tidemark_{}_g2", installation.namespace)]);

    ended.store(true, Ordering::Relaxed);
    let accepted = sender.await?;
    wait::until("all accepted metrics are in the new generation", async || {
        Ok((counts(&installation, 2).await?.0 >= accepted).then_some(()))
    })
    .await?;
    assert_eq!(counts(&installation, 2).await?, (accepted, accepted));
    let read = client.read("/api/v1/metrics", &project.manage_key).await?;
    assert_eq!(read["items"][0]["points"], accepted);
    // A number is never used twice.
    let said = installation.commanded(&["rebuild", "clickhouse", "--drop-old"]).await?;
    assert!(said.contains("queries read generation 3") && said.contains("generation 2 is gone"), "{said}");
    assert_eq!(counts(&installation, 3).await?, (accepted, accepted));
    let body = json!({"projectId": project.project_id, "metricId": "m", "value": 1}).to_string();
    client::expect(client.send(0, &project.api_key, body).await?, StatusCode::OK).await?;
    wait::until("what comes later is stored too", async || {
        Ok((counts(&installation, 3).await? == (accepted + 1, accepted + 1)).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_not_what_the_log_says_is_found_and_not_switched_away_from_unasked() -> Result<()> {
    let mut installation = Installation::start("differs", 0, 1).await?;
    let log = LogWriter::new(&installation)?;
    let given: Vec<_> = (0..50).map(|value| Given::plain(f64::from(value))).collect();
    log.write(0, &given).await?;
    log.write(1, &given).await?;
    wait::until("all is stored", async || Ok((counts(&installation, 1).await?.0 == 100).then_some(())))
        .await?;
    let said = installation.commanded(&["verify"]).await?;
    assert!(said.contains("is what the log says: 100 metrics"), "{said}");
    let said = installation
        .commanded(&["verify", "--project", "prj_other", "--from", "2026-01-01T00:00:00Z"])
        .await?;
    assert!(said.contains("0 metrics of 0 projects"), "{said}");

    installation
        .clickhouse()?
        .query("DELETE FROM samples WHERE kind = 'sample' AND value = 7")
        .execute()
        .await?;
    let found = installation.command(&["verify", "--project", "prj_test"]).await?;
    assert!(!found.success && found.out.contains("prj_test: 98 metrics"), "{found:?}");
    assert_eq!(databases(&installation).await?, [format!("tidemark_{}_g1", installation.namespace)]);

    let found = installation.command(&["rebuild", "clickhouse"]).await?;
    assert!(!found.success && found.err.contains("nothing was switched"), "{found:?}");
    // Broken off there, and gone on with; meanwhile the worker was killed.
    installation.workers[0].kill()?;
    installation.workers[0].restart()?;
    let said =
        installation.commanded(&["rebuild", "clickhouse", "--accept-differences", "--drop-old"]).await?;
    assert!(said.contains("going on with generation 2") && said.contains("generation 1 is gone"), "{said}");
    assert_eq!(counts(&installation, 2).await?, (100, 100));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_gone_while_its_worker_is_new_is_refused() -> Result<()> {
    let mut installation = Installation::start("all_gone", 0, 1).await?;
    let log = LogWriter::new(&installation)?;
    log.write(0, &[Given::plain(1.0)]).await?;
    wait::until("it is stored", async || Ok((counts(&installation, 1).await?.0 == 1).then_some(()))).await?;
    wait::until("its lag is shown to be none", async || {
        let page =
            reqwest::get(format!("{}/metrics", installation.workers[0].ops_url())).await?.text().await?;
        let mut lines = page.lines().filter(|line| line.starts_with("tidemark_ingest_lag_records{"));
        Ok(lines.any(|line| line.contains("partition=\"0\"") && line.ends_with(" 0")).then_some(()))
    })
    .await?;
    installation.workers[0].terminate().await?;
    installation.clickhouse()?.query("ALTER TABLE samples DETACH PARTITION 0").execute().await?;
    installation.workers[0].restart()?;
    wait::until("the worker refuses the partition", async || {
        Ok(installation.workers[0].log().contains("now holds nothing of the partition").then_some(()))
    })
    .await?;
    assert_eq!(counts(&installation, 1).await?, (0, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_without_a_worker_says_so_and_goes_on_when_one_starts() -> Result<()> {
    let mut installation = Installation::start("no_worker", 0, 1).await?;
    let log = LogWriter::new(&installation)?;
    log.write(0, &[Given::plain(1.0)]).await?;
    wait::until("it is stored", async || Ok((counts(&installation, 1).await?.0 == 1).then_some(()))).await?;
    let mut worker = installation.workers.remove(0);
    worker.terminate().await?;
    let begun = async {
        wait::until("the new generation is begun", async || {
            let listed = installation.commanded(&["generations"]).await?;
            Ok(listed.contains("_g2  being filled  0 workers").then_some(()))
        })
        .await?;
        worker.restart()
    };
    let (said, begun) = tokio::join!(installation.commanded(&["rebuild", "clickhouse"]), begun);
    begun?;
    let said = said?;
    assert!(said.contains("no ingest-worker feeds it"), "{said}");
    assert!(said.contains("the generations are equal: 1 metrics"), "{said}");
    Ok(())
}
