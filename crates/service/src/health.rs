//! Readiness ("the service can serve") and liveness ("the service makes progress").
//!
//! Readiness is a set of named conditions, all of which must hold. It is false as soon as shutdown begins.
//! Liveness is a set of named watches: work that has started must make progress within the watch's limit. A
//! service with nothing to do is alive; one whose work is stuck is not, even if it still answers requests.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Health of one process. Clones share state.
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

/// One condition of readiness; initially false.
#[derive(Clone)]
pub struct Condition(Arc<AtomicBool>);

impl Condition {
    /// Sets whether the condition holds now.
    pub fn set(&self, holds: bool) {
        self.0.store(holds, Ordering::Release);
    }
}

/// Progress watch of one piece of work; initially idle. Dropping the last clone removes the watch.
#[derive(Clone)]
pub struct Watch {
    started: Instant,
    /// Milliseconds from `started` to the last progress, plus one; 0 while idle.
    last_progress: Arc<AtomicU64>,
}

impl Watch {
    /// Records that work started or made progress.
    pub fn progress(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.last_progress.store(now + 1, Ordering::Release);
    }

    /// Records that there is no work, so the lack of progress is not a fault.
    pub fn idle(&self) {
        self.last_progress.store(0, Ordering::Release);
    }
}

impl Health {
    /// Adds a condition that must hold for the service to be ready.
    pub fn condition(&self, name: &str) -> Condition {
        let flag = Arc::new(AtomicBool::new(false));
        lock(&self.0.conditions).push((name.to_owned(), flag.clone()));
        Condition(flag)
    }

    /// Adds a watch: from its first progress until it is idle, the process counts as stuck after `limit`
    /// without progress.
    pub fn watch(&self, name: &str, limit: Duration) -> Watch {
        let last_progress = Arc::new(AtomicU64::new(0));
        lock(&self.0.watches).push((name.to_owned(), limit, last_progress.clone()));
        Watch { started: self.0.started, last_progress }
    }

    /// Withdraws readiness for good, because shutdown has begun.
    pub fn stop(&self) {
        self.0.stopping.store(true, Ordering::Release);
    }

    /// Returns the names of the conditions that do not hold, with `stopping` first; empty if the service is
    /// ready.
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

    /// Returns one message per stuck watch; empty if the process is alive.
    pub fn stuck(&self) -> Vec<String> {
        let now = self.0.started.elapsed();
        let mut watches = lock(&self.0.watches);
        watches.retain(|(_, _, last_progress)| Arc::strong_count(last_progress) > 1);
        watches
            .iter()
            .filter(|(_, limit, last_progress)| match last_progress.load(Ordering::Acquire) {
                0 => false,
                progress => now.saturating_sub(Duration::from_millis(progress - 1)) > *limit,
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
    fn ready_while_all_conditions_hold_and_not_stopping() {
        let health = Health::default();
        let kafka = health.condition("kafka");
        assert_eq!(health.not_ready(), ["kafka"]);
        kafka.set(true);
        assert!(health.not_ready().is_empty());
        health.stop();
        assert_eq!(health.not_ready(), ["stopping"]);
    }

    #[test]
    fn stalled_work_is_stuck_and_idle_work_is_not() {
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
