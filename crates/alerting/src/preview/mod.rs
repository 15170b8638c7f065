//! Preview of a rule: its state machine on evaluations of the past.
//!
//! The rule is evaluated every five minutes of the last thirty days, ending now, as if its metric had received its points in
//! order. If points arrived since the previous evaluation, it is evaluated twice, because points trigger an evaluation in
//! addition to the periodic one. It is also evaluated twice where a change to a state other than ok is to be confirmed.
//!
//! Windows are exact: their lengths are multiples of five minutes, so a window is a number of buckets counted back from now.
//! Quantiles cannot be derived from buckets and are computed from the points.

use crate::rule::Condition;
use crate::state_machine::{Observation, RuleStatus, Transition};
use reads::engine::Engine;
use reads::series::aggregation::{Aggregation, QUANTILES};
use reads::series::buckets::Range;
use reads::series::merge::Partial;
use reads::series::query::{self, Kind};
use reads::source::Statement;
use std::collections::HashMap;

/// Interval between evaluations.
const STEP_MS: i64 = 300_000;
/// Length of the preview.
const SPAN_MS: i64 = 30 * 24 * 3_600_000;

/// Returns the times of the first and the last evaluation.
fn evaluations(now_ms: i64) -> (i64, i64) {
    (now_ms - SPAN_MS, now_ms)
}

/// Reason why a preview failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PreviewError {
    /// A percentile over more than [`MAX_POINTS`] points.
    #[error("too many points")]
    TooManyPoints,
    /// The points could not be read.
    #[error(transparent)]
    Read(#[from] reads::Error),
}

/// Maximum number of points that a percentile is taken from.
pub const MAX_POINTS: usize = 1_000_000;

/// Returns the transitions of a rule over `metric` in the 30 days before `now_ms`, oldest first.
pub async fn preview(
    engine: &Engine,
    (project, metric): (&str, &str),
    condition: &Condition,
    now_ms: i64,
) -> Result<Vec<Transition>, PreviewError> {
    let view = engine.view(project).await?.for_metrics([metric]);
    let range = range(condition, now_ms);
    if let Some(index) = condition.aggregation.quantile_index() {
        let points = engine.store.values(&view, (project, metric), range, MAX_POINTS + 1).await?;
        if points.len() > MAX_POINTS {
            return Err(PreviewError::TooManyPoints);
        }
        return Ok(transitions_of_points(condition, QUANTILES[index], &points, now_ms));
    }
    let (kind, mask) = (Kind::of(condition.aggregation), view.hidden.condition());
    let read = async |statement: Statement| -> Result<Vec<Partial>, reads::Error> {
        let series = engine.store.series(&view, (project, &[metric]), kind, &statement).await?;
        Ok(series.into_iter().flatten().collect())
    };
    let mut buckets = read(query::steps(range, STEP_MS, range.start, kind, &mask)).await?;
    let scale = if may_overflow(condition.aggregation, &buckets) {
        buckets = read(query::scaled_steps(range, STEP_MS, range.start, kind, &mask)).await?;
        Scale::Scaled
    } else {
        Scale::Plain
    };
    Ok(transitions_of_buckets(condition, buckets, scale, now_ms))
}

/// Scale of the sums in buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    Plain,
    /// Divided by [`query::SCALE`].
    Scaled,
}

/// Returns whether the sum of a window may exceed what a double holds although its average does not.
fn may_overflow(aggregation: Aggregation, buckets: &[Partial]) -> bool {
    let total = |part: &Partial| part.value(Aggregation::Sum).abs();
    aggregation == Aggregation::Avg && !buckets.iter().map(total).sum::<f64>().is_finite()
}

/// Returns the range whose points matter.
fn range(condition: &Condition, now_ms: i64) -> Range {
    let (first, last) = evaluations(now_ms);
    Range { start: first - condition.window.length_ms(), end: last }
}

/// Returns the transitions, from buckets.
fn transitions_of_buckets(
    condition: &Condition,
    buckets: impl IntoIterator<Item = Partial>,
    scale: Scale,
    now_ms: i64,
) -> Vec<Transition> {
    let mut buckets: HashMap<i64, Partial> = buckets.into_iter().map(|part| (part.bucket, part)).collect();
    let (first, _) = evaluations(now_ms);
    let mut window = Window::default();
    for start in (first - condition.window.length_ms()..first - STEP_MS).step_by(STEP_MS as usize) {
        window.push(buckets.remove(&start));
    }
    run(condition, now_ms, |at| {
        let newest = buckets.remove(&(at - STEP_MS));
        let arrived = newest.is_some();
        window.push(newest);
        let value = window.all().and_then(|part| match scale {
            Scale::Plain => Some(part.value(condition.aggregation)).filter(|value| value.is_finite()),
            Scale::Scaled => part.scaled_value(condition.aggregation),
        });
        window.pop();
        WindowState { value, arrived }
    })
}

/// Returns the transitions, from event times and values, oldest first.
fn transitions_of_points(
    condition: &Condition,
    level: f64,
    points: &[(i64, f64)],
    now_ms: i64,
) -> Vec<Transition> {
    let mut window = Ranks::new(points.iter().map(|(_, value)| *value).collect());
    let (mut begin, mut end) = (0, 0);
    run(condition, now_ms, |at| {
        let before = end;
        while let Some((_, value)) = points.get(end).filter(|(time, _)| *time < at) {
            window.add(*value, 1);
            end += 1;
        }
        let start = at - condition.window.length_ms();
        while let Some((_, value)) = points.get(begin).filter(|(time, _)| *time < start) {
            // Points before the first window were never added.
            if begin < end {
                window.add(*value, -1);
            }
            begin += 1;
        }
        let arrived = points[before..end].last().is_some_and(|(time, _)| *time >= at - STEP_MS);
        WindowState { value: window.quantile(level), arrived }
    })
}

/// Input of an evaluation.
struct WindowState {
    /// Value of the window; none if it has no points.
    value: Option<f64>,
    /// True if points arrived since the previous evaluation.
    arrived: bool,
}

fn run(condition: &Condition, now_ms: i64, mut window_at: impl FnMut(i64) -> WindowState) -> Vec<Transition> {
    let (first, last) = evaluations(now_ms);
    let (mut status, mut transitions) = (RuleStatus::default(), Vec::new());
    for at in (first..=last).step_by(STEP_MS as usize) {
        let WindowState { value, arrived } = window_at(at);
        let observation = match value {
            Some(value) => Observation::Value(value),
            None if condition.aggregation == Aggregation::Count => Observation::Value(0.0),
            None => Observation::NoPoints,
        };
        let mut evaluate = || {
            if let Some(transition) = status.observe(condition, false, observation, at) {
                status.apply(&transition);
                transitions.push(transition);
            }
            status.awaits_confirmation()
        };
        if evaluate() || arrived {
            evaluate();
        }
    }
    // The notification that flapping ended is not a transition.
    transitions.retain(|transition| transition.from != transition.to);
    transitions
}

/// A queue of buckets with their merged aggregate in constant time: two stacks, each with running aggregates.
#[derive(Default)]
struct Window {
    /// The newer buckets, and their aggregate.
    back: Vec<Option<Partial>>,
    back_all: Option<Partial>,
    /// The older buckets, oldest on top, each merged with all newer ones of this stack.
    front: Vec<Option<Partial>>,
}

impl Window {
    fn push(&mut self, part: Option<Partial>) {
        self.back_all = merged(self.back_all.take(), part.clone());
        self.back.push(part);
    }

    fn pop(&mut self) {
        if self.front.is_empty() {
            let mut all = None;
            while let Some(part) = self.back.pop() {
                all = merged(all, part);
                self.front.push(all.clone());
            }
            self.back_all = None;
        }
        self.front.pop();
    }

    fn all(&self) -> Option<Partial> {
        merged(self.front.last().cloned().flatten(), self.back_all.clone())
    }
}

fn merged(a: Option<Partial>, b: Option<Partial>) -> Option<Partial> {
    match (a, b) {
        (Some(mut a), Some(b)) => {
            a.absorb(&b);
            Some(a)
        }
        (a, b) => a.or(b),
    }
}

/// Counts of values in a tree of sums (Fenwick 1994), for quantiles in logarithmic time.
struct Ranks {
    values: Vec<f64>,
    tree: Vec<i64>,
    count: i64,
}

impl Ranks {
    fn new(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        values.dedup_by(|a, b| a.to_bits() == b.to_bits());
        Self { tree: vec![0; values.len() + 1], values, count: 0 }
    }

    fn add(&mut self, value: f64, times: i64) {
        let Ok(index) = self.values.binary_search_by(|known| known.total_cmp(&value)) else { return };
        let mut node = index + 1;
        while node < self.tree.len() {
            self.tree[node] += times;
            node += node & node.wrapping_neg();
        }
        self.count += times;
    }

    /// Returns the value of this rank, counted from 0.
    fn at(&self, rank: i64) -> f64 {
        let (mut node, mut left) = (0, rank);
        let mut step = self.values.len().next_power_of_two();
        while step > 0 {
            if node + step < self.tree.len() && self.tree[node + step] <= left {
                node += step;
                left -= self.tree[node];
            }
            step /= 2;
        }
        self.values[node.min(self.values.len() - 1)]
    }

    /// Returns the quantile, interpolated between the two nearest values as in time series.
    fn quantile(&self, level: f64) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let rank = level * (self.count - 1) as f64;
        let (low, part) = (rank.floor(), rank.fract());
        let low_value = self.at(low as i64);
        if part == 0.0 {
            return Some(low_value);
        }
        let high_value = self.at(low as i64 + 1);
        let difference = high_value - low_value;
        // If the difference exceeds the range of a double, both values are weighted instead.
        Some(if difference.is_finite() {
            low_value + difference * part
        } else {
            low_value * (1.0 - part) + high_value * part
        })
    }
}

#[cfg(test)]
mod tests;
