//! The catalogue of series: `series`, `labels`, `label/<name>/values`, `metadata`.
//!
//! A time range is extended to whole hours, which the rollup stores, so a series may be listed whose points
//! are just outside of the range.

use super::Caller;
use super::answer;
use super::failure::Failure;
use super::fetch;
use super::form::Form;
use crate::app::App;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use promql::labels::{Labels, metric_name};
use reads::display_name::name;
use reads::store::MetricsPage;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Maximum number of metrics that `metadata` describes.
const MAX_DESCRIBED: usize = 20_000;

/// Returns the label sets of the series that `match[]` selects.
pub async fn series(
    Caller(key): Caller,
    State(app): State<Arc<App>>,
    form: Form,
) -> Result<Response, Failure> {
    let (limit, selectors, range) = (form.limit("limit")?, form.selectors()?, form.range()?);
    if selectors.is_empty() {
        return Err(Failure::bad_data("no match[] parameter provided".to_owned()));
    }
    let found = fetch::metrics(&app, &key.project_id, &selectors, range).await?;
    Ok(answer::list(found, limit))
}

/// Returns the names of all labels.
pub async fn labels(
    Caller(key): Caller,
    State(app): State<Arc<App>>,
    form: Form,
) -> Result<Response, Failure> {
    let (limit, selectors, range) = (form.limit("limit")?, form.selectors()?, form.range()?);
    let found = fetch::metrics(&app, &key.project_id, &selectors, range).await?;
    let names: BTreeSet<&str> = found.iter().flat_map(Labels::names).collect();
    Ok(answer::list(names.into_iter().collect(), limit))
}

/// Returns the values of a label.
pub async fn label_values(
    Caller(key): Caller,
    State(app): State<Arc<App>>,
    label: Result<Path<String>, PathRejection>,
    form: Form,
) -> Result<Response, Failure> {
    let Path(label) =
        label.map_err(|_| Failure::bad_data("invalid label name: it is not UTF-8".to_owned()))?;
    let (limit, selectors, range) = (form.limit("limit")?, form.selectors()?, form.range()?);
    let found = fetch::metrics(&app, &key.project_id, &selectors, range).await?;
    let values: BTreeSet<&str> =
        found.iter().map(|labels| labels.get(&label)).filter(|value| !value.is_empty()).collect();
    Ok(answer::list(values.into_iter().collect(), limit))
}

/// The metadata of a metric.
#[derive(Serialize)]
struct Description {
    r#type: &'static str,
    help: String,
    unit: String,
}

/// Returns the names and units of metrics, by their Prometheus names.
pub async fn metadata(
    Caller(key): Caller,
    State(app): State<Arc<App>>,
    form: Form,
) -> Result<Response, Failure> {
    let (limit, each) = (form.limit("limit")?, form.limit("limit_per_metric")?);
    let view = app.reads.view(&key.project_id).await?;
    let page = MetricsPage { limit: MAX_DESCRIBED, ..MetricsPage::default() };
    let rows = app.reads.store.metrics(&view, &key.project_id, page).await?;
    let mut described: BTreeMap<String, Vec<Description>> = BTreeMap::new();
    for row in rows {
        let named = metric_name(&row.metric_id);
        if form.text("metric").is_some_and(|metric| metric != named) {
            continue;
        }
        let descriptions = described.entry(named).or_default();
        if descriptions.len() < each {
            // Senders do not declare the type of a metric.
            descriptions.push(Description {
                r#type: "unknown",
                help: name(&row.metric_id, &row.newest_name),
                unit: row.newest_unit,
            });
        }
    }
    let described: BTreeMap<_, _> = described.into_iter().take(limit).collect();
    Ok(answer::plain(&described, &BTreeSet::new()))
}
