//! The body as it was sent: read within a limit and two times, or dropped politely.
//!
//! A request may be answered before its body was read. Then the rest is read and dropped in the background, within
//! bounds: a client that writes its whole body before it reads would otherwise meet a reset connection and never see
//! why it was refused. A client that waits for `100 Continue` is not asked to send what nobody wants, and its connection is
//! closed; but it may have begun by itself, so what comes is read for a moment.

use crate::error::{Limit, Reject};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::{Body, Incoming};
use hyper::header::EXPECT;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The most bytes that a body may have on the wire.
pub const WIRE_LIMIT: usize = 1 << 20;

/// How many bytes of an unwanted body are read, and for how long, before the connection is closed on it.
const DRAIN_BYTES: usize = 16 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// How long the next bytes of a body are waited for that the client was not asked to send.
const UNASKED: Duration = Duration::from_secs(1);

/// How long a body may take.
#[derive(Debug, Clone, Copy)]
pub struct BodyTimes {
    /// Without a single byte.
    pub idle: Duration,
    /// In all.
    pub total: Duration,
}

/// A body that is read once, or not at all.
pub struct RequestBody {
    incoming: Incoming,
    /// The client waits for `100 Continue`, which the first read sends.
    awaited: bool,
    /// Nothing more will come, or what comes is not waited for.
    given_up: bool,
}

impl RequestBody {
    /// The body of a request with these headers.
    pub fn new(headers: &HeaderMap, incoming: Incoming) -> Self {
        let awaited =
            headers.get(EXPECT).is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        Self { incoming, awaited, given_up: false }
    }

    /// The whole body, at most [`WIRE_LIMIT`] bytes; a body that says beforehand that it is longer is not waited for.
    pub async fn read(&mut self, times: BodyTimes) -> Result<Bytes, Reject> {
        let announced = usize::try_from(self.incoming.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > WIRE_LIMIT {
            return Err(Reject::BodyTooLarge(Limit::Wire));
        }
        self.awaited = false;
        let end = Instant::now() + times.total;
        // Nearly every body is one piece, which is kept as it is.
        let Some(first) = self.piece(times, end).await? else { return Ok(Bytes::new()) };
        if first.len() > WIRE_LIMIT {
            return Err(Reject::BodyTooLarge(Limit::Wire));
        }
        let Some(second) = self.piece(times, end).await? else { return Ok(first) };
        let mut whole = BytesMut::with_capacity(announced.max(first.len() + second.len()).min(WIRE_LIMIT));
        whole.extend_from_slice(&first);
        let mut next = Some(second);
        while let Some(piece) = next {
            if whole.len() + piece.len() > WIRE_LIMIT {
                return Err(Reject::BodyTooLarge(Limit::Wire));
            }
            whole.extend_from_slice(&piece);
            next = self.piece(times, end).await?;
        }
        Ok(whole.freeze())
    }

    async fn piece(&mut self, times: BodyTimes, end: Instant) -> Result<Option<Bytes>, Reject> {
        loop {
            if self.incoming.is_end_stream() {
                return Ok(None);
            }
            let deadline = end.min(Instant::now() + times.idle);
            match timeout_at(deadline, self.incoming.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
                Ok(Some(Err(_))) => {
                    self.given_up = true;
                    return Err(Reject::BodyBroken);
                }
                Err(_) => {
                    self.given_up = true;
                    return Err(Reject::RequestTimeout);
                }
            }
        }
    }

    /// Lets go of what was not read. True if the connection must be closed, for more may come that is no request.
    pub fn dismiss(self) -> bool {
        if self.incoming.is_end_stream() {
            return self.given_up;
        }
        if self.given_up {
            return true;
        }
        // The answer's head is under way before anything is read, so nobody is told to continue.
        tokio::spawn(drain(self.incoming, if self.awaited { UNASKED } else { DRAIN_TIME }));
        self.awaited
    }
}

/// Reads and drops. Dropping a body that has not ended makes hyper close the connection.
async fn drain(mut body: Incoming, silence: Duration) {
    let end = Instant::now() + DRAIN_TIME;
    let mut left = DRAIN_BYTES;
    while let Ok(Some(Ok(frame))) = timeout_at(end.min(Instant::now() + silence), body.frame()).await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        if length > left {
            return;
        }
        left -= length;
    }
}
