//! The rows of a time series' statements: a bucket of a metric, with the columns of each kind.

use super::merge::{Known, Partial, Place};
use clickhouse::Row;
use serde::Deserialize;

/// Of [`super::query::Kind::Sums`].
#[derive(Debug, Row, Deserialize)]
pub struct SumsRow {
    metric_id: String,
    bucket: i64,
    points: u64,
    total: f64,
    least: f64,
    greatest: f64,
}

/// Of [`super::query::Kind::Last`].
#[derive(Debug, Row, Deserialize)]
pub struct LastRow {
    metric_id: String,
    bucket: i64,
    points: u64,
    last_value: f64,
    last_place: Place,
}

/// Of [`super::query::Kind::Quantiles`].
#[derive(Debug, Row, Deserialize)]
pub struct QuantilesRow {
    metric_id: String,
    bucket: i64,
    points: u64,
    quantiles: Vec<f64>,
}

impl From<SumsRow> for Partial {
    fn from(row: SumsRow) -> Self {
        let SumsRow { metric_id, bucket, points, total, least, greatest } = row;
        Self { metric_id, bucket, points, known: Known::Sums { total, least, greatest } }
    }
}

impl From<LastRow> for Partial {
    fn from(row: LastRow) -> Self {
        let LastRow { metric_id, bucket, points, last_value: value, last_place: place } = row;
        Self { metric_id, bucket, points, known: Known::Last { value, place } }
    }
}

impl From<QuantilesRow> for Partial {
    fn from(row: QuantilesRow) -> Self {
        let QuantilesRow { metric_id, bucket, points, quantiles } = row;
        Self { metric_id, bucket, points, known: Known::Quantiles(quantiles) }
    }
}
