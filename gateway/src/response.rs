//! The HTTP answer to a request.

use crate::error::Reject;
use crate::quota;
use ::idempotency::{Batch, Ids};
use ::quota::QuotaState;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use service::request_id::RequestId;
use std::io::Write;

/// Marks an answer that repeats an earlier one.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A stored batch, as the 200 describes it.
pub struct Accepted {
    pub metrics: usize,
    pub ids: Ids,
    /// True if an earlier request stored the batch.
    pub replayed: bool,
}

impl Accepted {
    /// The first answer again: its batch was stored before.
    pub fn replay_of(first: Batch) -> Self {
        Self { metrics: first.accepted as usize, ids: first.ids, replayed: true }
    }

    fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(128);
        let Self { metrics, ids: Ids { batch_id, received_at_ms }, .. } = self;
        // Writing to memory does not fail.
        let _ = write!(
            body,
            r#"{{"success":true,"accepted":{metrics},"batchId":"{batch_id}","receivedAt":{received_at_ms}}}"#
        );
        body
    }
}

/// Builds the answer. `close` asks the client to close the connection.
pub fn build(
    result: &Result<Accepted, Reject>,
    request_id: RequestId,
    quota_state: Option<QuotaState>,
    close: bool,
) -> Response<Full<Bytes>> {
    let body = match result {
        Ok(accepted) => accepted.body(),
        Err(reject) => reject.body(request_id),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request_id.write(headers);
    if let Some(quota_state) = quota_state {
        quota::write_headers(quota_state, headers);
    }
    if close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if matches!(result, Ok(accepted) if accepted.replayed) {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    if let Err(reject) = result {
        if let Some((name, value)) = reject.header() {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Some(seconds) = reject.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        *response.status_mut() = reject.status();
    }
    response
}
