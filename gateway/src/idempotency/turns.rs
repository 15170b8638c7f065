//! One request at a time for each idempotency key, within this process: a repeat of a request that is under way waits before
//! it is counted, so it neither costs anything nor is refused for what the first one costs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Mutex as Lock, OwnedMutexGuard};

/// Who is in line. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<HashMap<String, Line>>>);

#[derive(Default)]
struct Line {
    lock: Arc<Lock<()>>,
    /// How many stand in it, the first included.
    length: usize,
}

/// A place in line; it is left when this is dropped.
struct Place {
    turns: Turns,
    name: String,
}

/// The turn of the first in line; it ends when this is dropped.
pub struct Turn {
    // Dropped in this order: who is next finds the line still there.
    _first: OwnedMutexGuard<()>,
    _place: Place,
}

impl Turns {
    /// Waits for the turn of one that is called `name`.
    pub(super) async fn take(&self, name: String) -> Turn {
        let lock = {
            let mut lines = self.lines();
            let line = lines.entry(name.clone()).or_default();
            line.length += 1;
            line.lock.clone()
        };
        let place = Place { turns: self.clone(), name };
        Turn { _first: lock.lock_owned().await, _place: place }
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<String, Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = self.turns.lines();
        if let Some(line) = lines.get_mut(&self.name) {
            line.length -= 1;
            if line.length == 0 {
                lines.remove(&self.name);
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
    async fn one_of_a_name_goes_at_a_time_and_nothing_is_remembered_of_those_who_went() {
        let turns = Turns::default();
        let first = turns.take("a".to_owned()).await;
        let other = turns.take("b".to_owned()).await;
        let mut second = pin!(turns.take("a".to_owned()));
        assert!(poll!(&mut second).is_pending());
        {
            let mut leaves = pin!(turns.take("a".to_owned()));
            assert!(poll!(&mut leaves).is_pending());
        }
        drop((first, other));
        let Poll::Ready(second) = poll!(second) else { panic!("its turn has come") };
        drop(second);
        assert!(turns.lines().is_empty());
    }
}
