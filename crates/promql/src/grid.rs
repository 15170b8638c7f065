//! The steps at which a query is evaluated, and how selectors shift them. All times are Unix milliseconds.

/// Evenly spaced steps, ascending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// The first step.
    pub start: i64,
    /// Distance between two steps; positive.
    pub step: i64,
    /// Number of elements.
    pub count: usize,
}

impl Grid {
    /// Returns the grid of a single step.
    pub fn instant(at: i64) -> Self {
        Self { start: at, step: 1, count: 1 }
    }

    /// Returns the steps from `start` to `end` at distances of `step`.
    pub fn range(start: i64, end: i64, step: i64) -> Self {
        let count = if end < start { 0 } else { (end - start) / step + 1 };
        Self { start, step, count: usize::try_from(count).unwrap_or(usize::MAX) }
    }

    /// Returns the steps.
    pub fn times(self) -> impl Iterator<Item = i64> {
        (0..self.count as i64).map(move |i| self.start + i * self.step)
    }

    /// Returns the last step.
    pub fn last(self) -> i64 {
        self.start + (self.count as i64 - 1).max(0) * self.step
    }
}

/// Time shift of a selector by `@` and `offset`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// The time of `@`.
    pub at: Option<i64>,
    /// The `offset` in milliseconds; positive values look back.
    pub offset: i64,
}

impl Timing {
    /// Returns the time that a selector reads at the step `time`.
    pub fn shift(self, time: i64) -> i64 {
        self.at.unwrap_or(time) - self.offset
    }
}

/// Returns the steps at which a subquery's expression is evaluated so that it covers the left-open `range` before each step
/// of `outer`. They are multiples of the subquery's step.
pub fn subquery(outer: Grid, timing: Timing, range: i64, step: i64) -> Grid {
    let after = timing.shift(outer.start) - range;
    let start = (after.div_euclid(step) + 1) * step;
    Grid::range(start, timing.shift(outer.last()), step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subquery_steps_are_multiples_of_its_step_within_its_range() {
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
