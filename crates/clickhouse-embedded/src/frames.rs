//! ClickHouse's compressed frames, as `compress=1` and `decompress=1` ask for them.
//!
//! A body is any number of frames. A frame, numbers little-endian:
//! ```text
//! 16 bytes  CityHash 1.0.2, 128 bits, of all that follows: the low half, then the high half
//!  1 byte   0x82: LZ4
//!  4 bytes  size of what follows the checksum: these 9 bytes of header and the block
//!  4 bytes  size of the block once it is decompressed
//!           the LZ4 block
//! ```

use bytes::{Buf, BytesMut};

const CHECKSUM: usize = 16;
const HEADER: usize = 9;
const LZ4: u8 = 0x82;

/// The most that one frame may hold, compressed or not: clients send a few hundred KiB.
const MAX_FRAME: usize = 64 << 20;
/// How much of a result goes into one frame.
const FRAME: usize = 1 << 20;

/// Why a compressed body was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FrameError {
    /// What arrived is not what was sent.
    #[error("Checksum doesn't match: corrupted data")]
    Checksum,
    /// Only LZ4 is spoken.
    #[error("Unknown codec {0:#04x} of a compressed block, 0x82 (LZ4) is known")]
    Codec(u8),
    /// A size that no client of ours sends.
    #[error("A compressed block claims {0} bytes, at most {MAX_FRAME} are taken")]
    Size(usize),
    /// The block is no LZ4.
    #[error("Cannot decompress a block")]
    Block,
    /// The body ended within a frame.
    #[error("The body ended within a compressed block")]
    Truncated,
}

impl FrameError {
    /// ClickHouse's code for it.
    pub fn code(&self) -> u32 {
        match self {
            Self::Checksum => 40,
            Self::Codec(_) => 89,
            Self::Size(_) => 298,
            Self::Block => 271,
            Self::Truncated => 33,
        }
    }

    /// ClickHouse's name for the code, in brackets.
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

/// Puts frames together from the chunks of a body and takes them apart.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: BytesMut,
}

impl Decoder {
    /// Adds what arrived.
    pub fn push(&mut self, chunk: &[u8]) {
        self.pending.extend_from_slice(chunk);
    }

    /// The content of the next frame, if it has arrived in full.
    pub fn next_block(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        let Some((head, _)) = self.pending.split_first_chunk::<{ CHECKSUM + HEADER }>() else {
            return Ok(None);
        };
        let mut head = &head[..];
        let checksum = head.get_u128_le();
        let codec = head.get_u8();
        let compressed = head.get_u32_le() as usize;
        let raw = head.get_u32_le() as usize;
        // Checked before anything is awaited or allocated on the word of these numbers.
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

    /// The body is over: it must not have ended within a frame.
    pub fn finish(&self) -> Result<(), FrameError> {
        if self.pending.is_empty() { Ok(()) } else { Err(FrameError::Truncated) }
    }
}

/// Takes a whole body apart.
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

/// Puts `content` into frames; nothing into none.
pub fn encode(content: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(content.len() / 2);
    for part in content.chunks(FRAME) {
        let block = lz4_flex::block::compress(part);
        let start = body.len() + CHECKSUM;
        body.extend_from_slice(&[0; CHECKSUM]);
        body.push(LZ4);
        // Both fit: a part is at most `FRAME`, and LZ4 adds less than a percent to what it cannot compress.
        body.extend_from_slice(&((HEADER + block.len()) as u32).to_le_bytes());
        body.extend_from_slice(&(part.len() as u32).to_le_bytes());
        body.extend_from_slice(&block);
        let checksum = checksum_of(&body[start..]);
        body[start - CHECKSUM..start].copy_from_slice(&checksum.to_le_bytes());
    }
    body
}

/// The low half first, as it stands on the wire when written little-endian.
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
    fn what_is_encoded_decodes_to_itself() {
        for content in [Vec::new(), b"x".to_vec(), sample()] {
            assert_eq!(decode(&encode(&content)), Ok(content));
        }
    }

    #[test]
    fn a_frame_made_elsewhere_is_understood() {
        // `SELECT 1` as RowBinaryWithNamesAndTypes-like bytes, framed by another implementation.
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
    fn frames_that_arrive_in_pieces_are_put_together() {
        let content = sample();
        let body = encode(&content);
        for size in [1_000, 65_536, 1_000_003] {
            let mut decoder = Decoder::default();
            let mut decoded = Vec::new();
            for chunk in body.chunks(size) {
                decoder.push(chunk);
                while let Some(block) = decoder.next_block().expect("the frames are whole") {
                    decoded.extend_from_slice(&block);
                }
            }
            assert_eq!(decoder.finish(), Ok(()));
            assert_eq!(decoded, content, "in chunks of {size}");
        }
    }

    #[test]
    fn a_flipped_bit_is_refused() {
        let mut body = encode(b"the quick brown fox");
        *body.last_mut().expect("not empty") ^= 1;
        assert_eq!(decode(&body), Err(FrameError::Checksum));
    }

    #[test]
    fn a_body_that_ends_within_a_frame_is_refused() {
        let body = encode(b"the quick brown fox");
        for length in [1, 16, 25, body.len() - 1] {
            assert_eq!(decode(&body[..length]), Err(FrameError::Truncated), "cut at {length}");
        }
    }

    #[test]
    fn a_size_beyond_all_reason_is_refused_before_it_is_awaited() {
        let mut body = encode(b"x");
        body[17..21].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(decode(&body), Err(FrameError::Size(u32::MAX as usize)));
    }

    #[test]
    fn another_codec_is_refused_by_name() {
        let mut body = encode(b"x");
        body[16] = 0x90;
        assert_eq!(decode(&body), Err(FrameError::Codec(0x90)));
    }
}
