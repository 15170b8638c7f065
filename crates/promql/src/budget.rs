//! What one query may cost: time, and memory by the values that it makes.

use crate::error::Error;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// So many samples a query may read, all selectors together.
pub const MOST_SAMPLES: usize = 5_000_000;
/// So many series a selector may have.
pub const MOST_SERIES: usize = 5000;
/// So many values a query may make on its way, one for each series and moment: 16 bytes each.
const MOST_VALUES: usize = 10_000_000;
/// So many points a series of the answer may have.
pub const MOST_POINTS: i64 = 11_000;

/// What is left of what a query may cost. It is used by one thread.
#[derive(Debug)]
pub struct Budget {
    deadline: Instant,
    abandoned: Arc<AtomicBool>,
    values: Cell<usize>,
}

/// Ends the evaluation when it is dropped: nobody waits for the answer any more.
#[derive(Debug, Default)]
pub struct Interest(Arc<AtomicBool>);

impl Drop for Interest {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Budget {
    /// A whole one, up to `deadline` and as long as there is `interest`.
    pub fn new(deadline: Instant, interest: &Interest) -> Self {
        Self { deadline, abandoned: interest.0.clone(), values: Cell::new(0) }
    }

    /// Takes the values of `series` at `moments`.
    pub fn spend(&self, series: usize, moments: usize) -> Result<(), Error> {
        let values = self.values.get().saturating_add(series.saturating_mul(moments));
        self.values.set(values);
        if values > MOST_VALUES {
            return Err(Error::Execution(format!(
                "the query makes more than {MOST_VALUES} values on its way: ask for fewer series or for a longer step"
            )));
        }
        self.check()
    }

    /// Whether there is time left.
    pub fn check(&self) -> Result<(), Error> {
        if Instant::now() > self.deadline || self.abandoned.load(Ordering::Relaxed) {
            return Err(Error::Timeout);
        }
        Ok(())
    }
}
