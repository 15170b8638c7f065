//! The routes. Each file has the request and answer types of its calls, their OpenAPI annotations, and the
//! handlers.

pub mod alerts;
pub mod channels;
pub mod connections;
pub mod csv;
pub mod dashboards;
pub mod docs;
pub mod inbox;
pub mod keys;
pub mod metrics;
pub mod openapi;
pub mod page;
pub mod plans;
pub mod points;
pub mod projects;
pub mod query;

pub mod session;
pub mod stream;
pub mod timeseries;
pub mod usage;

use crate::app::App;
use crate::error::Error;
use axum::extract::{FromRequestParts, Path};
use hyper::http::request::Parts;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Returns all routes of the API with their OpenAPI descriptions.
pub fn all() -> OpenApiRouter<Arc<App>> {
    let api = OpenApiRouter::new()
        .routes(routes!(projects::create, projects::list))
        .routes(routes!(projects::get, projects::change, projects::remove))
        .routes(routes!(plans::list))
        .routes(routes!(plans::put))
        .routes(routes!(connections::create, connections::list))
        .routes(routes!(connections::get, connections::rename, connections::remove))
        .routes(routes!(connections::rotate))
        .routes(routes!(connections::revoke))
        .routes(routes!(keys::create, keys::list))
        .routes(routes!(keys::remove))
        .routes(routes!(session::begin, session::get, session::end))
        .routes(routes!(dashboards::create, dashboards::list))
        .routes(routes!(dashboards::get, dashboards::replace, dashboards::remove))
        .routes(routes!(alerts::create, alerts::list))
        .routes(routes!(alerts::get, alerts::replace, alerts::remove))
        .routes(routes!(alerts::preview::post))
        .routes(routes!(alerts::history::get))
        .routes(routes!(alerts::actions::acknowledge))
        .routes(routes!(alerts::actions::test))
        .routes(routes!(channels::create, channels::list))
        .routes(routes!(channels::remove))
        .routes(routes!(channels::test))
        .routes(routes!(inbox::list))
        .routes(routes!(inbox::read))
        .routes(routes!(metrics::list))
        .routes(routes!(metrics::get, metrics::remove))
        .routes(routes!(points::list))
        .routes(routes!(timeseries::get))
        .routes(routes!(usage::get))
        .routes(routes!(query::post))
        .routes(routes!(stream::get))
        .routes(routes!(openapi::get));
    OpenApiRouter::with_openapi(openapi::document()).nest("/api/v1", api)
}

/// The id in the path. An undecodable id becomes the empty id, which matches nothing.
pub struct Id(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        Ok(Self(path.map(|Path(id)| id).unwrap_or_default()))
    }
}

/// The metric id in the path. An undecodable id is the id of a metric that does not exist.
pub struct MetricId(pub String);

impl<S: Send + Sync> FromRequestParts<S> for MetricId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(id)| Self(id)).map_err(|_| Error::MetricNotFound)
    }
}
