use uuid::Uuid;

/// The batch id in `bytes`, if they hold one (16 bytes).
pub fn batch_id(bytes: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(bytes).ok()
}
