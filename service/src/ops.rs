//! The operations port: `GET /livez`, `GET /readyz`, `GET /metrics`. No key is asked for, so it stays off the public side.

use crate::health::Health;
use crate::http::HalfClosed;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use prometheus_client::registry::Registry;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Serves health and metrics until `stop`. Cancel it last, so that the stop itself can be watched.
pub async fn serve(listener: TcpListener, health: Health, metrics: Arc<Registry>, stop: CancellationToken) {
    let service = move |_| {
        let (health, metrics) = (health.clone(), metrics.clone());
        service_fn(move |request: Request<Incoming>| {
            let response = respond(&request, &health, &metrics);
            async move { Ok::<_, Infallible>(response) }
        })
    };
    crate::http::serve(listener, service, HalfClosed::Answer, stop, Duration::from_secs(1)).await;
}

fn respond(request: &Request<Incoming>, health: &Health, metrics: &Registry) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if !matches!(path, "/livez" | "/readyz" | "/metrics") {
        return text(StatusCode::NOT_FOUND, "there is /livez, /readyz and /metrics\n".to_owned());
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned());
        response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/livez" => verdict(health.stuck()),
        "/readyz" => verdict(health.not_ready()),
        _ => metrics_page(request, metrics),
    }
}

fn verdict(faults: Vec<String>) -> Response<Full<Bytes>> {
    if faults.is_empty() {
        text(StatusCode::OK, "ok\n".to_owned())
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, faults.join("\n") + "\n")
    }
}

fn metrics_page(request: &Request<Incoming>, metrics: &Registry) -> Response<Full<Bytes>> {
    let mut page = String::new();
    if prometheus_client::encoding::text::encode(&mut page, metrics).is_err() {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n".to_owned());
    }
    // OpenMetrics text reads as Prometheus text too; the type says what the scraper asked for.
    let open = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let content_type = if open.is_some_and(|accept| accept.contains("application/openmetrics-text")) {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    };
    let mut response = text(StatusCode::OK, page);
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    response
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
