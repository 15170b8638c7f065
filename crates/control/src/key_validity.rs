//! Validity of a key: whether and when its revocation, expiry or removed project ends it.
//!
//! A key is valid if it exists and none of these applies. Revocation, expiry and removal are separate entities, so
//! a late writer of the key or of one of them cannot undo another.

use proto::control::EntityKind;
use proto::v1::entity::Kind;

/// Revocation and expiry of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyValidity {
    /// Time at which the key was revoked or its project removed. The key is refused at once, whatever the clock says.
    pub revoked_at_ms: Option<i64>,
    /// Time at which the grace period of a replaced key ends.
    pub expires_at_ms: Option<i64>,
}

impl KeyValidity {
    /// Returns the entities that hold the key's revocation and expiry.
    pub fn entities_of(key_id: &str) -> [(EntityKind, &str); 2] {
        [(EntityKind::Revocation, key_id), (EntityKind::Expiry, key_id)]
    }

    /// Returns the validity that follows from these entities. Entities of other kinds have no effect.
    pub fn from_entities(entities: impl IntoIterator<Item = Option<Kind>>) -> Self {
        let mut validity = Self::default();
        for entity in entities.into_iter().flatten() {
            match entity {
                Kind::Revocation(revocation) => validity.revoke(revocation.revoked_at_ms),
                Kind::Removal(removal) => validity.revoke(removal.removed_at_ms),
                Kind::Expiry(expiry) => validity.expires_at_ms = Some(expiry.expires_at_ms),
                _ => {}
            }
        }
        validity
    }

    fn revoke(&mut self, at_ms: i64) {
        self.revoked_at_ms = Some(self.revoked_at_ms.map_or(at_ms, |known| known.min(at_ms)));
    }

    /// Returns whether the key is refused at `now_ms`.
    pub fn is_refused_at(self, now_ms: i64) -> bool {
        self.revoked_at_ms.is_some() || self.expires_at_ms.is_some_and(|at| at <= now_ms)
    }

    /// Returns the time from which the key is refused. None if it neither was revoked nor expires.
    pub fn refused_from_ms(self) -> Option<i64> {
        [self.revoked_at_ms, self.expires_at_ms].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::v1::{Expiry, Removal, Revocation};

    fn revocation(revoked_at_ms: i64) -> Option<Kind> {
        Some(Kind::Revocation(Revocation { revoked_at_ms, ..Revocation::default() }))
    }

    fn expiry(expires_at_ms: i64) -> Option<Kind> {
        Some(Kind::Expiry(Expiry { expires_at_ms, ..Expiry::default() }))
    }

    #[test]
    fn key_without_revocation_or_expiry_is_never_refused() {
        assert!(!KeyValidity::from_entities([None, None]).is_refused_at(i64::MAX));
    }

    #[test]
    fn key_is_refused_from_its_expiry_and_not_before() {
        let validity = KeyValidity::from_entities([None, expiry(100)]);
        assert!(!validity.is_refused_at(99) && validity.is_refused_at(100));
    }

    #[test]
    fn revocation_applies_at_once_even_if_the_clock_is_behind() {
        assert!(KeyValidity::from_entities([revocation(100), None]).is_refused_at(99));
        assert!(KeyValidity::from_entities([revocation(100), expiry(500)]).is_refused_at(99));
    }

    #[test]
    fn removal_of_a_project_refuses_its_keys() {
        let removal = Removal { removed_at_ms: 50, ..Removal::default() };
        let validity = KeyValidity::from_entities([expiry(500), Some(Kind::Removal(removal))]);
        assert!(validity.is_refused_at(0));
        assert_eq!(validity.refused_from_ms(), Some(50));
    }
}
