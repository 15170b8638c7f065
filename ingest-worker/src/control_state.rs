//! Follows the control log for the state that steers the worker: the generations, which of them is live, and the
//! deletions. A change is known within a second.

use crate::deletion::ledger::DeletionLedger;
use crate::generation::{self, GenerationError, GenerationManager};
use control::control_log::{self, ControlReader};
use proto::v1::Generations;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const RETRY: Duration = Duration::from_secs(2);

/// Receivers of the state; each sees every change.
#[derive(Clone)]
pub struct ControlState {
    pub generations: watch::Receiver<Generations>,
    pub deletions: watch::Receiver<DeletionLedger>,
}

struct Senders {
    generations: watch::Sender<Generations>,
    deletions: watch::Sender<DeletionLedger>,
}

/// Follows the control log in a task of its own until `stop`.
pub fn follow(manager: GenerationManager, stop: CancellationToken) -> ControlState {
    let (generations, generations_receiver) = watch::channel(Generations::default());
    let (deletions, deletions_receiver) = watch::channel(DeletionLedger::default());
    let senders = Senders { generations, deletions };
    tokio::spawn(async move {
        loop {
            tokio::select! {
                Err(error) = follow_until_error(&manager, &senders) => {
                    tracing::warn!(%error, "control log could not be followed; retrying");
                }
                () = stop.cancelled() => return,
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = stop.cancelled() => return,
            }
        }
    });
    ControlState { generations: generations_receiver, deletions: deletions_receiver }
}

async fn follow_until_error(
    manager: &GenerationManager,
    senders: &Senders,
) -> Result<Infallible, GenerationError> {
    let (events, end) = control_log::snapshot(&manager.brokers, &manager.topics).await?;
    let update_generations = |all: Generations| {
        senders.generations.send_if_modified(|current| {
            let changed = *current != all;
            *current = all;
            changed
        })
    };
    if let Some(all) = generation::find_in_events(&events)? {
        update_generations(all);
    }
    senders.deletions.send_replace(DeletionLedger::from_events(&events)?);
    let reader = ControlReader::starting_at(&manager.brokers, &manager.topics, end)?;
    loop {
        let event = reader.next().await?;
        if let Some(all) = generation::from_event(&event)? {
            update_generations(all);
        }
        let mut applied = Ok(false);
        senders.deletions.send_if_modified(|ledger| {
            applied = ledger.apply_event(&event);
            matches!(applied, Ok(true))
        });
        applied?;
    }
}
