//! The operations port: `GET /livez`, `GET /readyz`, `GET /metrics`. No key is asked for, so it stays off the public side.

use crate::health::Health;
use crate::http::HalfClosed;
use crate::request_id::RequestId;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use prometheus_client::registry::Registry;
use std::collections::HashSet;
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
            let id = RequestId::next();
            let mut response = respond(&request, &health, &metrics, id);
            id.write(response.headers_mut());
            async move { Ok::<_, Infallible>(response) }
        })
    };
    crate::http::serve(listener, service, HalfClosed::Answer, stop, Duration::from_secs(1)).await;
}

fn respond(
    request: &Request<Incoming>,
    health: &Health,
    metrics: &Registry,
    id: RequestId,
) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if !matches!(path, "/livez" | "/readyz" | "/metrics") {
        let message = "There is nothing here: there are /livez, /readyz and /metrics.";
        return refusal(StatusCode::NOT_FOUND, "not_found", message, id);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let message = "Only GET and HEAD are allowed here.";
        let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message, id);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
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
    let open = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let (page, content_type) = if open.is_some_and(|accept| accept.contains("application/openmetrics-text")) {
        (page, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    } else {
        (plain(&page), "text/plain; version=0.0.4; charset=utf-8")
    };
    let mut response = text(StatusCode::OK, page);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Prometheus's own text of a page in OpenMetrics, for scrapers that know no other: there a counter is called as its
/// samples are, and nothing is said of units and of the end.
fn plain(page: &str) -> String {
    let counter = |line| str::strip_prefix(line, "# TYPE ")?.strip_suffix(" counter");
    let counters: HashSet<&str> = page.lines().filter_map(counter).collect();
    let mut text = String::with_capacity(page.len());
    for line in page.lines() {
        let described = ["# HELP ", "# TYPE "].into_iter().find_map(|what| {
            let (name, rest) = line.strip_prefix(what)?.split_once(' ')?;
            counters.contains(name).then(|| format!("{what}{name}_total {rest}"))
        });
        match described {
            Some(described) => text += &described,
            None if line.starts_with("# UNIT ") || line == "# EOF" => continue,
            None => text += line,
        }
        text.push('\n');
    }
    text
}

/// An error in the shape that every one has.
fn refusal(status: StatusCode, code: &str, message: &str, id: RequestId) -> Response<Full<Bytes>> {
    // What is put in has no character that JSON would escape.
    let body = format!(r#"{{"error":"{code}","message":"{message}","requestId":"{id}"}}"#);
    let mut response = text(status, body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_plain_text_a_counter_is_called_as_its_samples_are() {
        let open = "# HELP a_requests Requests.\n# TYPE a_requests counter\na_requests_total{b=\"c\"} 1\n\
                    # HELP a_seconds Time.\n# TYPE a_seconds gauge\n# UNIT a_seconds seconds\na_seconds 2\n# EOF\n";
        let expected = "# HELP a_requests_total Requests.\n# TYPE a_requests_total counter\na_requests_total{b=\"c\"} 1\n\
                        # HELP a_seconds Time.\n# TYPE a_seconds gauge\na_seconds 2\n";
        assert_eq!(plain(open), expected);
    }
}
