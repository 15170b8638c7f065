//! The middleware around all routes. It reads the body before the handler runs, writes errors together with
//! the request id, counts each request once, and delays the answer to clients that try unknown keys.

use crate::app::App;
use crate::body::ReceivedBody;
use crate::error::Error;
use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use service::client::Client;
use service::request_id::RequestId;
use std::sync::Arc;
use std::time::Instant;

/// Marks an answer to an unknown key whose body does not come from [`Error`].
#[derive(Debug, Clone, Copy)]
pub struct UnknownKey;

/// Handles a request with `next`.
pub async fn handle(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id = RequestId::next();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    // Counts on drop, so that it also counts requests that are cancelled because the client disconnects.
    let in_flight = app.metrics.begin(&method, route.as_deref().unwrap_or("none"), started);

    let trace = app.traces.request("query", request.headers());
    let peer = request.extensions().get::<Client>().copied();
    let client = peer.map(|peer| app.clients.of(peer, request.headers()));
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(ReceivedBody::read(body).await);
    let response = next.run(Request::from_parts(parts, axum::body::Body::empty())).await;

    let extensions = response.extensions();
    let unknown_key =
        extensions.get::<Error>() == Some(&Error::InvalidKey) || extensions.get::<UnknownKey>().is_some();
    if let Some(client) = client.filter(|_| unknown_key) {
        app.auth_throttle.wrong_key(client.address).await;
    }
    let mut response = write_error(response, request_id);
    request_id.write(response.headers_mut());
    let status = response.status();
    in_flight.end(status);
    let route = route.unwrap_or_default();
    if let Some(trace) = trace {
        trace.answered(&route, status, "");
    }
    if status.is_server_error() {
        tracing::warn!(%request_id, %method, route, status = status.as_u16(), "request failed");
    } else {
        tracing::debug!(%request_id, %method, route, status = status.as_u16(), "request handled");
    }
    response
}

/// Writes the body of an error. The router's own 405 becomes an [`Error`] too.
fn write_error(mut response: Response, request_id: RequestId) -> Response {
    let allow = response.headers().get(ALLOW).cloned();
    let error = match response.extensions_mut().remove::<Error>() {
        Some(error) => error,
        // A 405 with a content type comes from the Prometheus API, which writes its own errors.
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
