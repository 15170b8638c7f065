//! Rows of the statements that read time series: a bucket of a series with the aggregates of each kind.
//! `series_index` is the index of the series in the parameters of the statement.

use super::merge::{Aggregates, Partial, PointPosition};
use clickhouse::Row;
use serde::Deserialize;

/// Row of [`super::query::Kind::Sums`].
#[derive(Debug, Row, Deserialize)]
pub struct SumsRow {
    series_index: u32,
    bucket: i64,
    points: u64,
    total: f64,
    min_value: f64,
    max_value: f64,
}

/// Row of [`super::query::Kind::Last`].
#[derive(Debug, Row, Deserialize)]
pub struct LastRow {
    series_index: u32,
    bucket: i64,
    points: u64,
    last_value: f64,
    last_position: PointPosition,
}

/// Row of [`super::query::Kind::Quantiles`].
#[derive(Debug, Row, Deserialize)]
pub struct QuantilesRow {
    series_index: u32,
    bucket: i64,
    points: u64,
    quantiles: Vec<f64>,
}

impl From<SumsRow> for (u32, Partial) {
    fn from(row: SumsRow) -> Self {
        let SumsRow { series_index, bucket, points, total, min_value: min, max_value: max } = row;
        (series_index, Partial { bucket, points, aggregates: Aggregates::Sums { total, min, max } })
    }
}

impl From<LastRow> for (u32, Partial) {
    fn from(row: LastRow) -> Self {
        let LastRow { series_index, bucket, points, last_value: value, last_position } = row;
        let aggregates = Aggregates::Last { value, position: Box::new(last_position) };
        (series_index, Partial { bucket, points, aggregates })
    }
}

impl From<QuantilesRow> for (u32, Partial) {
    fn from(row: QuantilesRow) -> Self {
        let QuantilesRow { series_index, bucket, points, quantiles } = row;
        (series_index, Partial { bucket, points, aggregates: Aggregates::Quantiles(quantiles) })
    }
}
