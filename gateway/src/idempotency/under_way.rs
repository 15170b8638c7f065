//! The attempts of this process that are under way: their ends can be waited for without asking Redis.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The attempts. Clones share them.
#[derive(Clone, Default)]
pub(super) struct UnderWay(Arc<Mutex<HashMap<Uuid, CancellationToken>>>);

/// One of them; it ends when this is dropped.
pub(super) struct Attempt {
    all: UnderWay,
    name: Uuid,
}

impl UnderWay {
    /// An attempt begins.
    pub(super) fn begin(&self, name: Uuid) -> Attempt {
        self.lock().insert(name, CancellationToken::new());
        Attempt { all: self.clone(), name }
    }

    /// Is cancelled when the attempt ends; none if it is not under way here.
    pub(super) fn end_of(&self, name: Uuid) -> Option<CancellationToken> {
        self.lock().get(&name).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let end = self.all.lock().remove(&self.name);
        if let Some(end) = end {
            end.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_for_an_attempt_hears_of_its_end() {
        let all = UnderWay::default();
        let name = Uuid::from_u128(1);
        assert!(all.end_of(name).is_none());
        let attempt = all.begin(name);
        let end = all.end_of(name).expect("it is under way");
        assert!(!end.is_cancelled());
        drop(attempt);
        end.cancelled().await;
        assert!(all.end_of(name).is_none());
    }
}
