//! The rows of a time series' statements: a bucket of a metric, named by its place among
//! those that were asked for, with the columns of each kind.

use super::merge::{Known, Partial, Place};
use clickhouse::Row;
use serde::Deserialize;

/// Of [`super::query::Kind::Sums`].
#[derive(Debug, Row, Deserialize)]
pub struct SumsRow {
    place: u32,
    bucket: i64,
    points: u64,
    total: f64,
    least: f64,
    greatest: f64,
}

/// Of [`super::query::Kind::Last`].
#[derive(Debug, Row, Deserialize)]
pub struct LastRow {
    place: u32,
    bucket: i64,
    points: u64,
    last_value: f64,
    last_place: Place,
}

/// Of [`super::query::Kind::Quantiles`].
#[derive(Debug, Row, Deserialize)]
pub struct QuantilesRow {
    place: u32,
    bucket: i64,
    points: u64,
    quantiles: Vec<f64>,
}

impl From<SumsRow> for (u32, Partial) {
    fn from(row: SumsRow) -> Self {
        let SumsRow { place, bucket, points, total, least, greatest } = row;
        (place, Partial { bucket, points, known: Known::Sums { total, least, greatest } })
    }
}

impl From<LastRow> for (u32, Partial) {
    fn from(row: LastRow) -> Self {
        let LastRow { place, bucket, points, last_value: value, last_place } = row;
        (place, Partial { bucket, points, known: Known::Last { value, place: Box::new(last_place) } })
    }
}

impl From<QuantilesRow> for (u32, Partial) {
    fn from(row: QuantilesRow) -> Self {
        let QuantilesRow { place, bucket, points, quantiles } = row;
        (place, Partial { bucket, points, known: Known::Quantiles(quantiles) })
    }
}
