//! Functions of the samples in a window. Windows are left-open: a sample at the start of a window is not in it.

use super::sliding::{Greatest, Least, Moments, Ranks, Sliding, Sum, Summary};
use super::{Sample, seconds};
use crate::functions::Over;
use crate::grid::{Grid, Timing};

/// A window: the samples `first..end` of a series at one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Index of the first sample.
    pub first: usize,
    /// Index after the last sample.
    pub end: usize,
    /// Index of the step.
    index: usize,
    /// Time of the step, Unix milliseconds.
    time: i64,
    /// Start of the window, Unix milliseconds.
    after: i64,
    /// End of the window, Unix milliseconds.
    until: i64,
}

/// Returns the window of `range` milliseconds before each step.
pub fn windows(samples: &[Sample], grid: Grid, timing: Timing, range: i64) -> impl Iterator<Item = Window> {
    let (mut first, mut end) = (0, 0);
    grid.times().enumerate().map(move |(index, time)| {
        let until = timing.shift(time);
        let after = until - range;
        // Both indices only move forward, so over all steps each sample is passed once.
        while samples.get(end).is_some_and(|sample| sample.at <= until) {
            end += 1;
        }
        while first < end && samples[first].at <= after {
            first += 1;
        }
        Window { first, end, index, time, after, until }
    })
}

/// Applies the function to each window; none if it has too few samples. `parameter` has one value per step.
pub fn over(
    function: Over,
    samples: &[Sample],
    windows: impl Iterator<Item = Window>,
    parameter: &[f64],
) -> Vec<Option<f64>> {
    let value = |index: usize| samples[index].value;
    match function {
        Over::Count => each(windows, |w| (w.end > w.first).then(|| count(w.end - w.first))),
        Over::Present => each(windows, |w| (w.end > w.first).then_some(1.0)),
        Over::First => each(windows, |w| samples[w.first..w.end].first().map(|sample| sample.value)),
        Over::Last => each(windows, |w| samples[w.first..w.end].last().map(|sample| sample.value)),
        Over::Sum => slide(windows, |index| Sum::of(value(index)), |_, sum| Some(sum.value())),
        Over::Avg => slide(
            windows,
            |index| Sum::of(value(index)),
            |w, sum| Some(mean(sum.value(), &samples[w.first..w.end])),
        ),
        Over::Min => slide(windows, |index| Least(value(index)), |_, least| Some(least.0)),
        Over::Max => slide(windows, |index| Greatest(value(index)), |_, greatest| Some(greatest.0)),
        Over::Stdvar | Over::Stddev => {
            let deviation = |moments: Moments| {
                let variance = moments.yy / moments.count;
                if function == Over::Stddev { variance.sqrt() } else { variance }
            };
            slide(windows, |index| Moments::of(0.0, value(index)), |_, moments| Some(deviation(moments)))
        }
        Over::Quantile => {
            let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
            let mut ranks = Ranks::new(&values);
            each(windows, |w| ranks.quantile(w.first, w.end, parameter[w.index]))
        }
        Over::Deriv => line(samples, windows, |_, slope, _| slope),
        Over::PredictLinear => line(samples, windows, |w, slope, at| at + slope * parameter[w.index]),
        Over::Changes => pairs(
            samples,
            windows,
            |a, b| f64::from(u8::from(a != b && !(a.is_nan() && b.is_nan()))),
            1,
            |_, sum| sum,
        ),
        Over::Resets => pairs(samples, windows, |a, b| f64::from(u8::from(b < a)), 1, |_, sum| sum),
        Over::Delta => pairs(
            samples,
            windows,
            |_, _| 0.0,
            2,
            |w, _| extrapolated(&samples[w.first..w.end], w, 0.0, false),
        ),
        Over::Increase | Over::Rate => {
            // A decrease is a counter reset. The value before the reset is added to the increase.
            let reset = |a: f64, b: f64| if b < a { a } else { 0.0 };
            pairs(samples, windows, reset, 2, |w, resets| {
                let increase = extrapolated(&samples[w.first..w.end], w, resets, true);
                if function == Over::Rate { increase / seconds(w.until - w.after) } else { increase }
            })
        }
        Over::Irate | Over::Idelta => each(windows, |w| {
            let [.., before, last] = &samples[w.first..w.end] else { return None };
            if function == Over::Idelta {
                return Some(last.value - before.value);
            }
            let increase = if last.value < before.value { last.value } else { last.value - before.value };
            Some(increase / seconds(last.at - before.at))
        }),
    }
}

fn each(
    windows: impl Iterator<Item = Window>,
    mut function: impl FnMut(Window) -> Option<f64>,
) -> Vec<Option<f64>> {
    windows.map(|window| if window.end > window.first { function(window) } else { None }).collect()
}

fn slide<S: Summary>(
    windows: impl Iterator<Item = Window>,
    element: impl Fn(usize) -> S,
    result: impl Fn(Window, S) -> Option<f64>,
) -> Vec<Option<f64>> {
    let mut sliding = Sliding::new();
    windows
        .map(|w| sliding.advance(w.first, w.end, &element).and_then(|summary| result(w, summary)))
        .collect()
}

/// Returns the sum of `pair` over each sample and its predecessor, for windows with at least `least` samples.
fn pairs(
    samples: &[Sample],
    windows: impl Iterator<Item = Window>,
    pair: impl Fn(f64, f64) -> f64,
    least: usize,
    result: impl Fn(Window, f64) -> f64,
) -> Vec<Option<f64>> {
    let mut sliding = Sliding::new();
    let element = |index: usize| Sum::of(pair(samples[index - 1].value, samples[index].value));
    windows
        .map(|w| {
            // A window of n samples has n - 1 pairs, each identified by its second sample.
            let sum = sliding.advance(w.first + 1, w.end.max(w.first + 1), element);
            (w.end - w.first >= least).then(|| result(w, sum.map_or(0.0, Sum::value)))
        })
        .collect()
}

/// Applies a function to the slope of the least-squares line and to its value at the step, for windows with at least two
/// samples.
fn line(
    samples: &[Sample],
    windows: impl Iterator<Item = Window>,
    result: impl Fn(Window, f64, f64) -> f64,
) -> Vec<Option<f64>> {
    let Some(origin) = samples.first().map(|sample| sample.at) else { return each(windows, |_| None) };
    let mut sliding = Sliding::new();
    let element = |index: usize| Moments::of(seconds(samples[index].at - origin), samples[index].value);
    windows
        .map(|w| {
            let moments = sliding.advance(w.first, w.end, element)?;
            if w.end - w.first < 2 {
                return None;
            }
            let slope = moments.xy / moments.xx;
            Some(result(w, slope, moments.mean_y + slope * (seconds(w.time - origin) - moments.mean_x)))
        })
        .collect()
}

/// Returns the change over a window with at least two samples, extrapolated to the window's edges as Prometheus does
/// (`extrapolatedRate` in promql/functions.go): up to an edge that is less than 1.1 average distances between
/// samples away, otherwise by half a distance. A counter is never extrapolated to before it would have been zero.
fn extrapolated(samples: &[Sample], window: Window, resets: f64, counter: bool) -> f64 {
    let (first, last) = (samples[0], samples[samples.len() - 1]);
    let change = last.value - first.value + resets;
    let sampled = seconds(last.at - first.at);
    let distance = sampled / count(samples.len() - 1);
    let extrapolate = |gap: f64| if gap >= distance * 1.1 { distance / 2.0 } else { gap };

    let mut to_start = extrapolate(seconds(first.at - window.after));
    if counter && change > 0.0 && first.value >= 0.0 {
        to_start = to_start.min(sampled * (first.value / change));
    }
    let to_end = extrapolate(seconds(window.until - last.at));
    change * ((sampled + to_start + to_end) / sampled)
}

/// Returns the mean, also where the sum exceeds the range of a double.
fn mean(sum: f64, samples: &[Sample]) -> f64 {
    let count = count(samples.len());
    if sum.is_finite() || samples.iter().any(|sample| !sample.value.is_finite()) {
        return sum / count;
    }
    samples.iter().map(|sample| sample.value / count).sum()
}

fn count(count: usize) -> f64 {
    // Far below 2^53.
    count as f64
}
