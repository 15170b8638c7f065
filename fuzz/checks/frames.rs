//! What holds of every compressed body.

use crate::frames::{Decoder, decode, encode};

/// Panics if it does not hold of `data`.
pub fn holds(data: &[u8]) {
    let whole = decode(data);
    let mut decoder = Decoder::default();
    let mut content = Vec::new();
    let in_pieces = data.chunks(7).try_for_each(|piece| {
        decoder.push(piece);
        while let Some(block) = decoder.next_block()? {
            content.extend_from_slice(&block);
        }
        Ok(())
    });
    let in_pieces = in_pieces.and_then(|()| decoder.finish()).map(|()| content);
    assert_eq!(whole, in_pieces, "pieces of any size are read as the whole is");
    assert_eq!(decode(&encode(data)).as_deref(), Ok(data), "what is encoded decodes to itself");
}
