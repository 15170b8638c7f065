//! Baseline for the gateway: a server that only reads and parses the same body, with hyper and serde_json.

use bytes::Bytes;
use e2e::Result;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use serde::Deserialize;
use service::http::HalfClosed;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
struct Batch {
    project_id: String,
    metrics: Vec<Metric>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
struct Metric {
    metric_id: String,
    metric_name: Option<String>,
    value: f64,
    unit: Option<String>,
    timestamp: Option<i64>,
}

/// Serves until SIGTERM or SIGINT.
pub async fn serve(listen: SocketAddr) -> Result<()> {
    let listener = service::http::bind(listen, "--listen").await?;
    let stop = service::stop::on_signal()?;
    service::http::serve(listener, |_| service_fn(parse), HalfClosed::Answer, stop, Duration::from_secs(1))
        .await;
    Ok(())
}

async fn parse(request: Request<Incoming>) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    let body =
        request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let (status, text) = match serde_json::from_slice::<Batch>(&body) {
        Ok(batch) => (200, format!("{{\"success\":true,\"accepted\":{}}}", batch.metrics.len())),
        Err(error) => (400, error.to_string()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    Ok(response)
}
