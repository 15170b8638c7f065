//! What every answer has in common, applied around all routes: the body is taken in before a handler runs, errors are
//! written with the request's id, each request is counted once, and who tries keys waits for the answer.

use crate::app::App;
use crate::body::Collected;
use crate::error::Error;
use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use serde::Serialize;
use service::client::Client;
use service::request_id::RequestId;
use std::sync::Arc;
use std::time::Instant;

/// Goes with an answer to an unknown key that was written in another shape than ours.
#[derive(Debug, Clone, Copy)]
pub struct WrongKey;

/// The middleware around all routes.
pub async fn finish(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let request_id = RequestId::next();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    // Counts also what is cancelled: the client left.
    let count = app.metrics.begin(&method, route.as_deref().unwrap_or("none"), begun);

    let trace = app.traces.request("query", request.headers());
    let peer = request.extensions().get::<Client>().copied();
    let client = peer.map(|peer| app.clients.of(peer, request.headers()));
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(Collected::read(body).await);
    let response = next.run(Request::from_parts(parts, axum::body::Body::empty())).await;

    let told = response.extensions();
    let wrong_key = told.get::<Error>() == Some(&Error::InvalidKey) || told.get::<WrongKey>().is_some();
    if let Some(client) = client.filter(|_| wrong_key) {
        app.auth_throttle.wrong_key(client.address).await;
    }
    let mut response = written(response, request_id);
    request_id.write(response.headers_mut());
    let status = response.status();
    count.end(status);
    let route = route.unwrap_or_default();
    if let Some(trace) = trace {
        trace.answered(&route, status, "");
    }
    if status.is_server_error() {
        tracing::warn!(%request_id, %method, route, status = status.as_u16(), "could not serve");
    } else {
        tracing::debug!(%request_id, %method, route, status = status.as_u16(), "served");
    }
    response
}

/// An answer of many points, written into a vector of about its size: [`axum::Json`] writes into what grows, and slower.
pub fn of_points(answer: &impl Serialize, points: usize) -> Response {
    // More than a point takes, mostly; it grows if not.
    const POINT: usize = 72;
    let mut body = Vec::with_capacity(1024 + points * POINT);
    match serde_json::to_writer(&mut body, answer) {
        Ok(()) => ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Gives an error its body. What the router itself answered becomes an error of ours.
fn written(mut response: Response, request_id: RequestId) -> Response {
    let allow = response.headers().get(ALLOW).cloned();
    let error = match response.extensions_mut().remove::<Error>() {
        Some(error) => error,
        // The Prometheus API has written its own.
        None if response.status() == StatusCode::METHOD_NOT_ALLOWED
            && !response.headers().contains_key(CONTENT_TYPE) =>
        {
            Error::MethodNotAllowed
        }
        None => return response,
    };
    let mut response = (error.status(), Json(error.body(request_id))).into_response();
    let headers = response.headers_mut();
    if let Some((name, text)) = error.header() {
        headers.insert(name, HeaderValue::from_static(text));
    }
    if let Some(seconds) = error.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(allow) = allow {
        headers.insert(ALLOW, allow);
    }
    response
}
