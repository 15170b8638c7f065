//! Invariants that hold for every compressed body.

use crate::frames::{Decoder, decode, encode};

/// Panics if `data` breaks an invariant.
pub fn assert_invariants(data: &[u8]) {
    let whole = decode(data);
    let mut decoder = Decoder::default();
    let mut content = Vec::new();
    let in_chunks = data.chunks(7).try_for_each(|chunk| {
        decoder.push(chunk);
        while let Some(block) = decoder.next_block()? {
            content.extend_from_slice(&block);
        }
        Ok(())
    });
    let in_chunks = in_chunks.and_then(|()| decoder.finish()).map(|()| content);
    assert_eq!(whole, in_chunks, "the result does not depend on how the input is split");
    assert_eq!(decode(&encode(data)).as_deref(), Ok(data), "encoded content decodes to itself");
}
