//! Carries deletions out in one generation.
//!
//! The worker that looks after the first partition does it for all of them. It keeps nothing in mind: what is open follows
//! from the control log ([`ledger`]), what is left to do from the table ([`erase`]). So it may end anywhere, and two that
//! do it at once do no harm. When nothing of a deletion is left, the control log is told; from then on queries of this
//! generation need not pass over it any more.

pub mod erase;
pub mod ledger;

use crate::generation::Generator;
use crate::metrics::Metrics;
use crate::store::Store;
use accounts::control_log::LogError;
use erase::Eraser;
use ledger::Ledger;
use proto::v1::{Deletion, DeletionApplied, Entity, Generation, entity::Kind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The partition whose owner carries deletions out; every topic has it.
pub const OWNERS_PARTITION: i32 = 0;
/// Between two looks at what is open.
const LOOK: Duration = Duration::from_millis(300);
/// Between two looks for what came late of removed projects.
const LATE: Duration = Duration::from_secs(60);
/// So long after something failed.
const RETRY: Duration = Duration::from_secs(2);

/// Why a deletion was not carried out.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("ClickHouse: {0}")]
    Store(#[from] clickhouse::error::Error),
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Carries out the deletions of one generation.
pub struct Deleter {
    generator: Generator,
    generation: Generation,
    store: Store,
    eraser: Eraser,
    ledger: watch::Receiver<Ledger>,
    metrics: Arc<Metrics>,
}

impl Deleter {
    /// The deleter of `generation`.
    pub fn new(
        generator: Generator,
        generation: Generation,
        ledger: watch::Receiver<Ledger>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let Generation { database, .. } = &generation;
        Self {
            store: Store::new(&generator.client, database, String::new()),
            eraser: Eraser::new(&generator.client, database),
            generator,
            generation,
            ledger,
            metrics,
        }
    }

    /// Runs until `stop`; what fails is said, and tried again.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = self.keep_deleting() => {}
            () = stop.cancelled() => {}
        }
        self.metrics.deletions(self.generation.number, 0);
    }

    async fn keep_deleting(&self) {
        let mut late = Instant::now();
        loop {
            let mut pause = LOOK;
            if let Err(error) = self.apply().await {
                tracing::warn!(generation = self.generation.number, %error, "deletions could not be applied yet");
                pause = RETRY;
            } else if late.elapsed() >= LATE {
                late = Instant::now();
                if let Err(error) = self.erase_late().await {
                    tracing::warn!(generation = self.generation.number, %error, "nothing late was looked for");
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Applies what is due.
    async fn apply(&self) -> Result<(), Failed> {
        let number = self.generation.number;
        let open = self.ledger.borrow().open(number).count();
        self.metrics.deletions(number, open);
        if open == 0 {
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
            self.generator.writer.publish(&applied(deletion, number)).await?;
        }
        tracing::info!(generation = number, deletions = due.len(), samples = erased, "applied deletions");
        // The log tells us as it tells all others; until then it would be found due once more.
        let mut ledger = self.ledger.clone();
        let known = ledger.wait_for(|ledger| {
            let open: Vec<&Deletion> = ledger.open(number).collect();
            due.iter().all(|done| !open.contains(&done))
        });
        let _ = tokio::time::timeout(RETRY, known).await;
        Ok(())
    }

    /// Erases what came of removed projects after they had gone.
    async fn erase_late(&self) -> Result<(), Failed> {
        let removed = self.ledger.borrow().removed(self.generation.number);
        let erased = self.eraser.erase(&removed).await?;
        if erased > 0 {
            tracing::info!(generation = self.generation.number, samples = erased, "erased what came late");
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
