//! Streams: new points and notifications as server-sent events.

use crate::app::App;
use crate::auth::Reader;
use crate::error::{Error, ErrorBody};
use crate::faults::FaultCode;
use crate::params::Params;
use crate::routes::inbox;
use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use hyper::{HeaderMap, Request};
use reads::stream::listeners::MetricFilter;
use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Asks proxies not to buffer the answer.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// Maximum number of metrics that a stream may name.
const MAX_METRICS: usize = 500;
/// Maximum number of chunks that wait to be written to the client.
const MAX_PENDING_CHUNKS: usize = 8;

/// Streams the new points of a project, within a second of the answer that accepted them. The events are
/// `point` (data `{metricId, timestamp, value, receivedAt}`), `gap` (points may be missing: the id was
/// unknown or too old) and `notice` (an item of the inbox with the number of `unread` ones; it has no id, and
/// is not repeated). The stream ends when the key is revoked, when the client is too slow, and when the
/// service shuts down. A client that reconnects with the last id receives the points that it missed. Deleted
/// points stop appearing within a second of their deletion.
#[utoipa::path(
    get,
    path = "/stream",
    tag = "metrics",
    operation_id = "stream",
    params(
        ("metricIds" = Option<String>, Query, description = "Only these metrics, separated by commas; they need not exist yet. Default all metrics of the project"),
        ("Last-Event-ID" = Option<String>, Header, nullable = false, description = "The id of the last event that the client received"),
        ("lastEventId" = Option<String>, Query, description = "The same, for clients that cannot set headers"),
    ),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "Server-sent events", content((String = "text/event-stream"))),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The data cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn get(
    Reader(key): Reader,
    State(app): State<Arc<App>>,
    mut params: Params,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let named = params.text("metricIds").unwrap_or_default().split(',').map(str::trim);
    let metrics: HashSet<String> = named.filter(|id| !id.is_empty()).map(str::to_owned).collect();
    if metrics.len() > MAX_METRICS {
        let message = format!("must name at most {MAX_METRICS} metrics");
        params.fault("metricIds", FaultCode::BadLength, message);
    }
    params.check()?;
    let header = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok());
    let resume = header.filter(|id| !id.is_empty()).or(params.text("lastEventId"));
    let hidden = app.reads.hidden_in_log(&key.project_id).await?;
    let session =
        app.reads.streams.join(&key.project_id, MetricFilter::new(metrics), hidden.clone(), resume)?;

    let (out, chunks) = mpsc::channel::<Bytes>(MAX_PENDING_CHUNKS);
    // While the stream is open, the key is checked again as for a new request, and deletions are looked up
    // again.
    let (inbox_app, project_id) = (app.clone(), key.project_id.clone());
    let known = Arc::new(Mutex::new(hidden));
    let recheck = move || {
        let (app, headers, known) = (app.clone(), headers.clone(), known.clone());
        let project = key.project_id.clone();
        async move {
            let allowed = reader(headers, &app).await.is_ok_and(|Reader(key)| key.project_id == project);
            let mut known = known.lock().await;
            // A failed lookup changes nothing: nothing can be deleted while Redis is unavailable.
            *known = app.reads.hidden_in_log(&project).await.unwrap_or_else(|_| known.clone());
            allowed.then(|| known.clone())
        }
    };
    tokio::spawn(async move {
        tokio::select! {
            () = session.run(out.clone(), recheck) => {}
            () = inbox::push(&inbox_app, &project_id, &out) => {}
        }
    });
    let chunks = futures::stream::unfold(chunks, async |mut chunks| {
        chunks.recv().await.map(|chunk| (Ok::<_, Infallible>(chunk), chunks))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store"), (ACCEL_BUFFERING, "no")];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

/// Authenticates a request with these headers again.
async fn reader(headers: HeaderMap, app: &Arc<App>) -> Result<Reader, Error> {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.headers = headers;
    Reader::from_request_parts(&mut parts, app).await
}
