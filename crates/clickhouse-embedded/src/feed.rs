//! Feeds a request's body to an insert: piece by piece, never more than a few of them in memory.
//!
//! Only a body that ended as HTTP says a body ends, with its compressed frames whole, is followed by [`Piece::End`].
//! Every other way out closes the channel without it, and the insert stores nothing.

use crate::error::Error;
use crate::frames::Decoder;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, timeout};

/// How many pieces wait for the engine; a piece is what hyper reads at once, or a frame's content.
pub const PIECES: usize = 4;

/// What an insert gets.
pub enum Piece {
    /// Bytes of the data, cut anywhere.
    Data(Bytes),
    /// The data was complete.
    End,
}

/// A body that is to be fed to an insert.
pub struct Source {
    /// The body.
    pub body: Incoming,
    /// It comes in frames.
    pub decompress: bool,
    /// The longest silence.
    pub receive_timeout: Duration,
    /// The largest body in bytes.
    pub max_body: u64,
}

impl Source {
    /// Reads the body to its end or to its fault. An insert that has failed meanwhile is no fault of the body: the rest
    /// is read and thrown away, so that the client gets to the point where it reads the answer.
    pub async fn feed(mut self, pieces: Sender<Piece>, deadline: Instant) -> Result<(), Error> {
        let mut decoder = self.decompress.then(Decoder::default);
        let mut wanted = true;
        let mut total = 0;
        while let Some(chunk) = next_chunk(&mut self.body, self.receive_timeout, deadline).await? {
            total += chunk.len() as u64;
            if total > self.max_body {
                return Err(Error::BodyTooLarge(self.max_body));
            }
            if !wanted {
                continue;
            }
            match &mut decoder {
                None => wanted = pieces.send(Piece::Data(chunk)).await.is_ok(),
                Some(decoder) => {
                    decoder.push(&chunk);
                    while let Some(block) = decoder.next_block().map_err(Error::Frame)? {
                        wanted = wanted && pieces.send(Piece::Data(block.into())).await.is_ok();
                    }
                }
            }
        }
        if let Some(decoder) = decoder {
            decoder.finish().map_err(Error::Frame)?;
        }
        // Not taken by an insert that has failed: then its own fault is the answer.
        let _ = pieces.send(Piece::End).await;
        Ok(())
    }
}

/// Reads a whole body, for statements.
pub async fn collect(mut source: Source, deadline: Instant) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    while let Some(chunk) = next_chunk(&mut source.body, source.receive_timeout, deadline).await? {
        content.extend_from_slice(&chunk);
        if content.len() as u64 > source.max_body {
            return Err(Error::BodyTooLarge(source.max_body));
        }
    }
    if source.decompress { crate::frames::decode(&content).map_err(Error::Frame) } else { Ok(content) }
}

/// The next bytes; `None` at a proper end. A body cut short is an error of hyper's, whichever way its length was told.
async fn next_chunk(
    body: &mut Incoming,
    silence: Duration,
    deadline: Instant,
) -> Result<Option<Bytes>, Error> {
    let limit = silence.min(deadline.saturating_duration_since(Instant::now()));
    loop {
        match timeout(limit, body.frame()).await {
            Err(_) => return Err(Error::ReceiveTimeout(limit)),
            Ok(None) => return Ok(None),
            Ok(Some(Err(error))) => return Err(Error::BodyBroken(error.to_string())),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}
