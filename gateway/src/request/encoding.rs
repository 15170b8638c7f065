//! Decodes `Content-Encoding` and stops at the size limit, so a decompression bomb is rejected before it
//! takes memory.
//!
//! An encoded body must be complete: a truncated body, or one with trailing bytes, does not decode.

use crate::error::{BodyLimit, Reject};
use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};
use std::io::{ErrorKind, Read};

/// Maximum size of a decoded body, in bytes.
pub const DECODED_LIMIT: usize = 4 << 20;

/// Binary logarithm of the largest accepted zstd window: 8 MiB, which RFC 8878 recommends decoders to support.
const ZSTD_WINDOW_LOG: u32 = 23;

/// The encoding of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    /// RFC 1952. Several members form one body.
    Gzip,
    /// RFC 8878. Several frames form one body.
    Zstd,
    /// zlib (RFC 1950), as HTTP defines the name. Raw deflate (RFC 1951), which some clients send, is
    /// detected.
    Deflate,
}

impl Encoding {
    /// Returns the encoding for a value of `Content-Encoding`.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match () {
            () if name.is_empty() || is("identity") => Some(Self::Identity),
            () if is("gzip") || is("x-gzip") => Some(Self::Gzip),
            () if is("zstd") => Some(Self::Zstd),
            () if is("deflate") => Some(Self::Deflate),
            () => None,
        }
    }

    /// Decodes a body to at most [`DECODED_LIMIT`] bytes.
    pub fn decode(self, body: Bytes) -> Result<Bytes, Reject> {
        match self {
            Self::Identity if body.len() > DECODED_LIMIT => Err(Reject::BodyTooLarge(BodyLimit::Decoded)),
            Self::Identity => Ok(body),
            Self::Gzip => decode_stream(flate2::bufread::MultiGzDecoder::new(&body[..]), "gzip"),
            Self::Zstd => decode_zstd(&body),
            Self::Deflate => decode_deflate(&body),
        }
    }
}

fn decode_stream(decoder: impl Read, name: &'static str) -> Result<Bytes, Reject> {
    let mut out = Vec::new();
    match decoder.take(DECODED_LIMIT as u64 + 1).read_to_end(&mut out) {
        Ok(_) if out.len() > DECODED_LIMIT => Err(Reject::BodyTooLarge(BodyLimit::Decoded)),
        Ok(_) => Ok(out.into()),
        Err(error) if error.kind() == ErrorKind::OutOfMemory => Err(Reject::BodyTooLarge(BodyLimit::Decoded)),
        Err(_) => Err(Reject::BodyUndecodable(name)),
    }
}

fn decode_zstd(body: &[u8]) -> Result<Bytes, Reject> {
    let undecodable = Reject::BodyUndecodable("zstd");
    // The decoder would accept input without any frame as an empty body.
    if body.is_empty() {
        return Err(undecodable);
    }
    let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(|_| undecodable.clone())?;
    decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(|_| undecodable)?;
    decode_stream(decoder, "zstd")
}

fn decode_deflate(body: &[u8]) -> Result<Bytes, Reject> {
    // RFC 1950: the method is 8, and the first two bytes are a multiple of 31. Raw deflate rarely matches by
    // chance.
    let zlib = matches!(body, [first, second, ..]
        if first & 0x0f == 8 && u16::from_be_bytes([*first, *second]) % 31 == 0);
    if zlib {
        match inflate(body, true) {
            Err(Reject::BodyUndecodable(_)) => {}
            result => return result,
        }
    }
    inflate(body, false)
}

/// Inflates `body` with a loop of its own, because the reader of `flate2` accepts truncated input as complete.
fn inflate(body: &[u8], zlib: bool) -> Result<Bytes, Reject> {
    let undecodable = Reject::BodyUndecodable("deflate");
    let mut inflater = Decompress::new(zlib);
    let mut out = Vec::with_capacity((body.len() * 4).clamp(1024, DECODED_LIMIT + 1));
    loop {
        let (read, written) = (inflater.total_in(), out.len());
        let input = body.get(usize::try_from(read).unwrap_or(usize::MAX)..).unwrap_or_default();
        let status = inflater.decompress_vec(input, &mut out, FlushDecompress::None);
        if out.len() > DECODED_LIMIT {
            return Err(Reject::BodyTooLarge(BodyLimit::Decoded));
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
