//! Graceful shutdown: SIGTERM or SIGINT cancels a token. Every task watches the token, finishes its work in
//! flight and ends.

use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Maximum time from the signal to the end of the process: 25 s.
pub const GRACE: Duration = Duration::from_secs(25);

/// Ends the process [`GRACE`] after `stop`, even if work is still in progress: a consumer that leaves its
/// group while Kafka is unreachable waits for ever. Use it only in a service that loses nothing by being
/// ended. It runs on a thread of its own, because the runtime's tasks may be what hangs.
pub fn exit_after_grace(stop: CancellationToken) {
    tokio::spawn(async move {
        stop.cancelled().await;
        std::thread::spawn(|| {
            std::thread::sleep(GRACE);
            tracing::warn!("shutdown deadline exceeded; some work was abandoned");
            std::process::exit(0);
        });
    });
}

/// Returns a token that the first SIGTERM or SIGINT cancels. A second signal ends the process at once.
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
            tracing::info!("shutting down: finishing work in flight");
            cancelled.cancel();
        }
    });
    Ok(token)
}
