//! Invariants that hold for the payload of every record.

use crate::record;
use proto::Message as _;

/// Panics if `payload` breaks an invariant.
pub fn assert_invariants(payload: &[u8]) {
    let identity = record::identity(payload);
    assert_eq!(identity, record::identity(payload));
    if let Ok(batch) = record::decode(payload) {
        assert_eq!(proto::batch_id(&batch.batch_id), Some(identity), "its identity is its batch id");
        assert_eq!(
            record::decode(&batch.encode_to_vec()),
            Ok(batch),
            "it decodes to the same batch when encoded again"
        );
    }
}
