//! Applies deletions of metrics and projects to one generation.
//!
//! The worker that owns the first partition applies them to all partitions. It keeps no state of its own: pending deletions
//! follow from the control log ([`ledger`]), and the rows still to erase from the table ([`erase`]). So it may stop
//! anywhere, and two workers that do it at the same time do no harm. Once no row that a deletion covers is left, an event
//! in the control log records that; from then on queries of this generation need not filter the deletion out.

pub mod erase;
pub mod ledger;

use crate::generation::GenerationManager;
use crate::metrics::Metrics;
use crate::store::Store;
use control::control_log::LogError;
use erase::Eraser;
use ledger::DeletionLedger;
use proto::v1::{Deletion, DeletionApplied, Entity, Generation, entity::Kind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The owner of this partition applies deletions. Every topic has it.
pub const DELETER_PARTITION: i32 = 0;
/// Pause between checks for pending deletions.
const CHECK_INTERVAL: Duration = Duration::from_millis(300);
/// Pause between checks for late records of deleted projects.
const LATE_CHECK_INTERVAL: Duration = Duration::from_secs(60);
/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(2);

/// Reason why a deletion was not applied.
#[derive(Debug, thiserror::Error)]
enum DeletionError {
    #[error("ClickHouse: {0}")]
    Store(#[from] clickhouse::error::Error),
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Applies the deletions of one generation.
pub struct Deleter {
    manager: GenerationManager,
    generation: Generation,
    store: Store,
    eraser: Eraser,
    ledger: watch::Receiver<DeletionLedger>,
    metrics: Arc<Metrics>,
}

impl Deleter {
    pub fn new(
        manager: GenerationManager,
        generation: Generation,
        ledger: watch::Receiver<DeletionLedger>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let Generation { database, .. } = &generation;
        Self {
            store: Store::new(&manager.client, database, String::new()),
            eraser: Eraser::new(&manager.client, database),
            manager,
            generation,
            ledger,
            metrics,
        }
    }

    /// Runs until `stop`; retries after failures.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = self.apply_continuously() => {}
            () = stop.cancelled() => {}
        }
        self.metrics.set_pending_deletions(self.generation.number, 0);
    }

    async fn apply_continuously(&self) {
        let generation = self.generation.number;
        let mut late_check = Instant::now();
        loop {
            let mut pause = CHECK_INTERVAL;
            if let Err(error) = self.apply_due().await {
                tracing::warn!(generation, %error, "applying deletions failed; retrying");
                pause = RETRY;
            } else if late_check.elapsed() >= LATE_CHECK_INTERVAL {
                late_check = Instant::now();
                if let Err(error) = self.erase_late_records().await {
                    tracing::warn!(generation, %error, "erasing late records of deleted projects failed; retrying");
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Applies the deletions that are due.
    async fn apply_due(&self) -> Result<(), DeletionError> {
        let number = self.generation.number;
        let pending = self.ledger.borrow().pending(number).count();
        self.metrics.set_pending_deletions(number, pending);
        if pending == 0 {
            return Ok(());
        }
        let heads = self.store.heads().await?;
        let begin = |partition| self.generation.begins.get(&partition).copied().unwrap_or(0);
        let next = |partition| heads.get(&partition).map_or(begin(partition), |head| head + 1);
        let due = self.ledger.borrow().due(number, next);
        if due.is_empty() {
            return Ok(());
        }
        let erased = self.eraser.erase(&due).await?;
        for deletion in &due {
            self.manager.writer.publish(&applied(deletion, number)).await?;
        }
        tracing::info!(generation = number, deletions = due.len(), samples = erased, "applied deletions");
        // Waits until the events come back through the control log; until then the deletions would be found due again.
        let mut ledger = self.ledger.clone();
        let received = ledger.wait_for(|ledger| {
            let pending: Vec<&Deletion> = ledger.pending(number).collect();
            due.iter().all(|applied| !pending.contains(&applied))
        });
        let _ = tokio::time::timeout(RETRY, received).await;
        Ok(())
    }

    /// Erases records of deleted projects that were stored after the deletion was applied.
    async fn erase_late_records(&self) -> Result<(), DeletionError> {
        let number = self.generation.number;
        let deletions = self.ledger.borrow().applied_project_deletions(number);
        let erased = self.eraser.erase(&deletions).await?;
        if erased > 0 {
            tracing::info!(generation = number, samples = erased, "erased late records of deleted projects");
        }
        Ok(())
    }
}

fn applied(deletion: &Deletion, generation: u32) -> Entity {
    let Deletion { project_id, metric_id, deleted_at_ms, .. } = deletion.clone();
    Entity {
        kind: Some(Kind::DeletionApplied(DeletionApplied {
            project_id,
            metric_id,
            generation,
            deleted_at_ms,
        })),
    }
}
