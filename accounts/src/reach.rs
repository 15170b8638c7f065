//! Whether to ask a Redis that did not answer: an outage costs one request its patience now and then, not every one.

use std::sync::atomic::{AtomicU64, Ordering};

/// How long Redis is left alone after it did not answer.
const PAUSE_MS: u64 = 500;

/// Whether Redis answers. After it did not, it is left alone for [`PAUSE_MS`]; then one request at a time tries.
#[derive(Default)]
pub(crate) struct Reach {
    /// When to try again, milliseconds on the caller's clock; 0 while it answers.
    again_at_ms: AtomicU64,
}

impl Reach {
    /// Whether to ask Redis at `now_ms`.
    pub(crate) fn may_ask(&self, now_ms: u64) -> bool {
        let again_at_ms = self.again_at_ms.load(Ordering::Relaxed);
        again_at_ms == 0
            || (now_ms >= again_at_ms
                && self
                    .again_at_ms
                    .compare_exchange(again_at_ms, pause(now_ms), Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok())
    }

    /// It answered; tells whether it had not.
    pub(crate) fn answered(&self) -> bool {
        self.again_at_ms.load(Ordering::Relaxed) != 0 && self.again_at_ms.swap(0, Ordering::Relaxed) != 0
    }

    /// It did not answer; tells whether it had.
    pub(crate) fn failed(&self, now_ms: u64) -> bool {
        self.again_at_ms.swap(pause(now_ms), Ordering::Relaxed) == 0
    }
}

fn pause(now_ms: u64) -> u64 {
    now_ms + PAUSE_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failure_one_at_a_time_tries_until_there_is_an_answer() {
        let reach = Reach::default();
        assert!(reach.may_ask(1) && reach.may_ask(1));
        assert!(reach.failed(1) && !reach.failed(2), "the first failure is told apart");
        assert!(!reach.may_ask(1 + PAUSE_MS), "it is left alone after the last failure");
        assert!(reach.may_ask(2 + PAUSE_MS) && !reach.may_ask(2 + PAUSE_MS));
        assert!(reach.answered() && !reach.answered());
        assert!(reach.may_ask(3 + PAUSE_MS) && reach.may_ask(3 + PAUSE_MS));
    }
}
