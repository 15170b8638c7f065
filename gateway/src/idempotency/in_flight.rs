//! The publish attempts of this process that are in flight. A retry can wait for the end of such an attempt
//! without polling Redis.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The attempts in flight, by id. Clones share them.
#[derive(Clone, Default)]
pub(super) struct InFlightAttempts(Arc<Mutex<HashMap<Uuid, CancellationToken>>>);

/// An attempt in flight. It ends when this is dropped.
pub(super) struct Attempt {
    attempts: InFlightAttempts,
    id: Uuid,
}

impl InFlightAttempts {
    pub(super) fn begin(&self, id: Uuid) -> Attempt {
        self.lock().insert(id, CancellationToken::new());
        Attempt { attempts: self.clone(), id }
    }

    /// Returns a token that is cancelled when the attempt ends, or `None` if it is not in flight in this
    /// process.
    pub(super) fn end_of(&self, id: Uuid) -> Option<CancellationToken> {
        self.lock().get(&id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let end = self.attempts.lock().remove(&self.id);
        if let Some(end) = end {
            end.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_an_attempt_wakes_waiters() {
        let attempts = InFlightAttempts::default();
        let id = Uuid::from_u128(1);
        assert!(attempts.end_of(id).is_none());
        let attempt = attempts.begin(id);
        let end = attempts.end_of(id).expect("in flight");
        assert!(!end.is_cancelled());
        drop(attempt);
        end.cancelled().await;
        assert!(attempts.end_of(id).is_none());
    }
}
