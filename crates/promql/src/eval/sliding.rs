//! Summaries of windows that move forward. Each element is processed a constant number of times, however long windows are.
//!
//! The technique is a queue of two stacks (Tangwongsan, Hirzel, Schneider: "Low-latency sliding-window aggregation",
//! DEBS 2017): the older part of a window has a summary for each of its suffixes, the newer part has one summary.
//! Nothing is ever subtracted, so sums lose no digits to elements that have left the window.

/// Summary of a sequence of elements.
pub trait Summary: Copy {
    /// Returns the summary of the elements of `self` followed by those of `later`.
    fn join(self, later: Self) -> Self;
}

/// Summary of a window `first..end` of elements, which are identified by their indices.
pub struct Sliding<S> {
    /// `older[k]` summarizes the elements from `middle - 1 - k` to `middle`.
    older: Vec<S>,
    middle: usize,
    newer: Option<S>,
    end: usize,
}

impl<S: Summary> Sliding<S> {
    /// Returns an empty window at the first element.
    pub fn new() -> Self {
        Self { older: Vec::new(), middle: 0, newer: None, end: 0 }
    }

    /// Moves the window to `first..end` and returns its summary; none if it is empty. Neither bound may move back.
    pub fn advance(&mut self, first: usize, end: usize, element: impl Fn(usize) -> S) -> Option<S> {
        if first >= self.end {
            (self.middle, self.end, self.newer) = (first, first, None);
            self.older.clear();
        }
        for index in self.end..end {
            let one = element(index);
            self.newer = Some(self.newer.map_or(one, |newer| newer.join(one)));
        }
        self.end = self.end.max(end);
        if first > self.middle {
            self.older.clear();
            for index in (first..self.end).rev() {
                let one = element(index);
                self.older.push(self.older.last().map_or(one, |later| one.join(*later)));
            }
            (self.middle, self.newer) = (self.end, None);
        }
        self.older.truncate(self.middle - first);
        match (self.older.last().copied(), self.newer) {
            (Some(older), Some(newer)) => Some(older.join(newer)),
            (older, newer) => older.or(newer),
        }
    }
}

/// A sum with compensation of rounding errors (Neumaier 1974), so that it does not depend on how it was split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sum {
    total: f64,
    lost: f64,
}

impl Sum {
    /// Returns the sum of one number.
    pub fn of(value: f64) -> Self {
        Self { total: value, lost: 0.0 }
    }

    /// Returns the compensated sum.
    pub fn value(self) -> f64 {
        // If the sum overflowed, the compensation is meaningless.
        if self.total.is_finite() { self.total + self.lost } else { self.total }
    }
}

impl Summary for Sum {
    fn join(self, later: Self) -> Self {
        let total = self.total + later.total;
        let lost = if self.total.abs() >= later.total.abs() {
            (self.total - total) + later.total
        } else {
            (later.total - total) + self.total
        };
        Self { total, lost: self.lost + later.lost + lost }
    }
}

/// The least number; NaN only if all are NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Least(pub f64);

impl Summary for Least {
    fn join(self, later: Self) -> Self {
        Self(self.0.min(later.0))
    }
}

/// The greatest number; NaN only if all are NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Greatest(pub f64);

impl Summary for Greatest {
    fn join(self, later: Self) -> Self {
        Self(self.0.max(later.0))
    }
}

/// Count, means and centred second moments of pairs (Chan, Golub, LeVeque: "Updating formulae and a pairwise algorithm for
/// computing sample variances", 1979).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// Number of elements.
    pub count: f64,
    /// The mean of x.
    pub mean_x: f64,
    /// The mean of y.
    pub mean_y: f64,
    /// Sum of squared distances of x from its mean.
    pub xx: f64,
    /// Sum of products of distances.
    pub xy: f64,
    /// Sum of squared distances of y from its mean.
    pub yy: f64,
}

impl Moments {
    /// Returns the moments of one pair.
    pub fn of(x: f64, y: f64) -> Self {
        // Zero, or NaN if y is not finite, so that the variance is NaN too.
        let zero = y * 0.0;
        Self { count: 1.0, mean_x: x, mean_y: y, xx: 0.0, xy: zero, yy: zero }
    }
}

impl Summary for Moments {
    fn join(self, later: Self) -> Self {
        let count = self.count + later.count;
        let (dx, dy) = (later.mean_x - self.mean_x, later.mean_y - self.mean_y);
        let (share, weight) = (later.count / count, self.count * later.count / count);
        Self {
            count,
            mean_x: self.mean_x + dx * share,
            mean_y: self.mean_y + dy * share,
            xx: self.xx + later.xx + dx * dx * weight,
            xy: self.xy + later.xy + dx * dy * weight,
            yy: self.yy + later.yy + dy * dy * weight,
        }
    }
}

/// Quantiles of a window: a Fenwick tree (Fenwick 1994) that counts the window's numbers by their rank in the whole series.
pub struct Ranks {
    /// The numbers of the series, sorted; NaN sorts first.
    ordered: Vec<f64>,
    /// Rank of each element.
    ranks: Vec<usize>,
    tree: Vec<usize>,
    first: usize,
    end: usize,
}

impl Ranks {
    /// Returns an empty window on `values`.
    pub fn new(values: &[f64]) -> Self {
        let key = |value: f64| if value.is_nan() { f64::NEG_INFINITY } else { value };
        let mut indices: Vec<usize> = (0..values.len()).collect();
        indices.sort_by(|&a, &b| {
            key(values[a]).total_cmp(&key(values[b])).then(values[b].is_nan().cmp(&values[a].is_nan()))
        });
        let mut ranks = vec![0; values.len()];
        for (rank, &index) in indices.iter().enumerate() {
            ranks[index] = rank;
        }
        let ordered = indices.into_iter().map(|index| values[index]).collect();
        Self { ordered, ranks, tree: vec![0; values.len() + 1], first: 0, end: 0 }
    }

    /// Moves the window to `first..end` and returns its quantile at `level`; none if it is empty. Neither bound may move back.
    pub fn quantile(&mut self, first: usize, end: usize, level: f64) -> Option<f64> {
        for index in self.end..end {
            self.count(self.ranks[index], true);
        }
        self.end = self.end.max(end);
        for index in self.first..first.min(self.end) {
            self.count(self.ranks[index], false);
        }
        self.first = self.first.max(first);
        let count = end.checked_sub(first).filter(|count| *count > 0)?;
        Some(quantile(level, count, |rank| self.at(rank)))
    }

    fn count(&mut self, rank: usize, entered: bool) {
        let mut node = rank + 1;
        while node < self.tree.len() {
            if entered {
                self.tree[node] += 1;
            } else {
                self.tree[node] -= 1;
            }
            node += node & node.wrapping_neg();
        }
    }

    /// Returns the number with `rank` smaller ones in the window.
    fn at(&self, rank: usize) -> f64 {
        let (mut node, mut left) = (0, rank);
        let mut stride = (self.tree.len()).next_power_of_two();
        while stride > 0 {
            if let Some(&counted) = self.tree.get(node + stride)
                && counted <= left
            {
                node += stride;
                left -= counted;
            }
            stride /= 2;
        }
        self.ordered.get(node).copied().unwrap_or(f64::NAN)
    }
}

/// Returns the quantile at `level` of `count` sorted numbers, interpolated linearly between two of them.
pub fn quantile(level: f64, count: usize, at: impl Fn(usize) -> f64) -> f64 {
    if count == 0 || level.is_nan() {
        return f64::NAN;
    }
    if level < 0.0 {
        return f64::NEG_INFINITY;
    }
    if level > 1.0 {
        return f64::INFINITY;
    }
    // Counts stay far below 2^53, and the rank is not negative.
    let rank = level * (count - 1) as f64;
    let lower = (rank.floor() as usize).min(count - 1);
    let upper = (lower + 1).min(count - 1);
    let weight = rank - rank.floor();
    at(lower) * (1.0 - weight) + at(upper) * weight
}
