//! The routes: each file has a call's types, its annotations for the OpenAPI document, and its handler.

pub mod connections;
pub mod csv;
pub mod docs;
pub mod metrics;
pub mod openapi;
pub mod points;
pub mod projects;
pub mod query;
pub mod stream;
pub mod timeseries;

use crate::app::App;
use crate::error::Error;
use axum::extract::{FromRequestParts, Path};
use hyper::http::request::Parts;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Every route of the API, with its description.
pub fn all() -> OpenApiRouter<Arc<App>> {
    let api = OpenApiRouter::new()
        .routes(routes!(projects::create))
        .routes(routes!(connections::create))
        .routes(routes!(metrics::list))
        .routes(routes!(metrics::get))
        .routes(routes!(points::list))
        .routes(routes!(timeseries::get))
        .routes(routes!(query::post))
        .routes(routes!(stream::get));
    OpenApiRouter::with_openapi(openapi::document()).nest("/api/v1", api)
}

/// The metric that the path names. What cannot be a name is one that does not exist.
pub struct MetricId(pub String);

impl<S: Send + Sync> FromRequestParts<S> for MetricId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(id)| Self(id)).map_err(|_| Error::NoMetric)
    }
}
