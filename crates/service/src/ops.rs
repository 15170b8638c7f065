//! Operations port: `GET /livez`, `GET /readyz`, `GET /metrics`. It requires no key, so it must not be
//! exposed publicly.

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

/// Serves health and metrics until `stop`. Cancel this token last, so that operators can observe the shutdown
/// itself.
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
        let message = "Unknown path: use /livez, /readyz or /metrics.";
        return refusal(StatusCode::NOT_FOUND, "not_found", message, id);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let message = "Method not allowed: use GET or HEAD.";
        let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message, id);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/livez" => health_response(health.stuck()),
        "/readyz" => health_response(health.not_ready()),
        _ => metrics_page(request, metrics),
    }
}

/// Returns 200 if there are no faults, otherwise 503 with one fault per line.
fn health_response(faults: Vec<String>) -> Response<Full<Bytes>> {
    if faults.is_empty() {
        text(StatusCode::OK, "ok\n".to_owned())
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, faults.join("\n") + "\n")
    }
}

fn metrics_page(request: &Request<Incoming>, metrics: &Registry) -> Response<Full<Bytes>> {
    let mut page = String::new();
    if prometheus_client::encoding::text::encode(&mut page, metrics).is_err() {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be encoded\n".to_owned());
    }
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let (page, content_type) = if accept.is_some_and(|accept| accept.contains("application/openmetrics-text"))
    {
        (page, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    } else {
        (prometheus_text(&page), "text/plain; version=0.0.4; charset=utf-8")
    };
    let mut response = text(StatusCode::OK, page);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Converts an OpenMetrics page to the Prometheus text format 0.0.4, for scrapers that do not accept
/// OpenMetrics. In that format the name of a counter family carries the suffix `_total` of its samples, and
/// there are no `# UNIT` and `# EOF` lines.
fn prometheus_text(page: &str) -> String {
    let counter = |line| str::strip_prefix(line, "# TYPE ")?.strip_suffix(" counter");
    let counters: HashSet<&str> = page.lines().filter_map(counter).collect();
    let mut text = String::with_capacity(page.len());
    for line in page.lines() {
        let renamed = ["# HELP ", "# TYPE "].into_iter().find_map(|keyword| {
            let (name, rest) = line.strip_prefix(keyword)?.split_once(' ')?;
            counters.contains(name).then(|| format!("{keyword}{name}_total {rest}"))
        });
        match renamed {
            Some(renamed) => text += &renamed,
            None if line.starts_with("# UNIT ") || line == "# EOF" => continue,
            None => text += line,
        }
        text.push('\n');
    }
    text
}

/// Returns an error in the JSON form that all error responses share.
fn refusal(status: StatusCode, code: &str, message: &str, id: RequestId) -> Response<Full<Bytes>> {
    // None of the inserted strings contains a character that JSON would escape.
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
    fn prometheus_text_renames_counters_and_drops_units() {
        let open = "# HELP a_requests Requests.\n# TYPE a_requests counter\na_requests_total{b=\"c\"} 1\n\
                    # HELP a_seconds Time.\n# TYPE a_seconds gauge\n# UNIT a_seconds seconds\na_seconds 2\n# EOF\n";
        let expected = "# HELP a_requests_total Requests.\n# TYPE a_requests_total counter\na_requests_total{b=\"c\"} 1\n\
                        # HELP a_seconds Time.\n# TYPE a_seconds gauge\na_seconds 2\n";
        assert_eq!(prometheus_text(open), expected);
    }
}
