//! The routes, wrapped in the middleware.

use crate::app::App;
use crate::{middleware, prometheus, routes};
use axum::Router;
use axum::middleware::from_fn_with_state;
use std::sync::Arc;

pub fn router(app: Arc<App>) -> Router {
    let (router, _) = routes::all().split_for_parts();
    router
        .merge(routes::docs::serve())
        .nest("/prometheus/api/v1", prometheus::routes())
        .fallback(routes::page::serve)
        .layer(from_fn_with_state(app.clone(), middleware::handle))
        .with_state(app)
}
