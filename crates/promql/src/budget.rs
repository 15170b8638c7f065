//! Limits on the cost of one query: time, and memory in terms of the values that it creates.

use crate::error::Error;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Maximum number of samples that a query may read with all its selectors.
pub const MAX_SAMPLES: usize = 5_000_000;
/// Maximum number of series that a selector may match.
pub const MAX_SERIES: usize = 5000;
/// Maximum number of intermediate values of a query, one per series and step; 16 bytes each.
const MAX_VALUES: usize = 10_000_000;
/// Maximum number of points per series in an answer.
pub const MAX_POINTS: i64 = 11_000;

/// Remaining budget of a query. It is used by one thread.
#[derive(Debug)]
pub struct Budget {
    deadline: Instant,
    abandoned: Arc<AtomicBool>,
    values: Cell<usize>,
}

/// Cancels the evaluation when it is dropped, because nobody waits for the answer any more.
#[derive(Debug, Default)]
pub struct Interest(Arc<AtomicBool>);

impl Drop for Interest {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Budget {
    /// Returns a full budget that ends at `deadline` or when `interest` is dropped.
    pub fn new(deadline: Instant, interest: &Interest) -> Self {
        Self { deadline, abandoned: interest.0.clone(), values: Cell::new(0) }
    }

    /// Charges the values of `series` series at `steps` steps.
    pub fn spend(&self, series: usize, steps: usize) -> Result<(), Error> {
        let values = self.values.get().saturating_add(series.saturating_mul(steps));
        self.values.set(values);
        if values > MAX_VALUES {
            return Err(Error::Execution(format!(
                "the query computes more than {MAX_VALUES} intermediate values: select fewer series or use a longer step"
            )));
        }
        self.check()
    }

    /// Fails if no time is left.
    pub fn check(&self) -> Result<(), Error> {
        if Instant::now() > self.deadline || self.abandoned.load(Ordering::Relaxed) {
            return Err(Error::Timeout);
        }
        Ok(())
    }
}
