//! ClickHouse's compressed frames, which the parameters `compress=1` and `decompress=1` select.
//!
//! A body is a sequence of frames. The layout of a frame, with little-endian numbers:
//! ```text
//! 16 bytes  checksum: CityHash 1.0.2, 128 bits, of the rest of the frame; low half first, then high half
//!  1 byte   codec: 0x82 (LZ4)
//!  4 bytes  size of the rest of the frame after the checksum: the 9-byte header (codec and sizes) and the block
//!  4 bytes  size of the decompressed block
//!           the LZ4 block
//! ```

use bytes::{Buf, BytesMut};

/// Size of the checksum in bytes.
const CHECKSUM: usize = 16;
/// Size of the header after the checksum in bytes.
const HEADER: usize = 9;
/// Codec byte of LZ4.
const LZ4: u8 = 0x82;

/// Maximum size of a received frame in bytes, compressed and decompressed. Clients send a few hundred KiB.
const MAX_FRAME: usize = 64 << 20;
/// Maximum decompressed size of a sent frame in bytes.
const ENCODED_FRAME: usize = 1 << 20;

/// Reason for rejecting a compressed body.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FrameError {
    /// The checksum does not match.
    #[error("Checksum doesn't match: corrupted data")]
    Checksum,
    /// The codec is not LZ4.
    #[error("Unsupported codec {0:#04x} of a compressed block: only 0x82 (LZ4) is supported")]
    Codec(u8),
    /// A size in the header is out of range.
    #[error("Size of a compressed block is {0} bytes: at most {MAX_FRAME} are allowed")]
    Size(usize),
    /// The block is not valid LZ4 of the announced size.
    #[error("Cannot decompress a block")]
    Block,
    /// The body ended within a frame.
    #[error("The body ended within a compressed block")]
    Truncated,
}

impl FrameError {
    /// Returns ClickHouse's code of the error.
    pub fn code(&self) -> u32 {
        match self {
            Self::Checksum => 40,
            Self::Codec(_) => 89,
            Self::Size(_) => 298,
            Self::Block => 271,
            Self::Truncated => 33,
        }
    }

    /// Returns ClickHouse's name of the code, in parentheses.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Checksum => "(CHECKSUM_DOESNT_MATCH)",
            Self::Codec(_) => "(UNKNOWN_COMPRESSION_METHOD)",
            Self::Size(_) => "(TOO_LARGE_SIZE_COMPRESSED)",
            Self::Block => "(CANNOT_DECOMPRESS)",
            Self::Truncated => "(CANNOT_READ_ALL_DATA)",
        }
    }
}

/// Incremental decoder: accepts a body in chunks of any size and returns the content of its frames.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: BytesMut,
}

impl Decoder {
    /// Adds received bytes.
    pub fn push(&mut self, chunk: &[u8]) {
        self.pending.extend_from_slice(chunk);
    }

    /// Returns the content of the next frame, or `None` if it is not complete yet.
    pub fn next_block(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        let Some((head, _)) = self.pending.split_first_chunk::<{ CHECKSUM + HEADER }>() else {
            return Ok(None);
        };
        let mut head = &head[..];
        let checksum = head.get_u128_le();
        let codec = head.get_u8();
        let compressed = head.get_u32_le() as usize;
        let raw = head.get_u32_le() as usize;
        // Validated before the decoder waits for, or allocates, as many bytes as these untrusted numbers say.
        if codec != LZ4 {
            return Err(FrameError::Codec(codec));
        }
        if !(HEADER..=MAX_FRAME).contains(&compressed) || raw > MAX_FRAME {
            return Err(FrameError::Size(compressed.max(raw)));
        }
        let Some(frame) = self.pending.get(CHECKSUM..CHECKSUM + compressed) else {
            return Ok(None);
        };
        if checksum_of(frame) != checksum {
            return Err(FrameError::Checksum);
        }
        let block = lz4_flex::block::decompress(&frame[HEADER..], raw).map_err(|_| FrameError::Block)?;
        if block.len() != raw {
            return Err(FrameError::Block);
        }
        self.pending.advance(CHECKSUM + compressed);
        Ok(Some(block))
    }

    /// Checks at the end of the body that it did not end within a frame.
    pub fn finish(&self) -> Result<(), FrameError> {
        if self.pending.is_empty() { Ok(()) } else { Err(FrameError::Truncated) }
    }
}

/// Decodes a complete body.
pub fn decode(body: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut decoder = Decoder::default();
    decoder.push(body);
    let mut content = Vec::new();
    while let Some(block) = decoder.next_block()? {
        content.extend_from_slice(&block);
    }
    decoder.finish()?;
    Ok(content)
}

/// Encodes `content` as frames. Empty content yields no frame.
pub fn encode(content: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(content.len() / 2);
    for part in content.chunks(ENCODED_FRAME) {
        let block = lz4_flex::block::compress(part);
        let start = body.len() + CHECKSUM;
        body.extend_from_slice(&[0; CHECKSUM]);
        body.push(LZ4);
        // The casts cannot truncate: a part has at most `ENCODED_FRAME` bytes, and LZ4 adds less than 1 % to
        // incompressible data.
        body.extend_from_slice(&((HEADER + block.len()) as u32).to_le_bytes());
        body.extend_from_slice(&(part.len() as u32).to_le_bytes());
        body.extend_from_slice(&block);
        let checksum = checksum_of(&body[start..]);
        body[start - CHECKSUM..start].copy_from_slice(&checksum.to_le_bytes());
    }
    body
}

/// Returns the checksum with its halves swapped, so that the low half comes first when it is written
/// little-endian.
fn checksum_of(frame: &[u8]) -> u128 {
    cityhash_rs::cityhash_102_128(frame).rotate_right(64)
}

#[cfg(test)]
#[path = "frames/corpus.rs"]
mod corpus;

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        (0..3_000_000_u32).flat_map(|i| (i / 7).to_le_bytes()).take(2_500_001).collect()
    }

    #[test]
    fn encoded_content_decodes_to_itself() {
        for content in [Vec::new(), b"x".to_vec(), sample()] {
            assert_eq!(decode(&encode(&content)), Ok(content));
        }
    }

    #[test]
    fn frame_of_another_implementation_is_decoded() {
        // Bytes in the style of RowBinaryWithNamesAndTypes, framed by another implementation.
        let frame = [
            245_u8, 5, 222, 235, 225, 158, 59, 108, 225, 31, 65, 215, 66, 66, 36, 92, 130, 34, 0, 0, 0, 23,
            0, 0, 0, 240, 8, 1, 0, 2, 255, 255, 255, 255, 0, 1, 1, 1, 115, 6, 83, 116, 114, 105, 110, 103, 3,
            97, 98, 99,
        ];
        let content =
            [1_u8, 0, 2, 255, 255, 255, 255, 0, 1, 1, 1, 115, 6, 83, 116, 114, 105, 110, 103, 3, 97, 98, 99];
        assert_eq!(decode(&frame), Ok(content.to_vec()));
    }

    #[test]
    fn frames_are_decoded_from_chunks_of_any_size() {
        let content = sample();
        let body = encode(&content);
        for size in [1_000, 65_536, 1_000_003] {
            let mut decoder = Decoder::default();
            let mut decoded = Vec::new();
            for chunk in body.chunks(size) {
                decoder.push(chunk);
                while let Some(block) = decoder.next_block().expect("the frames are complete") {
                    decoded.extend_from_slice(&block);
                }
            }
            assert_eq!(decoder.finish(), Ok(()));
            assert_eq!(decoded, content, "in chunks of {size}");
        }
    }

    #[test]
    fn flipped_bit_is_rejected() {
        let mut body = encode(b"the quick brown fox");
        *body.last_mut().expect("not empty") ^= 1;
        assert_eq!(decode(&body), Err(FrameError::Checksum));
    }

    #[test]
    fn body_that_ends_within_a_frame_is_rejected() {
        let body = encode(b"the quick brown fox");
        for length in [1, 16, 25, body.len() - 1] {
            assert_eq!(decode(&body[..length]), Err(FrameError::Truncated), "cut at {length}");
        }
    }

    #[test]
    fn excessive_size_is_rejected_before_the_data_arrives() {
        let mut body = encode(b"x");
        body[17..21].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(decode(&body), Err(FrameError::Size(u32::MAX as usize)));
    }

    #[test]
    fn unknown_codec_is_rejected_by_its_number() {
        let mut body = encode(b"x");
        body[16] = 0x90;
        assert_eq!(decode(&body), Err(FrameError::Codec(0x90)));
    }
}
