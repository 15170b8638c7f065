//! `GET /docs`: the reference of the API, rendered in the browser from `/api/v1/openapi.json`.
//!
//! The page loads nothing from other hosts, so it works in a closed network, and the content security policy
//! allows only its one script.

use crate::app::App;
use axum::Router;
use axum::routing::get;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use std::sync::Arc;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// Serves the page and its two files; they require no key.
pub fn serve() -> Router<Arc<App>> {
    let files = [
        ("/docs", "text/html; charset=utf-8", include_str!("../docs/page.html")),
        ("/docs/page.css", "text/css; charset=utf-8", include_str!("../docs/page.css")),
        ("/docs/page.js", "text/javascript; charset=utf-8", include_str!("../docs/page.js")),
    ];
    files.into_iter().fold(Router::new(), |router, (path, content_type, text)| {
        let headers = [
            (CONTENT_TYPE, content_type),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (CACHE_CONTROL, "no-cache"),
        ];
        router.route(path, get(move || async move { (headers, text) }))
    })
}
