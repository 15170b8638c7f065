//! Undoes `Content-Encoding`, never making more than the limit: a bomb is refused before it is large.
//!
//! An encoded body must be whole: what is cut off, or followed by something else, does not decode.

use crate::error::{Limit, Reject};
use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};
use std::io::{ErrorKind, Read};

/// The most bytes that a body may have once decoded.
pub const DECODED_LIMIT: usize = 4 << 20;

/// The largest window that a zstd frame may ask for: 8 MiB, the size that RFC 8878 asks decoders to support.
const ZSTD_WINDOW_LOG: u32 = 23;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// RFC 1952; several members are read as one body.
    Gzip,
    /// RFC 8878; several frames are read as one body.
    Zstd,
    /// zlib (RFC 1950), as the name has always meant; bare deflate (RFC 1951), which some clients send, is recognised.
    Deflate,
}

impl Encoding {
    /// What `Content-Encoding: <name>` means.
    pub fn named(name: &[u8]) -> Option<Self> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match () {
            () if name.is_empty() || is("identity") => Some(Self::Identity),
            () if is("gzip") || is("x-gzip") => Some(Self::Gzip),
            () if is("zstd") => Some(Self::Zstd),
            () if is("deflate") => Some(Self::Deflate),
            () => None,
        }
    }

    /// The decoded body, at most [`DECODED_LIMIT`] bytes.
    pub fn decode(self, body: Bytes) -> Result<Bytes, Reject> {
        match self {
            Self::Identity if body.len() > DECODED_LIMIT => Err(Reject::BodyTooLarge(Limit::Decoded)),
            Self::Identity => Ok(body),
            Self::Gzip => read_all(flate2::bufread::MultiGzDecoder::new(&body[..]), "gzip"),
            Self::Zstd => zstd_all(&body),
            Self::Deflate => deflate_all(&body),
        }
    }
}

fn read_all(decoder: impl Read, name: &'static str) -> Result<Bytes, Reject> {
    let mut out = Vec::new();
    match decoder.take(DECODED_LIMIT as u64 + 1).read_to_end(&mut out) {
        Ok(_) if out.len() > DECODED_LIMIT => Err(Reject::BodyTooLarge(Limit::Decoded)),
        Ok(_) => Ok(out.into()),
        Err(error) if error.kind() == ErrorKind::OutOfMemory => Err(Reject::BodyTooLarge(Limit::Decoded)),
        Err(_) => Err(Reject::BodyUndecodable(name)),
    }
}

fn zstd_all(body: &[u8]) -> Result<Bytes, Reject> {
    let undecodable = Reject::BodyUndecodable("zstd");
    // No frame at all is no zstd; the reader would take it for an empty body.
    if body.is_empty() {
        return Err(undecodable);
    }
    let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(|_| undecodable.clone())?;
    decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(|_| undecodable)?;
    read_all(decoder, "zstd")
}

fn deflate_all(body: &[u8]) -> Result<Bytes, Reject> {
    // RFC 1950: the method is 8, and the first two bytes are a multiple of 31. Bare deflate looks so by chance, rarely.
    let zlib = matches!(body, [first, second, ..]
        if first & 0x0f == 8 && u16::from_be_bytes([*first, *second]) % 31 == 0);
    if zlib {
        match inflate(body, true) {
            Err(Reject::BodyUndecodable(_)) => {}
            done => return done,
        }
    }
    inflate(body, false)
}

/// By hand, for the reader of this library takes the end of its input for the end of the data.
fn inflate(body: &[u8], zlib: bool) -> Result<Bytes, Reject> {
    let undecodable = Reject::BodyUndecodable("deflate");
    let mut inflater = Decompress::new(zlib);
    let mut out = Vec::with_capacity((body.len() * 4).clamp(1024, DECODED_LIMIT + 1));
    loop {
        let (read, written) = (inflater.total_in(), out.len());
        let rest = body.get(usize::try_from(read).unwrap_or(usize::MAX)..).unwrap_or_default();
        let status = inflater.decompress_vec(rest, &mut out, FlushDecompress::None);
        if out.len() > DECODED_LIMIT {
            return Err(Reject::BodyTooLarge(Limit::Decoded));
        }
        match status {
            Ok(Status::StreamEnd) if inflater.total_in() == body.len() as u64 => return Ok(out.into()),
            Ok(Status::StreamEnd) | Err(_) => return Err(undecodable),
            Ok(Status::Ok | Status::BufError) if out.len() == out.capacity() => {
                out.reserve_exact(out.len().max(1024).min(DECODED_LIMIT + 1 - out.len()));
            }
            Ok(Status::Ok | Status::BufError) if inflater.total_in() == read && out.len() == written => {
                return Err(undecodable);
            }
            Ok(Status::Ok | Status::BufError) => {}
        }
    }
}
