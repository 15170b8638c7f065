//! What a data source asks to find out whom it talks to: `status/buildinfo`.

use super::Caller;
use super::answer;
use axum::response::Response;
use serde_json::json;
use std::collections::BTreeSet;

/// The Prometheus whose API and semantics these are; data sources decide by it what they may ask.
const SPOKEN: &str = "3.0.0";

/// Which Prometheus this would be, and what it is.
pub async fn build(_: Caller) -> Response {
    let data = json!({
        "version": SPOKEN, "revision": concat!("tidemark-", env!("CARGO_PKG_VERSION")), "branch": "",
        "buildUser": "", "buildDate": "", "goVersion": "",
    });
    answer::plain(&data, &BTreeSet::new())
}
