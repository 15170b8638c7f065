//! Points as they come, as server-sent events.

use crate::app::App;
use crate::auth::Reader;
use crate::error::{Error, ErrorBody};
use crate::fault::Code;
use crate::params::Params;
use crate::routes::inbox;
use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use hyper::{HeaderMap, Request};
use reads::stream::hub::Wanted;
use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Proxies that would gather the answer before they pass it on are asked not to.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// How many metrics a stream may name.
const MOST: usize = 500;
/// How many pieces of text may wait for a client's connection.
const AHEAD: usize = 8;

/// The points of a project as they come, within a second of the answer that accepted them. Events are `point` (data
/// `{metricId, timestamp, value, receivedAt}`), `gap` (points may be missing: the id was unknown or too old) and
/// `notice` (an item of the inbox with how many are `unread`; it has no id, and is not repeated). The stream ends when
/// the key does, when the client is too slow, and when the service stops; who comes back with the last id gets what it
/// missed. Points that were deleted are not shown, within a second of their deletion.
#[utoipa::path(
    get,
    path = "/stream",
    tag = "metrics",
    operation_id = "stream",
    params(
        ("metricIds" = Option<String>, Query, description = "Only these metrics, separated by commas; they need not exist yet. All of the project if left out"),
        ("Last-Event-ID" = Option<String>, Header, nullable = false, description = "The id of the last event that the client has"),
        ("lastEventId" = Option<String>, Query, description = "The same, for clients that cannot set headers"),
    ),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "Server-sent events", content((String = "text/event-stream"))),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be read at the moment", body = ErrorBody),
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
    if metrics.len() > MOST {
        params.faults.add("metricIds", Code::BadLength, "must name at most 500 metrics");
    }
    params.check()?;
    let header = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok());
    let resume = header.filter(|id| !id.is_empty()).or(params.text("lastEventId"));
    let hidden = app.reads.hidden_in_log(&key.project_id).await?;
    let session = app.reads.streams.join(&key.project_id, Wanted::new(metrics), hidden.clone(), resume)?;

    let (out, pieces) = mpsc::channel::<Bytes>(AHEAD);
    // The key is looked at as any call would, for as long as the stream lasts, and what was deleted meanwhile.
    let (listening, project_id) = (app.clone(), key.project_id.clone());
    let known = Arc::new(Mutex::new(hidden));
    let look = move || {
        let (app, headers, known) = (app.clone(), headers.clone(), known.clone());
        let project = key.project_id.clone();
        async move {
            let allowed = reader(headers, &app).await.is_ok_and(|Reader(key)| key.project_id == project);
            let mut known = known.lock().await;
            // What cannot be looked up is as it was: without Redis nothing is deleted.
            *known = app.reads.hidden_in_log(&project).await.unwrap_or_else(|_| known.clone());
            allowed.then(|| known.clone())
        }
    };
    tokio::spawn(async move {
        tokio::select! {
            () = session.run(out.clone(), look) => {}
            () = inbox::push(&listening, &project_id, &out) => {}
        }
    });
    let pieces = futures::stream::unfold(pieces, async |mut pieces| {
        pieces.recv().await.map(|piece| (Ok::<_, Infallible>(piece), pieces))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store"), (ACCEL_BUFFERING, "no")];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// What the extractor says of a request with these headers now.
async fn reader(headers: HeaderMap, app: &Arc<App>) -> Result<Reader, Error> {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.headers = headers;
    Reader::from_request_parts(&mut parts, app).await
}
