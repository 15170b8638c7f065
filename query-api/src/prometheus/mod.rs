//! The part of the Prometheus HTTP API that Grafana's data source uses: PromQL over the metrics of the key's
//! project.
//!
//! Path of a query: [`form`] reads its parameters; [`promql::parse`] and [`promql::plan`] turn its text into
//! selectors and an expression tree; [`fetch`] reads the samples of each selector for the whole range at
//! once; [`promql::eval`] evaluates the tree in memory; and [`answer`] writes the result. Errors have
//! Prometheus's shape ([`failure`]).
//!
//! **Semantics.** They are those of Prometheus 3. A metric is one series with two labels: `__name__`, its id
//! with characters that Prometheus does not allow replaced by `_`, and `metric_id`, its original id, which
//! distinguishes ids with the same `__name__`. Because `metric_id` is a label like any other, operators
//! between two metrics match with `ignoring(metric_id)` or `on()`. Windows are left-open; an instant selector
//! returns the last sample of five minutes, and there are no staleness markers. Of two samples with the same
//! time, the one that was received later counts. `rate`, `irate`, `increase` and `resets` read a series as a
//! counter; for a metric whose samples are events, use `sum_over_time`.
//!
//! **Supported.** Selectors with all matchers, `offset`, `@`; subqueries; `*_over_time` except for
//! experimental ones; `rate irate increase delta idelta deriv predict_linear changes resets`; the
//! aggregations `sum avg min max count group stddev stdvar quantile topk bottomk`; arithmetic, comparisons,
//! `and or unless`, one-to-one matching; functions of a value (mathematics, calendar, `round`, `clamp*`),
//! `absent* sort* scalar vector time timestamp label_replace label_join`.
//!
//! **Not supported.** Histograms (`histogram_*`), `group_left`, `group_right`, `fill`, `count_values`,
//! `limitk`, `limit_ratio`, `or` between matchers, and the functions that Prometheus calls experimental get
//! 422 with their name. A query that exceeds the bounds of [`promql::budget`] gets 422 too; one that exceeds
//! its deadline gets 503 `timeout`.

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

/// Returns the routes without their prefix.
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

/// A key with the scope `read`; its rejection has Prometheus's shape.
struct Caller(Arc<Key>);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let Reader(key) = Reader::from_request_parts(parts, app).await?;
        Ok(Self(key))
    }
}
