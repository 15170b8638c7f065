//! Answers in Prometheus's format.

use axum::response::{IntoResponse, Response};
use hyper::header::CONTENT_TYPE;
use promql::eval::{Column, Sample, Series};
use promql::grid::Grid;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The result of a query. Times are Unix milliseconds.
#[derive(Debug)]
pub enum QueryResult {
    /// A number at one time.
    Scalar(i64, f64),
    /// A text at one time.
    Text(i64, String),
    /// Series at one time.
    Vector(i64, Vec<Column>),
    /// Series over a range, at the times of a grid.
    Columns(Grid, Vec<Column>),
    /// Series over a range, each at its own times.
    Matrix(Vec<Series>),
}

/// Returns a successful answer with warnings; `data` is JSON.
fn success(data: &str, warnings: &BTreeSet<String>) -> Response {
    let mut text = format!("{{\"status\":\"success\",\"data\":{data}");
    if !warnings.is_empty() {
        let _ = write!(text, ",\"warnings\":{}", json(warnings));
    }
    text.push('}');
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

/// Returns an answer with this `data`.
pub fn plain(data: &impl Serialize, warnings: &BTreeSet<String>) -> Response {
    success(&json(data), warnings)
}

/// Returns an answer with at most `limit` items of a list, and a warning if there are more.
pub fn list<T: Serialize>(mut items: Vec<T>, limit: usize) -> Response {
    let mut warnings = BTreeSet::new();
    if items.len() > limit {
        items.truncate(limit);
        warnings.insert(TRUNCATED.to_owned());
    }
    plain(&items, &warnings)
}

const TRUNCATED: &str = "results truncated due to limit";

/// Returns the answer to a query, with at most `limit` series.
pub fn query(result: QueryResult, limit: usize, mut warnings: BTreeSet<String>) -> Response {
    let mut text = String::new();
    let kind = match result {
        QueryResult::Scalar(at, value) => {
            point(&mut text, at, value);
            "scalar"
        }
        QueryResult::Text(at, value) => {
            let _ = write!(text, "[{},{}]", time(at), json(&value));
            "string"
        }
        QueryResult::Vector(at, columns) => {
            let columns = columns
                .into_iter()
                .filter_map(|column| Some((column.labels, column.values.first().copied()??)));
            let columns = limited(columns.collect(), limit, &mut warnings);
            each(&mut text, columns, |text, (labels, value)| {
                let _ = write!(text, "{{\"metric\":{},\"value\":", json(&labels));
                point(text, at, value);
                text.push('}');
            });
            "vector"
        }
        QueryResult::Columns(grid, mut columns) => {
            columns.retain(|column| column.values.iter().any(Option::is_some));
            columns.sort_by(|a, b| a.labels.cmp(&b.labels));
            each(&mut text, limited(columns, limit, &mut warnings), |text, column| {
                let samples = grid.times().zip(&column.values);
                let samples = samples.filter_map(|(at, value)| Some(Sample { at, value: (*value)? }));
                series(text, &column.labels, samples);
            });
            "matrix"
        }
        QueryResult::Matrix(mut all) => {
            all.retain(|series| !series.samples.is_empty());
            all.sort_by(|a, b| a.labels.cmp(&b.labels));
            each(&mut text, limited(all, limit, &mut warnings), |text, one| {
                series(text, &one.labels, one.samples.into_iter());
            });
            "matrix"
        }
    };
    success(&format!("{{\"resultType\":\"{kind}\",\"result\":{text}}}"), &warnings)
}

fn limited<T>(mut items: Vec<T>, limit: usize, warnings: &mut BTreeSet<String>) -> Vec<T> {
    if items.len() > limit {
        items.truncate(limit);
        warnings.insert(TRUNCATED.to_owned());
    }
    items
}

fn series(text: &mut String, labels: &impl Serialize, samples: impl Iterator<Item = Sample>) {
    let _ = write!(text, "{{\"metric\":{},\"values\":", json(labels));
    each(text, samples, |text, sample| point(text, sample.at, sample.value));
    text.push('}');
}

fn each<T>(text: &mut String, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut String, T)) {
    text.push('[');
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        write(text, item);
    }
    text.push(']');
}

fn point(text: &mut String, at: i64, value: f64) {
    let _ = write!(text, "[{},\"{}\"]", time(at), number(value));
}

/// Formats Unix seconds, with a fraction of milliseconds unless it is zero.
fn time(at: i64) -> String {
    if at % 1000 == 0 {
        return (at / 1000).to_string();
    }
    let sign = if at < 0 { "-" } else { "" };
    format!("{sign}{}.{:03}", at.unsigned_abs() / 1000, at.unsigned_abs() % 1000)
}

/// Formats a number as Go does: the fewest digits that parse to the same value, with an exponent below 1e-6
/// and from 1e21.
fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let size = value.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}

fn json(value: &impl Serialize) -> String {
    // The serialization of strings, numbers and maps of them cannot fail.
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_have_prometheus_format() {
        for (value, text) in [
            (2.0, "2"),
            (0.1, "0.1"),
            (-0.0, "-0"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.5e300, "-1.5e+300"),
            (1e-6, "0.000001"),
            (1.25e-7, "1.25e-07"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(number(value), text);
        }
        for (at, text) in [(4000, "4"), (1_790_000_000_123, "1790000000.123"), (-1, "-0.001"), (50, "0.050")]
        {
            assert_eq!(time(at), text);
        }
    }
}
