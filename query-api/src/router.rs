//! The routes with the middleware around them.

use crate::app::App;
use crate::{answer, prometheus, routes};
use axum::Router;
use axum::middleware::from_fn_with_state;
use std::sync::Arc;

/// Returns the service's router.
pub fn router(app: Arc<App>) -> Router {
    let (router, _) = routes::all().split_for_parts();
    router
        .merge(routes::docs::serve())
        .nest("/prometheus/api/v1", prometheus::routes())
        .fallback(routes::page::serve)
        .layer(from_fn_with_state(app.clone(), answer::finish))
        .with_state(app)
}
