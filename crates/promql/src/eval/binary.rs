//! Binary operators between numbers, between series and numbers, and between series with matching labels.

use super::{Column, Evaluation, Value, mistyped};
use crate::error::Error;
use crate::grid::Grid;
use crate::labels::{Grouping, Labels, METRIC_ID};
use crate::plan::Operator;
use std::collections::{BTreeMap, BTreeSet};

/// Evaluates `sides.0 operator sides.1`.
pub fn binary(
    evaluation: &Evaluation<'_>,
    operator: Operator,
    sides: (Value, Value),
    matching: Option<&Grouping>,
    as_bool: bool,
    grid: Grid,
) -> Result<Value, Error> {
    evaluation.budget.check()?;
    let default = Grouping::Without(Vec::new());
    let labels = matching.unwrap_or(&default);
    match sides {
        (Value::Scalar(left), Value::Scalar(right)) => {
            let pairs = left.into_iter().zip(right);
            let values = pairs.map(|(left, right)| computed(operator, left, right, true).unwrap_or(f64::NAN));
            Ok(Value::Scalar(values.collect()))
        }
        (Value::Vector(columns), Value::Scalar(numbers)) => {
            with_numbers(evaluation, operator, columns, as_bool, |i, value| {
                result(operator, value, numbers[i], value, as_bool)
            })
        }
        (Value::Scalar(numbers), Value::Vector(columns)) => {
            with_numbers(evaluation, operator, columns, as_bool, |i, value| {
                result(operator, numbers[i], value, value, as_bool)
            })
        }
        (Value::Vector(left), Value::Vector(right)) => Ok(Value::Vector(match operator {
            Operator::And => present(left, &right, labels, grid, true),
            Operator::Unless => present(left, &right, labels, grid, false),
            Operator::Or => {
                let more = present(right, &left, labels, grid, false);
                evaluation.distinct(left.into_iter().chain(more).collect())?
            }
            Operator::Arithmetic(_) | Operator::Comparison(_) => {
                let matched = one_to_one(evaluation, operator, (&left, &right), labels, as_bool, grid)?;
                if matched.is_empty() && matching.is_none() {
                    warn(evaluation, &left, &right, labels);
                }
                matched
            }
        })),
    }
}

/// Applies arithmetic, or a comparison. With `as_bool` a comparison returns 1 or 0; otherwise it returns `kept` or nothing.
fn result(operator: Operator, left: f64, right: f64, kept: f64, as_bool: bool) -> Option<f64> {
    match operator {
        Operator::Comparison(holds) if !as_bool => holds(&left, &right).then_some(kept),
        _ => computed(operator, left, right, as_bool),
    }
}

fn computed(operator: Operator, left: f64, right: f64, as_bool: bool) -> Option<f64> {
    match operator {
        Operator::Arithmetic(compute) => Some(compute(left, right)),
        Operator::Comparison(holds) if as_bool => Some(f64::from(u8::from(holds(&left, &right)))),
        Operator::Comparison(_) | Operator::And | Operator::Or | Operator::Unless => None,
    }
}

fn with_numbers(
    evaluation: &Evaluation<'_>,
    operator: Operator,
    mut columns: Vec<Column>,
    as_bool: bool,
    map: impl Fn(usize, f64) -> Option<f64>,
) -> Result<Value, Error> {
    match operator {
        Operator::And | Operator::Or | Operator::Unless => Err(mistyped("instant vector", "scalar")),
        // A filtered value is still a value of the metric, so it keeps the name.
        Operator::Comparison(_) if !as_bool => {
            for column in &mut columns {
                for (i, value) in column.values.iter_mut().enumerate() {
                    *value = value.and_then(|value| map(i, value));
                }
            }
            Ok(Value::Vector(evaluation.distinct(columns)?))
        }
        Operator::Comparison(_) | Operator::Arithmetic(_) => {
            Ok(Value::Vector(evaluation.nameless(columns, map)?))
        }
    }
}

/// Returns the values of `left` for which the other side has, or does not have, a value with the same labels.
fn present(left: Vec<Column>, right: &[Column], labels: &Grouping, grid: Grid, wanted: bool) -> Vec<Column> {
    let mut right_present: BTreeMap<Labels, Vec<bool>> = BTreeMap::new();
    for column in right {
        let steps =
            right_present.entry(labels.key(&column.labels)).or_insert_with(|| vec![false; grid.count]);
        for (present, value) in steps.iter_mut().zip(&column.values) {
            *present |= value.is_some();
        }
    }
    let mut left = left;
    for column in &mut left {
        let steps = right_present.get(&labels.key(&column.labels));
        for (i, value) in column.values.iter_mut().enumerate() {
            if steps.is_some_and(|steps| steps[i]) != wanted {
                *value = None;
            }
        }
    }
    left.retain(|column| column.values.iter().any(Option::is_some));
    left
}

/// Both sides of a match.
#[derive(Default)]
struct Group<'a> {
    left: Vec<&'a Column>,
    right: Vec<&'a Column>,
}

fn one_to_one(
    evaluation: &Evaluation<'_>,
    operator: Operator,
    (left, right): (&[Column], &[Column]),
    labels: &Grouping,
    as_bool: bool,
    grid: Grid,
) -> Result<Vec<Column>, Error> {
    let any = |columns: &[Column]| -> Vec<bool> {
        (0..grid.count).map(|i| columns.iter().any(|column| column.values[i].is_some())).collect()
    };
    let any_left = any(left);
    let mut groups: BTreeMap<Labels, Group<'_>> = BTreeMap::new();
    for column in left {
        groups.entry(labels.key(&column.labels)).or_default().left.push(column);
    }
    for column in right {
        groups.entry(labels.key(&column.labels)).or_default().right.push(column);
    }
    let mut results = Vec::new();
    for (key, group) in groups {
        evaluation.budget.spend(group.left.len(), grid.count)?;
        let mut columns: Vec<Column> = group
            .left
            .iter()
            .map(|column| Column {
                labels: result_labels(operator, as_bool, labels, &column.labels),
                values: vec![None; grid.count],
            })
            .collect();
        // At a step without values on the left nothing is matched, so ambiguity on the right is no error.
        for i in (0..grid.count).filter(|&i| any_left[i]) {
            let Some(right) =
                only(&group.right, i).map_err(|(a, b)| ambiguous(&key, &a.labels, &b.labels))?
            else {
                continue;
            };
            // A comparison may filter several values on the left to one.
            let mut matched = false;
            for (column, left) in columns.iter_mut().zip(&group.left) {
                let value = left.values[i].and_then(|left| result(operator, left, right, left, as_bool));
                if value.is_some() && std::mem::replace(&mut matched, true) {
                    let reason = "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
                    return Err(Error::Execution(reason.to_owned()));
                }
                column.values[i] = value;
            }
        }
        results.extend(columns);
    }
    evaluation.distinct(results)
}

/// Returns the only value at this step. It is an error if two columns have one.
fn only<'a>(columns: &[&'a Column], i: usize) -> Result<Option<f64>, (&'a Column, &'a Column)> {
    let mut found: Option<(&Column, f64)> = None;
    for column in columns {
        let Some(value) = column.values[i] else { continue };
        if let Some((first, _)) = found {
            return Err((first, column));
        }
        found = Some((column, value));
    }
    Ok(found.map(|(_, value)| value))
}

fn ambiguous(key: &Labels, one: &Labels, other: &Labels) -> Error {
    Error::Execution(format!(
        "found duplicate series for the match group {key} on the right hand-side of the operation: [{one}, {other}]; \
         matching labels must be unique on one side"
    ))
}

fn result_labels(operator: Operator, as_bool: bool, matching: &Grouping, left: &Labels) -> Labels {
    let named = matches!(operator, Operator::Comparison(_)) && !as_bool;
    match matching {
        Grouping::Without(names) if named => {
            left.filtered(|name| !names.iter().any(|without| without == name))
        }
        matching => matching.key(left),
    }
}

/// Explains an empty result that is probably unintended: no two metrics have the same `metric_id`.
fn warn(evaluation: &Evaluation<'_>, left: &[Column], right: &[Column], labels: &Grouping) {
    let of_metrics =
        |columns: &[Column]| columns.iter().any(|column| !column.labels.get(METRIC_ID).is_empty());
    let keys: BTreeSet<Labels> = right.iter().map(|column| labels.key(&column.labels)).collect();
    let matched = left.iter().any(|column| keys.contains(&labels.key(&column.labels)));
    let empty = left.is_empty() || right.is_empty();
    if !matched && !empty && (of_metrics(left) || of_metrics(right)) {
        let text = "no series of the two sides of an operator have the same labels: \
                    use ignoring(metric_id) or on() to match different metrics";
        evaluation.warnings.borrow_mut().insert(text.to_owned());
    }
}
