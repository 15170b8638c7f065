//! The Prometheus API, as far as Grafana's data source uses it: PromQL over the metrics of the key's project.
//!
//! The way of a query: [`form`] reads its parameters, [`promql::parse`] and [`promql::plan`] make of its text what is to be read and
//! evaluated, [`fetch`] reads each selector's samples for the whole range at once, [`promql::eval`] evaluates in memory, and
//! [`answer`] writes the result. Errors have Prometheus's shape ([`failure`]).
//!
//! **What it promises.** The semantics are those of Prometheus 3. A metric is one series with two labels: `__name__`, its
//! id with what Prometheus does not allow made `_`, and `metric_id`, its true id; ids whose names become the same are told
//! apart by it. Because `metric_id` is a label like any other, operators between two metrics match with
//! `ignoring(metric_id)` or `on()`. Windows are left-open; an instant selector sees the last sample of five minutes, and
//! there are no staleness markers. Of two samples of one moment the one that was received later counts. `rate`, `irate`,
//! `increase` and `resets` read a series as a counter; a metric whose samples are events is summed by `sum_over_time`.
//!
//! **What it evaluates.** Selectors with all matchers, `offset`, `@`; subqueries; `*_over_time` but for those of
//! experiments; `rate irate increase delta idelta deriv predict_linear changes resets`; the aggregations `sum avg min max
//! count group stddev stdvar quantile topk bottomk`; arithmetic, comparisons, `and or unless`, matching one to one; the
//! functions of a value (mathematics, calendar, `round`, `clamp*`), `absent* sort* scalar vector time timestamp
//! label_replace label_join`.
//!
//! **What it refuses** with 422, by name: histograms (`histogram_*`), `group_left`, `group_right`, `fill`, `count_values`,
//! `limitk`, `limit_ratio`, `or` between matchers, and the functions that Prometheus calls experimental. Also 422 is what
//! goes beyond the bounds of [`promql::budget`]; 503 `timeout` what goes beyond the deadline of queries.

mod answer;
mod catalogue;
mod failure;
mod fetch;
mod form;
mod query;
mod rules;
mod status;

use crate::app::App;
use crate::auth::Reader;
use axum::Router;
use axum::extract::FromRequestParts;
use axum::routing::get;
use control::keys::Key;
use failure::Failure;
use hyper::http::request::Parts;
use std::sync::Arc;

/// The calls, without their prefix.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/query", get(query::instant).post(query::instant))
        .route("/query_range", get(query::range).post(query::range))
        .route("/query_exemplars", get(query::exemplars).post(query::exemplars))
        .route("/series", get(catalogue::series).post(catalogue::series))
        .route("/labels", get(catalogue::labels).post(catalogue::labels))
        .route("/label/{name}/values", get(catalogue::label_values))
        .route("/metadata", get(catalogue::metadata))
        .route("/status/buildinfo", get(status::build))
        .route("/rules", get(rules::rules))
        .route("/alerts", get(rules::alerts))
        .fallback(async || Failure::RouteNotFound)
        .method_not_allowed_fallback(async || Failure::MethodNotAllowed)
}

/// A key that may read, or an error in Prometheus's shape.
struct Caller(Arc<Key>);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let Reader(key) = Reader::from_request_parts(parts, app).await?;
        Ok(Self(key))
    }
}
