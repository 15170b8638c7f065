//! Batch ids.

use uuid::Uuid;

/// Returns the batch id in `bytes`, or `None` unless there are exactly 16 bytes.
pub fn batch_id(bytes: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(bytes).ok()
}
