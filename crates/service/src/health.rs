//! Health: *ready* is "it can serve", *live* is "it makes progress".
//!
//! Readiness is a set of named conditions, all of which must hold, and is false from the moment that a stop was asked
//! for. Liveness is a set of named watches: work that has begun must move on within a stated time. A service with
//! nothing to do is alive; one that is stuck is not, whatever else it answers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The health of one process. Clones share it.
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    started: Instant,
    stopping: AtomicBool,
    conditions: Mutex<Vec<(String, Arc<AtomicBool>)>>,
    watches: Mutex<Vec<(String, Duration, Arc<AtomicU64>)>>,
}

impl Default for Health {
    fn default() -> Self {
        Self(Arc::new(Inner {
            started: Instant::now(),
            stopping: AtomicBool::new(false),
            conditions: Mutex::default(),
            watches: Mutex::default(),
        }))
    }
}

/// One of the things that must hold before a service is ready. Begins as false.
#[derive(Clone)]
pub struct Condition(Arc<AtomicBool>);

impl Condition {
    /// States whether it holds now.
    pub fn set(&self, holds: bool) {
        self.0.store(holds, Ordering::Release);
    }
}

/// Watches one piece of work. Begins idle. Dropping the last clone ends the watch.
#[derive(Clone)]
pub struct Watch {
    started: Instant,
    /// Milliseconds since `started` at the last sign of progress, plus one; 0 while idle.
    since: Arc<AtomicU64>,
}

impl Watch {
    /// Work began or moved on.
    pub fn progress(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.since.store(now + 1, Ordering::Release);
    }

    /// There is nothing to do.
    pub fn idle(&self) {
        self.since.store(0, Ordering::Release);
    }
}

impl Health {
    /// Adds a condition of readiness.
    pub fn condition(&self, name: &str) -> Condition {
        let flag = Arc::new(AtomicBool::new(false));
        lock(&self.0.conditions).push((name.to_owned(), flag.clone()));
        Condition(flag)
    }

    /// Adds a watch: once work has begun, the process counts as stuck if nothing moves for `limit`.
    pub fn watch(&self, name: &str, limit: Duration) -> Watch {
        let since = Arc::new(AtomicU64::new(0));
        lock(&self.0.watches).push((name.to_owned(), limit, since.clone()));
        Watch { started: self.0.started, since }
    }

    /// From here on the service is not ready.
    pub fn stop(&self) {
        self.0.stopping.store(true, Ordering::Release);
    }

    /// Why the service is not ready; empty if it is.
    pub fn not_ready(&self) -> Vec<String> {
        let mut reasons: Vec<String> = lock(&self.0.conditions)
            .iter()
            .filter(|(_, holds)| !holds.load(Ordering::Acquire))
            .map(|(name, _)| name.clone())
            .collect();
        if self.0.stopping.load(Ordering::Acquire) {
            reasons.insert(0, "stopping".to_owned());
        }
        reasons
    }

    /// What is stuck; empty if all moves on.
    pub fn stuck(&self) -> Vec<String> {
        let now = self.0.started.elapsed();
        let mut watches = lock(&self.0.watches);
        watches.retain(|(_, _, since)| Arc::strong_count(since) > 1);
        watches
            .iter()
            .filter(|(_, limit, since)| match since.load(Ordering::Acquire) {
                0 => false,
                moved => now.saturating_sub(Duration::from_millis(moved - 1)) > *limit,
            })
            .map(|(name, limit, _)| format!("{name}: no progress for {} s", limit.as_secs()))
            .collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_only_while_every_condition_holds_and_no_stop_was_asked_for() {
        let health = Health::default();
        let kafka = health.condition("kafka");
        assert_eq!(health.not_ready(), ["kafka"]);
        kafka.set(true);
        assert!(health.not_ready().is_empty());
        health.stop();
        assert_eq!(health.not_ready(), ["stopping"]);
    }

    #[test]
    fn work_that_stands_still_is_stuck_and_idleness_is_not() {
        let health = Health::default();
        let idle = health.watch("idle", Duration::ZERO);
        let busy = health.watch("busy", Duration::ZERO);
        let gone = health.watch("gone", Duration::ZERO);
        idle.progress();
        idle.idle();
        gone.progress();
        drop(gone);
        busy.progress();
        while health.stuck().is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(health.stuck(), ["busy: no progress for 0 s"]);
    }
}
