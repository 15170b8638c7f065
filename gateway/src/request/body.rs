//! Reads a request body within a size limit and two timeouts, or discards it.
//!
//! A request may be answered before its body is read. The rest of the body is then read and dropped in the
//! background, within bounds: otherwise a client that writes its whole body before it reads would see a
//! connection reset instead of the answer. A client that waits for `100 Continue` is not asked for a body
//! that nobody needs, and its connection is closed. Such a client may have started to send without waiting,
//! so its body is still drained briefly.

use crate::error::{BodyLimit, Reject};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::{Body, Incoming};
use hyper::header::EXPECT;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Maximum size of a body as sent, in bytes.
pub const WIRE_LIMIT: usize = 1 << 20;

/// Maximum number of bytes that are drained from an unread body before the connection is closed.
const MAX_DRAIN_BYTES: usize = 16 << 20;
/// Maximum time for which an unread body is drained before the connection is closed.
const MAX_DRAIN_TIME: Duration = Duration::from_secs(5);
/// Maximum idle time while draining the body of a client that still waits for `100 Continue`.
const UNREQUESTED_IDLE_TIME: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
pub struct BodyTimeouts {
    /// Maximum time between two pieces of the body.
    pub idle: Duration,
    /// Maximum time for the whole body.
    pub total: Duration,
}

/// A body that is read at most once.
pub struct RequestBody {
    incoming: Incoming,
    /// The client still waits for `100 Continue`. The first read sends it.
    awaits_continue: bool,
    /// Reading failed or timed out, so the rest is not worth draining.
    failed: bool,
}

impl RequestBody {
    pub fn new(headers: &HeaderMap, incoming: Incoming) -> Self {
        let awaits_continue =
            headers.get(EXPECT).is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        Self { incoming, awaits_continue, failed: false }
    }

    /// Reads the whole body of at most [`WIRE_LIMIT`] bytes. A body whose `Content-Length` is larger is
    /// rejected unread.
    pub async fn read(&mut self, timeouts: BodyTimeouts) -> Result<Bytes, Reject> {
        let declared = usize::try_from(self.incoming.size_hint().lower()).unwrap_or(usize::MAX);
        if declared > WIRE_LIMIT {
            return Err(Reject::BodyTooLarge(BodyLimit::Wire));
        }
        self.awaits_continue = false;
        let deadline = Instant::now() + timeouts.total;
        // Nearly every body arrives in one piece, which is returned without a copy.
        let Some(first) = self.next_piece(timeouts, deadline).await? else { return Ok(Bytes::new()) };
        if first.len() > WIRE_LIMIT {
            return Err(Reject::BodyTooLarge(BodyLimit::Wire));
        }
        let Some(second) = self.next_piece(timeouts, deadline).await? else { return Ok(first) };
        let mut whole = BytesMut::with_capacity(declared.max(first.len() + second.len()).min(WIRE_LIMIT));
        whole.extend_from_slice(&first);
        let mut next = Some(second);
        while let Some(piece) = next {
            if whole.len() + piece.len() > WIRE_LIMIT {
                return Err(Reject::BodyTooLarge(BodyLimit::Wire));
            }
            whole.extend_from_slice(&piece);
            next = self.next_piece(timeouts, deadline).await?;
        }
        Ok(whole.freeze())
    }

    /// Returns the next data frame, or `None` at the end of the body.
    async fn next_piece(
        &mut self,
        timeouts: BodyTimeouts,
        deadline: Instant,
    ) -> Result<Option<Bytes>, Reject> {
        loop {
            if self.incoming.is_end_stream() {
                return Ok(None);
            }
            let idle_deadline = Instant::now() + timeouts.idle;
            match timeout_at(deadline.min(idle_deadline), self.incoming.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
                Ok(Some(Err(_))) => {
                    self.failed = true;
                    return Err(Reject::BodyBroken);
                }
                Err(_) => {
                    self.failed = true;
                    return Err(Reject::RequestTimeout);
                }
            }
        }
    }

    /// Discards the unread rest of the body. Returns whether the connection must be closed because the bytes
    /// that follow may belong to the body and not to a next request.
    pub fn discard_rest(self) -> bool {
        if self.incoming.is_end_stream() {
            return self.failed;
        }
        if self.failed {
            return true;
        }
        // The answer is sent before the drain task reads, so the first read does not send `100 Continue`.
        let idle_time = if self.awaits_continue { UNREQUESTED_IDLE_TIME } else { MAX_DRAIN_TIME };
        tokio::spawn(drain(self.incoming, idle_time));
        self.awaits_continue
    }
}

/// Reads and drops the body within the bounds. When an unfinished body is dropped, hyper closes the
/// connection.
async fn drain(mut body: Incoming, idle_time: Duration) {
    let deadline = Instant::now() + MAX_DRAIN_TIME;
    let mut left = MAX_DRAIN_BYTES;
    while let Ok(Some(Ok(frame))) = timeout_at(deadline.min(Instant::now() + idle_time), body.frame()).await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        if length > left {
            return;
        }
        left -= length;
    }
}
