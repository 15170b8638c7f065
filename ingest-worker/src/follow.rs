//! Follows which generations live, and which is read, as the control log says: a change is known within a second.

use crate::generation::{self, GenerationError, Generator};
use accounts::control_log::ControlReader;
use proto::v1::Generations;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const RETRY: Duration = Duration::from_secs(2);

/// The generations; the receiver sees every change until `stop`.
pub fn start(generator: Generator, stop: CancellationToken) -> watch::Receiver<Generations> {
    let (sender, receiver) = watch::channel(Generations::default());
    tokio::spawn(async move {
        loop {
            tokio::select! {
                Err(error) = follow(&generator, &sender) => {
                    tracing::warn!(%error, "the generations cannot be followed; trying again");
                }
                () = stop.cancelled() => return,
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = stop.cancelled() => return,
            }
        }
    });
    receiver
}

async fn follow(
    generator: &Generator,
    sender: &watch::Sender<Generations>,
) -> Result<std::convert::Infallible, GenerationError> {
    let (all, end) = generator.recorded().await?;
    let tell = |all: Generations| {
        sender.send_if_modified(|known| {
            let changed = *known != all;
            *known = all;
            changed
        })
    };
    if let Some(all) = all {
        tell(all);
    }
    let reader = ControlReader::from(&generator.brokers, &generator.topics, end)?;
    loop {
        if let Some(all) = generation::in_event(&reader.next().await?)? {
            tell(all);
        }
    }
}
