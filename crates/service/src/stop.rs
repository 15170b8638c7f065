//! An orderly stop: SIGTERM or SIGINT cancels a token; whoever works watches it, finishes what is in flight, and leaves.

use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long a service may take from the signal to its end.
pub const GRACE: Duration = Duration::from_secs(25);

/// Ends the process [`GRACE`] after `stop`, whatever it still waits for: a client that takes its leave of a Kafka that is
/// away waits for ever. Only for services that lose nothing by it. Its thread is its own, for tasks may be what hangs.
pub fn end_in_time(stop: CancellationToken) {
    tokio::spawn(async move {
        stop.cancelled().await;
        std::thread::spawn(|| {
            std::thread::sleep(GRACE);
            tracing::warn!("stopped without having taken leave of everything: it took too long");
            std::process::exit(0);
        });
    });
}

/// A token that is cancelled by the first SIGTERM or SIGINT. A second signal ends the process at once.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let cancelled = token.clone();
    tokio::spawn(async move {
        for exit in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if exit {
                std::process::exit(130);
            }
            tracing::info!("stopping: finishing what is in flight");
            cancelled.cancel();
        }
    });
    Ok(token)
}
