//! Gateways and workers are added and removed under load, as an autoscaler does it.
//!
//! Invariants: every metric that was answered 200 is stored exactly once, however often its partition changes
//! workers; the workers share the partitions evenly.

use crate::load::Load;
use e2e::{Installation, Process, Result, wait};

/// Number of batches that are accepted between two changes.
const BATCHES_BETWEEN_CHANGES: usize = 300;
const PARTITIONS: usize = 4;

async fn wait_for_even_assignment(workers: &[Process]) -> Result<()> {
    let share = (PARTITIONS / workers.len()) as f64;
    wait::until(&format!("each of {} workers has {share} partitions", workers.len()), async || {
        for worker in workers {
            if worker.metric("tidemark_ingest_partitions").await? != share {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn scaling_up_and_down_under_load_loses_nothing() -> Result<()> {
    let mut installation = Installation::start("scale", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let (load, senders) = Load::start(client, project);
    load.wait_for_progress(BATCHES_BETWEEN_CHANGES).await?;

    for count in [2, 4] {
        while installation.workers.len() < count {
            installation.add_worker()?;
            installation.add_gateway(&[])?;
        }
        for process in installation.workers.iter_mut().chain(&mut installation.gateways) {
            process.ready().await?;
        }
        load.set_client(installation.client());
        wait_for_even_assignment(&installation.workers).await?;
        load.wait_for_progress(BATCHES_BETWEEN_CHANGES).await?;
    }
    for count in [2, 1] {
        while installation.workers.len() > count {
            for mut leaving in [installation.workers.pop(), installation.gateways.pop()].into_iter().flatten()
            {
                let status = leaving.terminate().await?;
                assert!(status.success(), "exited with {status}; log: {}", leaving.log());
            }
        }
        wait_for_even_assignment(&installation.workers).await?;
        load.wait_for_progress(BATCHES_BETWEEN_CHANGES).await?;
    }

    load.stop();
    senders.check_all_stored_once(&installation.clickhouse()?).await
}
