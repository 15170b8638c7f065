//! Locks that let this process handle one request for each idempotency key at a time. A retry thus waits for
//! the first request before it is counted: it costs no quota, and it is not rejected because of the quota
//! that the first one used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// The locks that are held or waited for. Clones share them.
#[derive(Clone, Default)]
pub(super) struct KeyLocks(Arc<Mutex<HashMap<String, Entry>>>);

#[derive(Default)]
struct Entry {
    lock: Arc<AsyncMutex<()>>,
    /// Number of requests that hold the lock or wait for it.
    users: usize,
}

/// Counts as a user of a lock until it is dropped. The last user removes the lock from the map.
struct User {
    locks: KeyLocks,
    name: String,
}

/// Holds the lock until it is dropped.
pub struct KeyLock {
    // Fields are dropped in this order: the lock is released before its entry may be removed.
    _guard: OwnedMutexGuard<()>,
    _user: User,
}

impl KeyLocks {
    /// Waits for the lock called `name`.
    pub(super) async fn acquire(&self, name: String) -> KeyLock {
        let lock = {
            let mut entries = self.entries();
            let entry = entries.entry(name.clone()).or_default();
            entry.users += 1;
            entry.lock.clone()
        };
        let user = User { locks: self.clone(), name };
        KeyLock { _guard: lock.lock_owned().await, _user: user }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let mut entries = self.locks.entries();
        if let Some(entry) = entries.get_mut(&self.name) {
            entry.users -= 1;
            if entry.users == 0 {
                entries.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::poll;
    use std::pin::pin;
    use std::task::Poll;

    #[tokio::test]
    async fn a_lock_has_one_holder_and_unused_locks_are_removed() {
        let locks = KeyLocks::default();
        let first = locks.acquire("a".to_owned()).await;
        let other = locks.acquire("b".to_owned()).await;
        let mut second = pin!(locks.acquire("a".to_owned()));
        assert!(poll!(&mut second).is_pending());
        {
            let mut cancelled = pin!(locks.acquire("a".to_owned()));
            assert!(poll!(&mut cancelled).is_pending());
        }
        drop((first, other));
        let Poll::Ready(second) = poll!(second) else { panic!("the lock is free") };
        drop(second);
        assert!(locks.entries().is_empty());
    }
}
