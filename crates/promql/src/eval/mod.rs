//! Evaluates a plan on series in memory, without I/O. The only clock is the budget's.
//!
//! An expression is evaluated at all steps at once: a value is a column with one number per step. So labels are
//! compared once instead of at each step, and windows move over the samples of a series once, from first to last.

mod aggregate;
mod binary;
mod functions;
mod over;
mod sliding;
#[cfg(test)]
mod tests;

use super::budget::Budget;
use super::grid::{Grid, Timing, subquery};
use super::labels::Labels;
use super::plan::{LOOKBACK_MS, Matrix, Node};
use crate::error::Error;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

/// A sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Event time, Unix milliseconds.
    pub at: i64,
    /// The value.
    pub value: f64,
}

/// The samples of a series: ascending, with distinct times.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The labels.
    pub labels: Labels,
    /// The samples.
    pub samples: Vec<Sample>,
}

/// The values of a series at each step of a grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The labels.
    pub labels: Labels,
    /// The value at each step, if there is one.
    pub values: Vec<Option<f64>>,
}

/// Result of an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number at each step.
    Scalar(Vec<f64>),
    /// Series.
    Vector(Vec<Column>),
}

impl Value {
    fn scalar(self) -> Result<Vec<f64>, Error> {
        match self {
            Self::Scalar(values) => Ok(values),
            Self::Vector(_) => Err(mistyped("scalar", "instant vector")),
        }
    }

    fn vector(self) -> Result<Vec<Column>, Error> {
        match self {
            Self::Vector(columns) => Ok(columns),
            Self::Scalar(_) => Err(mistyped("instant vector", "scalar")),
        }
    }
}

fn mistyped(wanted: &str, got: &str) -> Error {
    Error::parameter("query", format!("parse error: expected type {wanted}, got {got}"))
}

/// An evaluation of a plan.
pub struct Evaluation<'a> {
    /// The series of each selector of the plan.
    pub data: &'a [Vec<Series>],
    /// The remaining budget.
    pub budget: &'a Budget,
    /// Warnings for the reader of the answer.
    pub warnings: RefCell<BTreeSet<String>>,
}

impl<'a> Evaluation<'a> {
    /// Creates an evaluation on `data`, the series of each selector.
    pub fn new(data: &'a [Vec<Series>], budget: &'a Budget) -> Self {
        Self { data, budget, warnings: RefCell::default() }
    }

    /// Evaluates `node` at the steps of `grid`.
    pub fn node(&self, node: &Node, grid: Grid) -> Result<Value, Error> {
        self.budget.check()?;
        Ok(match node {
            Node::Number(number) => self.scalar(grid, |_| *number)?,
            Node::Time => self.scalar(grid, seconds)?,
            Node::Select { selector, timing, timestamps } => {
                Value::Vector(self.select(&self.data[*selector], *timing, *timestamps, grid)?)
            }
            Node::Over { function, matrix, parameter } => {
                let parameter = match parameter {
                    Some(parameter) => self.node(parameter, grid)?.scalar()?,
                    None => Vec::new(),
                };
                let (series, timing, range) = self.matrix(matrix, grid)?;
                self.budget.spend(series.len(), grid.count)?;
                let columns = series.iter().map(|series| {
                    self.budget.check()?;
                    let windows = over::windows(&series.samples, grid, timing, range);
                    let values = over::over(*function, &series.samples, windows, &parameter);
                    let labels =
                        if function.keeps_name() { series.labels.clone() } else { series.labels.nameless() };
                    Ok(Column { labels, values })
                });
                let columns: Result<Vec<Column>, Error> = columns.collect();
                Value::Vector(self.distinct(columns?)?)
            }
            Node::Absent { node, labels } => {
                let columns = self.node(node, grid)?.vector()?;
                self.budget.spend(1, grid.count)?;
                let absent =
                    |i: usize| columns.iter().all(|column| column.values[i].is_none()).then_some(1.0);
                Value::Vector(vec![Column {
                    labels: labels.clone(),
                    values: (0..grid.count).map(absent).collect(),
                }])
            }
            Node::Map { function, node, parameters } => {
                let parameters = parameters.iter().map(|node| self.node(node, grid)?.scalar());
                functions::map(
                    self,
                    *function,
                    self.node(node, grid)?.vector()?,
                    parameters.collect::<Result<_, _>>()?,
                )?
            }
            Node::Timestamp(node) => {
                let times: Vec<f64> = grid.times().map(seconds).collect();
                let timestamp = |i: usize, _| Some(times[i]);
                Value::Vector(self.nameless(self.node(node, grid)?.vector()?, timestamp)?)
            }
            Node::Vector(node) => {
                let values = self.node(node, grid)?.scalar()?.into_iter().map(Some).collect();
                Value::Vector(vec![Column { labels: Labels::default(), values }])
            }
            Node::Scalar(node) => {
                let columns = self.node(node, grid)?.vector()?;
                self.scalar_of(&columns, grid)?
            }
            Node::Sort { node, descending } => {
                Value::Vector(functions::sort(self.node(node, grid)?.vector()?, *descending, grid))
            }
            Node::Relabel { node, rule } => {
                let columns = self.node(node, grid)?.vector()?;
                let relabel = |column: Column| Column { labels: rule.apply(&column.labels), ..column };
                Value::Vector(self.distinct(columns.into_iter().map(relabel).collect())?)
            }
            Node::Negate(node) => match self.node(node, grid)? {
                Value::Scalar(values) => Value::Scalar(values.into_iter().map(|value| -value).collect()),
                Value::Vector(columns) => Value::Vector(self.nameless(columns, |_, value| Some(-value))?),
            },
            Node::Aggregate { operator, grouping, node, parameter } => {
                let parameter = match parameter {
                    Some(parameter) => self.node(parameter, grid)?.scalar()?,
                    None => Vec::new(),
                };
                let columns = self.node(node, grid)?.vector()?;
                Value::Vector(aggregate::aggregate(self, *operator, grouping, columns, &parameter, grid)?)
            }
            Node::Binary { operator, sides, matching, as_bool } => {
                let (left, right) = (self.node(&sides.0, grid)?, self.node(&sides.1, grid)?);
                binary::binary(self, *operator, (left, right), matching.as_ref(), *as_bool, grid)?
            }
        })
    }

    /// Returns the samples of a range vector, with the time shift and the range of its windows.
    pub fn matrix(&self, matrix: &Matrix, grid: Grid) -> Result<(Cow<'a, [Series]>, Timing, i64), Error> {
        Ok(match matrix {
            Matrix::Select { selector, timing, range } => {
                (Cow::Borrowed(&self.data[*selector]), *timing, *range)
            }
            Matrix::Subquery { node, timing, range, step } => {
                let inner = subquery(grid, *timing, *range, *step);
                self.budget.spend(1, inner.count)?;
                let columns = self.node(node, inner)?.vector()?;
                let series = columns.into_iter().map(|column| {
                    let samples = inner.times().zip(column.values);
                    let samples = samples.filter_map(|(at, value)| Some(Sample { at, value: value? }));
                    Series { labels: column.labels, samples: samples.collect() }
                });
                (Cow::Owned(series.collect()), *timing, *range)
            }
        })
    }

    fn select(
        &self,
        series: &[Series],
        timing: Timing,
        timestamps: bool,
        grid: Grid,
    ) -> Result<Vec<Column>, Error> {
        self.budget.spend(series.len(), grid.count)?;
        let columns = series.iter().map(|series| {
            let windows = over::windows(&series.samples, grid, timing, LOOKBACK_MS);
            let last = windows.map(|window| {
                let sample = series.samples[window.first..window.end].last()?;
                Some(if timestamps { seconds(sample.at) } else { sample.value })
            });
            let labels = if timestamps { series.labels.nameless() } else { series.labels.clone() };
            Column { labels, values: last.collect() }
        });
        self.distinct(columns.collect())
    }

    fn scalar(&self, grid: Grid, value: impl Fn(i64) -> f64) -> Result<Value, Error> {
        self.budget.spend(1, grid.count)?;
        Ok(Value::Scalar(grid.times().map(value).collect()))
    }

    /// Returns the only value at each step; NaN where there are several or none.
    fn scalar_of(&self, columns: &[Column], grid: Grid) -> Result<Value, Error> {
        self.budget.spend(1, grid.count)?;
        let only = |i: usize| {
            let mut present = columns.iter().filter_map(|column| column.values[i]);
            match (present.next(), present.next()) {
                (Some(value), None) => value,
                _ => f64::NAN,
            }
        };
        Ok(Value::Scalar((0..grid.count).map(only).collect()))
    }

    /// Maps all values, step by step. The results lose the metric's name.
    fn nameless(
        &self,
        columns: Vec<Column>,
        map: impl Fn(usize, f64) -> Option<f64>,
    ) -> Result<Vec<Column>, Error> {
        let mapped = columns.into_iter().map(|mut column| {
            for (i, value) in column.values.iter_mut().enumerate() {
                *value = value.and_then(|value| map(i, value));
            }
            Column { labels: column.labels.nameless(), values: column.values }
        });
        self.distinct(mapped.collect())
    }

    /// Merges columns with the same labels. Two values at one step are an error. Columns without values are
    /// dropped.
    fn distinct(&self, columns: Vec<Column>) -> Result<Vec<Column>, Error> {
        let mut indices: HashMap<Labels, usize> = HashMap::with_capacity(columns.len());
        let mut distinct: Vec<Column> = Vec::with_capacity(columns.len());
        for column in columns.into_iter().filter(|column| column.values.iter().any(Option::is_some)) {
            let Some(&index) = indices.get(&column.labels) else {
                indices.insert(column.labels.clone(), distinct.len());
                distinct.push(column);
                continue;
            };
            for (known, value) in distinct[index].values.iter_mut().zip(column.values) {
                if known.is_some() && value.is_some() {
                    return Err(Error::Execution(format!(
                        "vector cannot contain metrics with the same labelset: {}",
                        column.labels
                    )));
                }
                *known = known.or(value);
            }
        }
        Ok(distinct)
    }
}

/// Converts Unix milliseconds to seconds.
pub fn seconds(milliseconds: i64) -> f64 {
    // Times stay far below 2^53.
    milliseconds as f64 / 1000.0
}
