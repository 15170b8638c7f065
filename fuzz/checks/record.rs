//! What holds of the payload of every record.

use crate::record;
use proto::Message as _;

/// Panics if it does not hold of `data`.
pub fn holds(data: &[u8]) {
    let identity = record::identity(data);
    assert_eq!(identity, record::identity(data));
    if let Ok(batch) = record::read(data) {
        assert_eq!(proto::batch_id(&batch.batch_id), Some(identity), "it is known by its batch id");
        assert_eq!(record::read(&batch.encode_to_vec()), Ok(batch), "written again it is the same");
    }
}
