//! The moments at which a query is evaluated, and how selectors shift them. All times are Unix milliseconds.

/// Evenly spaced moments, ascending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// The first moment.
    pub start: i64,
    /// Between two moments; positive.
    pub step: i64,
    /// How many.
    pub count: usize,
}

impl Grid {
    /// One moment.
    pub fn instant(at: i64) -> Self {
        Self { start: at, step: 1, count: 1 }
    }

    /// From `start` on every `step`, as long as it is not after `end`.
    pub fn range(start: i64, end: i64, step: i64) -> Self {
        let count = if end < start { 0 } else { (end - start) / step + 1 };
        Self { start, step, count: usize::try_from(count).unwrap_or(usize::MAX) }
    }

    /// The moments.
    pub fn times(self) -> impl Iterator<Item = i64> {
        (0..self.count as i64).map(move |i| self.start + i * self.step)
    }

    /// The last moment.
    pub fn last(self) -> i64 {
        self.start + (self.count as i64 - 1).max(0) * self.step
    }
}

/// What `@` and `offset` make of a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// The moment that `@` names.
    pub at: Option<i64>,
    /// So much earlier is looked.
    pub offset: i64,
}

impl Timing {
    /// When is looked where the query is evaluated at `time`.
    pub fn shift(self, time: i64) -> i64 {
        self.at.unwrap_or(time) - self.offset
    }
}

/// The moments at which a subquery's expression is evaluated so that it covers the left-open `range` before each moment
/// of `outer`: multiples of its step.
pub fn subquery(outer: Grid, timing: Timing, range: i64, step: i64) -> Grid {
    let after = timing.shift(outer.start) - range;
    let start = (after.div_euclid(step) + 1) * step;
    Grid::range(start, timing.shift(outer.last()), step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subquery_is_evaluated_at_multiples_of_its_step_after_the_start_of_its_range() {
        let outer = Grid::range(1000, 1300, 100);
        assert_eq!(subquery(outer, Timing::default(), 200, 50), Grid { start: 850, step: 50, count: 10 });
        assert_eq!(
            subquery(Grid::instant(1010), Timing::default(), 200, 50),
            Grid { start: 850, step: 50, count: 4 }
        );
        let shifted = Timing { at: Some(500), offset: -20 };
        assert_eq!(subquery(outer, shifted, 100, 60), Grid { start: 480, step: 60, count: 1 });
    }
}
