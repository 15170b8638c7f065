//! Follows what the control log says of the store: which generations live, which is read, and what is deleted. A change
//! is known within a second.

use crate::deletion::ledger::Ledger;
use crate::generation::{self, GenerationError, Generator};
use accounts::control_log::{self, ControlReader};
use proto::v1::Generations;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const RETRY: Duration = Duration::from_secs(2);

/// What is followed. The receivers see every change.
#[derive(Clone)]
pub struct Followed {
    /// The generations.
    pub generations: watch::Receiver<Generations>,
    /// The deletions.
    pub deletions: watch::Receiver<Ledger>,
}

struct Senders {
    generations: watch::Sender<Generations>,
    deletions: watch::Sender<Ledger>,
}

/// Follows the log until `stop`.
pub fn start(generator: Generator, stop: CancellationToken) -> Followed {
    let (generations, generations_known) = watch::channel(Generations::default());
    let (deletions, deletions_known) = watch::channel(Ledger::default());
    let senders = Senders { generations, deletions };
    tokio::spawn(async move {
        loop {
            tokio::select! {
                Err(error) = follow(&generator, &senders) => {
                    tracing::warn!(%error, "the control log cannot be followed; trying again");
                }
                () = stop.cancelled() => return,
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = stop.cancelled() => return,
            }
        }
    });
    Followed { generations: generations_known, deletions: deletions_known }
}

async fn follow(
    generator: &Generator,
    senders: &Senders,
) -> Result<std::convert::Infallible, GenerationError> {
    let (events, end) = control_log::snapshot(&generator.brokers, &generator.topics).await?;
    let tell = |all: Generations| {
        senders.generations.send_if_modified(|known| {
            let changed = *known != all;
            *known = all;
            changed
        })
    };
    if let Some(all) = generation::in_events(&events)? {
        tell(all);
    }
    senders.deletions.send_replace(Ledger::of(&events)?);
    let reader = ControlReader::from(&generator.brokers, &generator.topics, end)?;
    loop {
        let event = reader.next().await?;
        if let Some(all) = generation::in_event(&event)? {
            tell(all);
        }
        let mut taken = Ok(false);
        senders.deletions.send_if_modified(|ledger| {
            taken = ledger.take(&event);
            matches!(taken, Ok(true))
        });
        taken?;
    }
}
