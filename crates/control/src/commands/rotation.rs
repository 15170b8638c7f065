//! Decides which keys of a connection a rotation ends, and when. Contains no I/O.
//!
//! Contract: no older key outlives the grace period of the last rotation, and no rotation extends a key's life. So a
//! rotation without a grace period leaves exactly one valid key, whatever the earlier rotations were.

use super::entities::revocation;
use crate::key_validity::KeyValidity;
use proto::v1::{Expiry, entity::Kind};
use std::time::Duration;

/// Maximum number of replaced keys of a connection in their grace period.
pub const MAX_IN_GRACE: usize = 20;

/// The current key of a connection, or one that was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionKey {
    /// Public id.
    pub key_id: String,
    /// Validity before the rotation.
    pub validity: KeyValidity,
}

/// Outcome of the decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Ids of the keys that are valid until `events` have been published, in the order of the input.
    pub valid_key_ids: Vec<String>,
    /// Revocations or expiries to publish.
    pub events: Vec<Kind>,
    /// Time from which the current key, the last one, is refused; Unix milliseconds.
    pub current_expires_at_ms: i64,
}

/// Plans the replacement of `keys`; the current one is the last. None if too many keys would be in their grace
/// period.
pub fn plan(keys: &[ConnectionKey], now_ms: i64, grace: Duration) -> Option<Plan> {
    let until = now_ms.saturating_add(i64::try_from(grace.as_millis()).unwrap_or(i64::MAX));
    let valid: Vec<&ConnectionKey> = keys.iter().filter(|key| !key.validity.is_refused_at(now_ms)).collect();
    if valid.len() > MAX_IN_GRACE && !grace.is_zero() {
        return None;
    }
    let events =
        valid.iter().filter(|key| key.validity.refused_from_ms().is_none_or(|at| at > until)).map(|key| {
            if grace.is_zero() {
                revocation(&key.key_id, now_ms)
            } else {
                Kind::Expiry(Expiry { key_id: key.key_id.clone(), expires_at_ms: until })
            }
        });
    Some(Plan {
        events: events.collect(),
        valid_key_ids: valid.iter().map(|key| key.key_id.clone()).collect(),
        current_expires_at_ms: keys
            .last()
            .and_then(|key| key.validity.refused_from_ms())
            .map_or(until, |at| at.min(until)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};

    const NOW: i64 = 1_790_000_000_000;

    fn keys() -> impl Strategy<Value = Vec<ConnectionKey>> {
        let time = || proptest::option::of(NOW - 100_000..NOW + 100_000);
        let validity = (proptest::option::of(NOW - 100_000..NOW), time())
            .prop_map(|(revoked_at_ms, expires_at_ms)| KeyValidity { revoked_at_ms, expires_at_ms });
        proptest::collection::vec(validity, 1..10).prop_map(|all| {
            let key = |(index, validity)| ConnectionKey { key_id: format!("key{index}"), validity };
            all.into_iter().enumerate().map(key).collect()
        })
    }

    /// Returns the validity of each key after the plan's events have been applied as Redis applies them.
    fn after(keys: &[ConnectionKey], plan: &Plan) -> Vec<KeyValidity> {
        let applied = |key: &ConnectionKey| {
            let mut validity = key.validity;
            for event in &plan.events {
                match event {
                    Kind::Revocation(event) if event.key_id == key.key_id => {
                        validity.revoked_at_ms = Some(event.revoked_at_ms)
                    }
                    Kind::Expiry(event) if event.key_id == key.key_id => {
                        validity.expires_at_ms = Some(event.expires_at_ms)
                    }
                    _ => {}
                }
            }
            validity
        };
        keys.iter().map(applied).collect()
    }

    proptest! {
        #[test]
        fn rotation_never_extends_a_key_and_no_key_outlives_the_grace(keys in keys(), grace in 0_u64..150) {
            let plan = plan(&keys, NOW, Duration::from_secs(grace)).expect("few keys are in their grace period");
            let until = NOW + i64::try_from(grace).expect("the grace period is small") * 1000;
            for (before, after) in keys.iter().zip(after(&keys, &plan)) {
                if before.validity.is_refused_at(NOW) {
                    prop_assert_eq!(after, before.validity);
                } else {
                    let expected = before.validity.refused_from_ms().map_or(until, |at| at.min(until));
                    prop_assert_eq!(after.refused_from_ms(), Some(expected));
                    prop_assert!(after.is_refused_at(until));
                }
            }
            let last = after(&keys, &plan).last().and_then(|validity| validity.refused_from_ms());
            prop_assert_eq!(Some(plan.current_expires_at_ms), last);
        }

        #[test]
        fn keys_that_stay_valid_stay_listed(keys in keys(), grace in 0_u64..150) {
            let plan = plan(&keys, NOW, Duration::from_secs(grace)).expect("few keys are in their grace period");
            for (key, validity) in keys.iter().zip(after(&keys, &plan)) {
                prop_assert!(validity.is_refused_at(NOW) || plan.valid_key_ids.contains(&key.key_id));
            }
        }
    }

    #[test]
    fn too_many_keys_in_grace_are_rejected_but_revoking_all_is_not() {
        let key = |index| ConnectionKey { key_id: format!("key{index}"), validity: KeyValidity::default() };
        let keys: Vec<ConnectionKey> = (0..=MAX_IN_GRACE).map(key).collect();
        assert_eq!(plan(&keys, NOW, Duration::from_secs(1)), None);
        assert!(plan(&keys[1..], NOW, Duration::from_secs(1)).is_some());
        assert_eq!(plan(&keys, NOW, Duration::ZERO).map(|plan| plan.events.len()), Some(keys.len()));
    }
}
