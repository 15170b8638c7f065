//! An upgrade under load: each service gets SIGTERM and is replaced once it has exited.
//!
//! Invariants: every metric that was answered 200 is stored exactly once; every service exits within its time
//! limit; no client gets a 5xx except at most [`MAX_UNAVAILABLE`] 503s. A client whose connection is refused or
//! reset goes to the other gateway with the same idempotency key, as the load balancers of `deploy/` and our
//! examples do.

use crate::load::{Load, RETRY_PAUSE};
use e2e::{Client, Installation, Project, Result, wait};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Number of batches that are accepted between two restarts.
const BATCHES_BETWEEN_RESTARTS: usize = 200;
/// A new gateway answers 503 to key lookups until its first connection to Redis is established.
const MAX_UNAVAILABLE: usize = 8;

/// Reads projects until the load stops; counts the successful reads. There is one query API: while it is
/// replaced, connections fail.
async fn read(client: Client, project: Project, load: Arc<Load>, reads: Arc<AtomicUsize>) {
    while !load.is_stopped() {
        if let Ok(response) = client.get("/api/v1/projects", &project.manage_key).await
            && load.record(response.status())
        {
            reads.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// Waits until more batches are accepted and more reads succeed.
async fn wait_for_progress(load: &Load, reads: &AtomicUsize) -> Result<()> {
    let reads_before = reads.load(Ordering::Relaxed);
    load.wait_for_progress(BATCHES_BETWEEN_RESTARTS).await?;
    wait::until("another read succeeds", async || {
        Ok((reads.load(Ordering::Relaxed) > reads_before).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_restart_under_load_loses_and_refuses_nothing() -> Result<()> {
    let mut installation = Installation::start("rolling", 2, 2).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let (load, senders) = Load::start(client.clone(), project.clone());
    let reads = Arc::new(AtomicUsize::new(0));
    let reader = tokio::spawn(read(client, project, load.clone(), reads.clone()));

    wait_for_progress(&load, &reads).await?;
    let Installation { gateways, workers, query, .. } = &mut installation;
    for process in gateways.iter_mut().chain(workers).chain(std::iter::once(query)) {
        let status = process.terminate().await?;
        assert!(status.success(), "exited with {status}; log: {}", process.log());
        process.restart()?;
        process.ready().await?;
        wait_for_progress(&load, &reads).await?;
    }

    load.stop();
    reader.await?;
    senders.check_all_stored_once(&installation.clickhouse()?).await?;
    let unavailable = load.unavailable();
    println!("{} batches accepted, {unavailable} responses of 503", load.accepted());
    assert_eq!(load.unexpected(), 0, "a client got the status {}", load.unexpected());
    assert!(unavailable <= MAX_UNAVAILABLE, "{unavailable} responses of 503");
    Ok(())
}
