//! Rebuilds of ClickHouse: a new generation is filled from the log, compared and switched to while metrics are
//! ingested and read.
//!
//! Invariants: no switch to an incomplete generation; every accepted metric is there exactly once afterwards;
//! no generation is dropped while it is read.

use crate::support::{point_counts, send};
use e2e::kafka_log::{LogWriter, TestBatch};
use e2e::{Client, Installation, Project, Result, wait};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Number of points in a generation, and of distinct log positions among them.
async fn counts(installation: &Installation, generation: u32) -> Result<(u64, u64)> {
    let (points, positions, _) = point_counts(&installation.clickhouse_generation(generation)?).await?;
    Ok((points, positions))
}

async fn wait_for_counts(installation: &Installation, generation: u32, count: u64) -> Result<()> {
    wait::until(&format!("generation {generation} has {count} points"), async || {
        Ok((counts(installation, generation).await? == (count, count)).then_some(()))
    })
    .await
}

/// Names of the databases of all generations.
async fn databases(installation: &Installation) -> Result<Vec<String>> {
    let names = installation
        .clickhouse()?
        .with_database("default")
        .query("SELECT name FROM system.databases WHERE startsWith(name, {prefix:String}) ORDER BY name")
        .param("prefix", format!("tidemark_{}_g", installation.namespace))
        .fetch_all()
        .await?;
    Ok(names)
}

/// Sends batches of 100 metrics until stopped; returns the number of accepted metrics.
async fn keep_sending(client: Client, project: Project, stopped: Arc<AtomicBool>) -> u64 {
    let mut accepted = 0_u64;
    for value in 0_u64.. {
        if stopped.load(Ordering::Relaxed) {
            break;
        }
        let metrics: Vec<_> =
            (0..100).map(|index| json!({"metricId": "m", "value": value + index})).collect();
        let body = json!({"projectId": project.project_id, "metrics": metrics}).to_string();
        let response = client.send(0, &project.api_key, body).await;
        accepted += u64::from(response.is_ok_and(|response| response.status() == 200));
    }
    accepted * 100
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuild_during_ingestion_loses_and_duplicates_nothing() -> Result<()> {
    let installation = Installation::start("rebuild", 1, 2).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let stopped = Arc::new(AtomicBool::new(false));
    let sender = tokio::spawn(keep_sending(client.clone(), project.clone(), stopped.clone()));
    wait::until("a point is stored", async || Ok((counts(&installation, 1).await?.0 > 0).then_some(())))
        .await?;

    let output = installation.run_command_ok(&["rebuild", "clickhouse"]).await?;
    assert!(
        output.contains("the generations are equal") && output.contains("queries read generation 2"),
        "{output}"
    );
    let output = installation.run_command_ok(&["generations"]).await?;
    assert!(output.contains("generation 1") && output.contains("_g2  live"), "{output}");
    let refused = installation.run_command(&["generations", "drop", "2"]).await?;
    assert!(!refused.success && refused.stderr.contains("cannot be dropped"), "{refused:?}");
    // Drops generation 1; generation 2 goes on being filled and read.
    let output = installation.run_command_ok(&["rebuild", "clickhouse", "--drop-old"]).await?;
    assert!(output.contains("generation 1 dropped"), "{output}");
    assert_eq!(databases(&installation).await?, [installation.database(2)]);

    stopped.store(true, Ordering::Relaxed);
    let accepted = sender.await?;
    wait::until("generation 2 has all accepted metrics", async || {
        Ok((counts(&installation, 2).await?.0 >= accepted).then_some(()))
    })
    .await?;
    assert_eq!(counts(&installation, 2).await?, (accepted, accepted));
    let catalogue = client.get_json("/api/v1/metrics", &project.manage_key).await?;
    assert_eq!(catalogue["items"][0]["points"], accepted);
    // Generation numbers are never reused.
    let output = installation.run_command_ok(&["rebuild", "clickhouse", "--drop-old"]).await?;
    assert!(
        output.contains("queries read generation 3") && output.contains("generation 2 dropped"),
        "{output}"
    );
    assert_eq!(counts(&installation, 3).await?, (accepted, accepted));
    send(&client, &project, "m", 1).await?;
    wait_for_counts(&installation, 3, accepted + 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn difference_from_the_log_is_found_and_blocks_the_switch() -> Result<()> {
    let mut installation = Installation::start("differs", 0, 1).await?;
    let log = LogWriter::new(&installation)?;
    let batches: Vec<_> = (0..50).map(|value| TestBatch::new(f64::from(value))).collect();
    log.write(0, &batches).await?;
    log.write(1, &batches).await?;
    wait_for_counts(&installation, 1, 100).await?;
    let output = installation.run_command_ok(&["verify"]).await?;
    assert!(output.contains("matches the log: 100 metrics"), "{output}");
    let output = installation
        .run_command_ok(&["verify", "--project", "prj_other", "--from", "2026-01-01T00:00:00Z"])
        .await?;
    assert!(output.contains("0 metrics of 0 projects"), "{output}");

    installation
        .clickhouse()?
        .query("DELETE FROM samples WHERE kind = 'sample' AND value = 7")
        .execute()
        .await?;
    let verified = installation.run_command(&["verify", "--project", "prj_test"]).await?;
    assert!(!verified.success && verified.stdout.contains("prj_test: 98 metrics"), "{verified:?}");
    assert_eq!(databases(&installation).await?, [installation.database(1)]);

    let rebuilt = installation.run_command(&["rebuild", "clickhouse"]).await?;
    assert!(!rebuilt.success && rebuilt.stderr.contains("nothing was switched"), "{rebuilt:?}");
    // The rebuild is resumed; the worker was killed meanwhile.
    installation.workers[0].kill()?;
    installation.workers[0].restart()?;
    let output =
        installation.run_command_ok(&["rebuild", "clickhouse", "--accept-differences", "--drop-old"]).await?;
    assert!(output.contains("resuming generation 2") && output.contains("generation 1 dropped"), "{output}");
    assert_eq!(counts(&installation, 2).await?, (100, 100));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn partition_lost_while_the_worker_is_down_is_refused() -> Result<()> {
    let mut installation = Installation::start("all_gone", 0, 1).await?;
    let log = LogWriter::new(&installation)?;
    log.write(0, &[TestBatch::new(1.0)]).await?;
    wait_for_counts(&installation, 1, 1).await?;
    wait::until("the lag of partition 0 is 0", async || {
        let page = installation.workers[0].metrics_page().await?;
        let mut lines = page.lines().filter(|line| line.starts_with("tidemark_ingest_lag_records{"));
        Ok(lines.any(|line| line.contains("partition=\"0\"") && line.ends_with(" 0")).then_some(()))
    })
    .await?;
    installation.workers[0].terminate().await?;
    installation.clickhouse()?.query("ALTER TABLE samples DETACH PARTITION 0").execute().await?;
    installation.workers[0].restart()?;
    wait::until("the worker refuses the partition", async || {
        Ok(installation.workers[0].log().contains("now has no blocks of this partition").then_some(()))
    })
    .await?;
    assert_eq!(counts(&installation, 1).await?, (0, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuild_waits_for_a_worker_and_says_so() -> Result<()> {
    let mut installation = Installation::start("no_worker", 0, 1).await?;
    let log = LogWriter::new(&installation)?;
    log.write(0, &[TestBatch::new(1.0)]).await?;
    wait_for_counts(&installation, 1, 1).await?;
    let mut worker = installation.workers.remove(0);
    worker.terminate().await?;
    let restart_once_begun = async {
        wait::until("the new generation is listed without workers", async || {
            let output = installation.run_command_ok(&["generations"]).await?;
            Ok(output.contains("_g2  filling  0 workers").then_some(()))
        })
        .await?;
        worker.restart()
    };
    let (output, restarted) =
        tokio::join!(installation.run_command_ok(&["rebuild", "clickhouse"]), restart_once_begun);
    restarted?;
    let output = output?;
    assert!(output.contains("no ingest-worker writes to it"), "{output}");
    assert!(output.contains("the generations are equal: 1 metrics"), "{output}");
    Ok(())
}
