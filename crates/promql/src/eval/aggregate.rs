//! Aggregations over series, separately at each step.

use super::sliding::{Greatest, Least, Moments, Sum, Summary, quantile};
use super::{Column, Evaluation};
use crate::error::Error;
use crate::grid::Grid;
use crate::labels::{Grouping, Labels};
use crate::plan::Aggregator;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Aggregates the columns of each group. `parameter` has one value per step.
pub fn aggregate(
    evaluation: &Evaluation<'_>,
    operator: Aggregator,
    grouping: &Grouping,
    columns: Vec<Column>,
    parameter: &[f64],
    grid: Grid,
) -> Result<Vec<Column>, Error> {
    let mut groups: BTreeMap<Labels, Vec<Column>> = BTreeMap::new();
    for column in columns {
        groups.entry(grouping.key(&column.labels)).or_default().push(column);
    }
    if matches!(operator, Aggregator::Topk | Aggregator::Bottomk) {
        let groups = groups.into_values().map(|members| {
            evaluation.budget.spend(members.len(), grid.count)?;
            extremes(operator, members, parameter, grid)
        });
        let groups: Vec<Vec<Column>> = groups.collect::<Result<_, _>>()?;
        return Ok(groups.into_iter().flatten().collect());
    }
    let columns = groups.into_iter().map(|(labels, members)| {
        evaluation.budget.spend(1, grid.count)?;
        let value = |i: usize| {
            let present = members.iter().filter_map(|column| column.values[i]);
            one(operator, present, parameter.get(i).copied().unwrap_or(f64::NAN))
        };
        Ok(Column { labels, values: (0..grid.count).map(value).collect() })
    });
    columns.collect()
}

/// Returns the aggregate of values; none if there are no values.
fn one(operator: Aggregator, values: impl Iterator<Item = f64>, parameter: f64) -> Option<f64> {
    match operator {
        Aggregator::Sum => Some(values.map(Sum::of).reduce(Summary::join)?.value()),
        Aggregator::Avg => {
            let (sum, mean) = values
                .map(|value| (Sum::of(value), Moments::of(0.0, value)))
                .reduce(|a, b| (a.0.join(b.0), a.1.join(b.1)))?;
            // If the sum exceeds the range of a double, the running mean is still finite.
            let value = sum.value();
            Some(if value.is_infinite() && !mean.yy.is_nan() { mean.mean_y } else { value / mean.count })
        }
        Aggregator::Min => values.map(Least).reduce(Summary::join).map(|least| least.0),
        Aggregator::Max => values.map(Greatest).reduce(Summary::join).map(|greatest| greatest.0),
        // Far below 2^53.
        Aggregator::Count => Some(values.count() as f64).filter(|count| *count > 0.0),
        Aggregator::Group => values.map(|_| 1.0).next(),
        Aggregator::Stdvar | Aggregator::Stddev => {
            let moments = values.map(|value| Moments::of(0.0, value)).reduce(Summary::join)?;
            let variance = moments.yy / moments.count;
            Some(if operator == Aggregator::Stddev { variance.sqrt() } else { variance })
        }
        Aggregator::Quantile => {
            let mut values: Vec<f64> = values.collect();
            if values.is_empty() {
                return None;
            }
            values.sort_by(|a, b| ascending(*a, *b, Ordering::Less));
            Some(quantile(parameter, values.len(), |rank| values[rank]))
        }
        Aggregator::Topk | Aggregator::Bottomk => None,
    }
}

/// Compares by value; NaN sorts to one end.
pub fn ascending(a: f64, b: f64, nan: Ordering) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => nan,
        (false, true) => nan.reverse(),
        (false, false) => a.total_cmp(&b),
    }
}

/// Keeps only the `parameter` greatest or least values of each step. At a single step the columns are sorted by value.
fn extremes(
    operator: Aggregator,
    mut members: Vec<Column>,
    parameter: &[f64],
    grid: Grid,
) -> Result<Vec<Column>, Error> {
    let better = |a: f64, b: f64| match operator {
        Aggregator::Bottomk => ascending(a, b, Ordering::Greater),
        _ => ascending(b, a, Ordering::Less),
    };
    let mut order = Vec::with_capacity(members.len());
    for i in 0..grid.count {
        order.clear();
        order.extend(
            members.iter().enumerate().filter_map(|(index, column)| Some((column.values[i]?, index))),
        );
        let wanted = parameter.get(i).copied().unwrap_or(f64::NAN);
        if wanted.is_nan() && !order.is_empty() {
            return Err(Error::Execution("the parameter of topk or bottomk is NaN".to_owned()));
        }
        order.sort_by(|a, b| better(a.0, b.0));
        // The cast saturates.
        for (_, index) in order.iter().skip(wanted.max(0.0) as usize) {
            members[*index].values[i] = None;
        }
    }
    if grid.count == 1 {
        let value = |column: &Column| column.values[0].unwrap_or(f64::NAN);
        members.sort_by(|a, b| better(value(a), value(b)));
    }
    members.retain(|column| column.values.iter().any(Option::is_some));
    Ok(members)
}
