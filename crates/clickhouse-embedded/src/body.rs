//! Reads request bodies, and streams the data of an insert to the engine with bounded memory.
//!
//! Only a body that is complete, by HTTP and by its compressed frames, is followed by [`Chunk::End`]. In
//! every other case the channel closes without it, and the insert stores nothing.

use crate::error::Error;
use crate::frames::Decoder;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, timeout};

/// Maximum number of chunks that wait for the engine. A chunk is one read of hyper, or the content of one
/// frame.
pub const CHANNEL_CAPACITY: usize = 4;

/// Part of the data of an insert.
pub enum Chunk {
    /// Bytes of the data, split at any position.
    Data(Bytes),
    /// End of complete data.
    End,
}

/// A request body with its limits.
pub struct Body {
    /// The body as received.
    pub incoming: Incoming,
    /// True if the body consists of compressed frames.
    pub decompress: bool,
    /// Maximum time between two reads.
    pub receive_timeout: Duration,
    /// Maximum length in bytes, as received.
    pub max_length: u64,
}

impl Body {
    /// Sends the content to `chunks` until the body ends or fails. If the insert has failed meanwhile, that
    /// is not an error here: the rest of the body is read and discarded, so that the client reaches the point
    /// where it reads the response.
    pub async fn send_to(mut self, chunks: Sender<Chunk>, deadline: Instant) -> Result<(), Error> {
        let mut decoder = self.decompress.then(Decoder::default);
        let mut receiver_alive = true;
        let mut length = 0;
        while let Some(data) = next_data(&mut self.incoming, self.receive_timeout, deadline).await? {
            length += data.len() as u64;
            if length > self.max_length {
                return Err(Error::BodyTooLarge(self.max_length));
            }
            if !receiver_alive {
                continue;
            }
            match &mut decoder {
                None => receiver_alive = chunks.send(Chunk::Data(data)).await.is_ok(),
                Some(decoder) => {
                    decoder.push(&data);
                    while let Some(block) = decoder.next_block().map_err(Error::Frame)? {
                        receiver_alive =
                            receiver_alive && chunks.send(Chunk::Data(block.into())).await.is_ok();
                    }
                }
            }
        }
        if let Some(decoder) = decoder {
            decoder.finish().map_err(Error::Frame)?;
        }
        // Sending fails only if the insert has failed. The insert reports its own error.
        let _ = chunks.send(Chunk::End).await;
        Ok(())
    }

    /// Reads the whole content into memory.
    pub async fn read_all(mut self, deadline: Instant) -> Result<Vec<u8>, Error> {
        let mut content = Vec::new();
        while let Some(data) = next_data(&mut self.incoming, self.receive_timeout, deadline).await? {
            content.extend_from_slice(&data);
            if content.len() as u64 > self.max_length {
                return Err(Error::BodyTooLarge(self.max_length));
            }
        }
        if self.decompress { crate::frames::decode(&content).map_err(Error::Frame) } else { Ok(content) }
    }
}

/// Returns the next bytes, or `None` at the end of a complete body. hyper reports an incomplete body as an
/// error, for both `Content-Length` and chunked encoding.
async fn next_data(
    incoming: &mut Incoming,
    receive_timeout: Duration,
    deadline: Instant,
) -> Result<Option<Bytes>, Error> {
    let limit = receive_timeout.min(deadline.saturating_duration_since(Instant::now()));
    loop {
        match timeout(limit, incoming.frame()).await {
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
