//! When a key ends, judged from what ends it.
//!
//! A key is good if it exists and nothing here says otherwise. Revocation, expiry and removal are entities of their own,
//! so no late writer of the key, or of one of them, can undo another.

use proto::control::EntityKind;
use proto::v1::entity::Kind;

/// What ends a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyValidity {
    /// When it was revoked, or its project removed. That acts at once, whatever the clock says.
    pub revoked_at_ms: Option<i64>,
    /// When it was, or will be, replaced for good.
    pub expires_at_ms: Option<i64>,
}

impl KeyValidity {
    /// What is read to know of the key `key_id`; all in one slot with the key.
    pub fn wanted(key_id: &str) -> [(EntityKind, &str); 2] {
        [(EntityKind::Revocation, key_id), (EntityKind::Expiry, key_id)]
    }

    /// What these entities say; others say nothing.
    pub fn of(entities: impl IntoIterator<Item = Option<Kind>>) -> Self {
        let mut ends = Self::default();
        for entity in entities.into_iter().flatten() {
            match entity {
                Kind::Revocation(revocation) => ends.revoke(revocation.revoked_at_ms),
                Kind::Removal(removal) => ends.revoke(removal.removed_at_ms),
                Kind::Expiry(expiry) => ends.expires_at_ms = Some(expiry.expires_at_ms),
                _ => {}
            }
        }
        ends
    }

    fn revoke(&mut self, at_ms: i64) {
        self.revoked_at_ms = Some(self.revoked_at_ms.map_or(at_ms, |known| known.min(at_ms)));
    }

    /// Whether the key is refused.
    pub fn refused(self, now_ms: i64) -> bool {
        self.revoked_at_ms.is_some() || self.expires_at_ms.is_some_and(|at| at <= now_ms)
    }

    /// The moment from which it is refused; none if there is none yet.
    pub fn at_ms(self) -> Option<i64> {
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
    fn a_key_that_nothing_ends_is_good() {
        assert!(!KeyValidity::of([None, None]).refused(i64::MAX));
    }

    #[test]
    fn an_expiry_acts_at_its_moment_and_not_before() {
        let ends = KeyValidity::of([None, expiry(100)]);
        assert!(!ends.refused(99) && ends.refused(100));
    }

    #[test]
    fn a_revocation_acts_at_once_even_where_the_clock_is_behind() {
        assert!(KeyValidity::of([revocation(100), None]).refused(99));
        assert!(KeyValidity::of([revocation(100), expiry(500)]).refused(99));
    }

    #[test]
    fn a_removed_project_ends_its_keys() {
        let removal = Removal { removed_at_ms: 50, ..Removal::default() };
        let ends = KeyValidity::of([expiry(500), Some(Kind::Removal(removal))]);
        assert!(ends.refused(0));
        assert_eq!(ends.at_ms(), Some(50));
    }
}
