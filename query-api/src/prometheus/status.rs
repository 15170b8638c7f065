//! `status/buildinfo`, by which data sources detect the version of Prometheus.

use super::Caller;
use super::answer;
use axum::response::Response;
use serde_json::json;
use std::collections::BTreeSet;

/// The Prometheus version whose API and semantics this service has. Data sources enable features by it.
const PROMETHEUS_VERSION: &str = "3.0.0";

/// Returns the version of Prometheus and, as revision, the version of this service.
pub async fn build(_: Caller) -> Response {
    let data = json!({
        "version": PROMETHEUS_VERSION, "revision": concat!("tidemark-", env!("CARGO_PKG_VERSION")), "branch": "",
        "buildUser": "", "buildDate": "", "goVersion": "",
    });
    answer::plain(&data, &BTreeSet::new())
}
