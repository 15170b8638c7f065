//! Functions of instant vectors.

use super::aggregate::ascending;
use super::{Column, Evaluation, Value};
use crate::error::Error;
use crate::functions::Map;
use crate::grid::Grid;
use std::cmp::Ordering;

/// Applies `function` to each value. Each parameter has one value per step.
pub fn map(
    evaluation: &Evaluation<'_>,
    function: Map,
    columns: Vec<Column>,
    parameters: Vec<Vec<f64>>,
) -> Result<Value, Error> {
    let apply = |i: usize, value: f64| {
        let mut at = [f64::NAN; 2];
        for (at, parameter) in at.iter_mut().zip(&parameters) {
            *at = parameter[i];
        }
        function.apply(value, &at[..parameters.len().min(2)])
    };
    Ok(Value::Vector(evaluation.nameless(columns, apply)?))
}

/// Sorts by value, NaN last. Only the result of a single step has an order.
pub fn sort(mut columns: Vec<Column>, descending: bool, grid: Grid) -> Vec<Column> {
    if grid.count == 1 {
        let value = |column: &Column| column.values[0].unwrap_or(f64::NAN);
        columns.sort_by(|a, b| match descending {
            false => ascending(value(a), value(b), Ordering::Greater),
            true => ascending(value(b), value(a), Ordering::Less),
        });
    }
    columns
}
