//! What becomes of a connection's keys when it gets a new one: a pure decision.
//!
//! The promise: no older key outlives the grace that was given last, and none is given more than it had. So a rotation
//! without grace leaves exactly one good key, whatever went before.

use super::revocation;
use crate::key_validity::KeyValidity;
use proto::v1::{Expiry, entity::Kind};
use std::time::Duration;

/// How many replaced keys of a connection may be in their grace.
pub const MAX_IN_GRACE: usize = 20;

/// A key that is to be replaced, or was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// Its public id.
    pub key_id: String,
    /// What ends it so far.
    pub ends: KeyValidity,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The ids of the keys that are good as long as `ends` has not been published, in the same order.
    pub still_good: Vec<String>,
    /// What ends them.
    pub ends: Vec<Kind>,
    /// From when on the last of them, the current key, is refused.
    pub current_ends_at_ms: i64,
}

/// Replaces `keys`, of which the current one is the last. None if too many would be in their grace.
pub fn plan(keys: &[Replaced], now_ms: i64, grace: Duration) -> Option<Plan> {
    let until = now_ms.saturating_add(i64::try_from(grace.as_millis()).unwrap_or(i64::MAX));
    let good: Vec<&Replaced> = keys.iter().filter(|key| !key.ends.refused(now_ms)).collect();
    if good.len() > MAX_IN_GRACE && !grace.is_zero() {
        return None;
    }
    let ends = good.iter().filter(|key| key.ends.at_ms().is_none_or(|at| at > until)).map(|key| {
        if grace.is_zero() {
            revocation(&key.key_id, now_ms)
        } else {
            Kind::Expiry(Expiry { key_id: key.key_id.clone(), expires_at_ms: until })
        }
    });
    Some(Plan {
        ends: ends.collect(),
        still_good: good.iter().map(|key| key.key_id.clone()).collect(),
        current_ends_at_ms: keys.last().and_then(|key| key.ends.at_ms()).map_or(until, |at| at.min(until)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};

    const NOW: i64 = 1_790_000_000_000;

    fn keys() -> impl Strategy<Value = Vec<Replaced>> {
        let moment = || proptest::option::of(NOW - 100_000..NOW + 100_000);
        let ends = (proptest::option::of(NOW - 100_000..NOW), moment())
            .prop_map(|(revoked_at_ms, expires_at_ms)| KeyValidity { revoked_at_ms, expires_at_ms });
        proptest::collection::vec(ends, 1..10).prop_map(|all| {
            let key = |(index, ends)| Replaced { key_id: format!("key{index}"), ends };
            all.into_iter().enumerate().map(key).collect()
        })
    }

    /// The keys as they are once the plan's events are applied, as the store applies them.
    fn after(keys: &[Replaced], plan: &Plan) -> Vec<KeyValidity> {
        let applied = |key: &Replaced| {
            let mut ends = key.ends;
            for event in &plan.ends {
                match event {
                    Kind::Revocation(end) if end.key_id == key.key_id => {
                        ends.revoked_at_ms = Some(end.revoked_at_ms)
                    }
                    Kind::Expiry(end) if end.key_id == key.key_id => {
                        ends.expires_at_ms = Some(end.expires_at_ms)
                    }
                    _ => {}
                }
            }
            ends
        };
        keys.iter().map(applied).collect()
    }

    proptest! {
        #[test]
        fn no_key_outlives_the_grace_and_none_is_given_more_than_it_had(keys in keys(), grace in 0_u64..150) {
            let plan = plan(&keys, NOW, Duration::from_secs(grace)).expect("there are few");
            let until = NOW + i64::try_from(grace).expect("it is small") * 1000;
            for (before, after) in keys.iter().zip(after(&keys, &plan)) {
                if before.ends.refused(NOW) {
                    prop_assert_eq!(after, before.ends);
                } else {
                    let end = before.ends.at_ms().map_or(until, |at| at.min(until));
                    prop_assert_eq!(after.at_ms(), Some(end));
                    prop_assert!(after.refused(until));
                }
            }
            prop_assert_eq!(Some(plan.current_ends_at_ms), after(&keys, &plan).last().and_then(|ends| ends.at_ms()));
        }

        #[test]
        fn whatever_is_still_good_afterwards_stays_on_the_list(keys in keys(), grace in 0_u64..150) {
            let plan = plan(&keys, NOW, Duration::from_secs(grace)).expect("there are few");
            for (key, ends) in keys.iter().zip(after(&keys, &plan)) {
                prop_assert!(ends.refused(NOW) || plan.still_good.contains(&key.key_id));
            }
        }
    }

    #[test]
    fn too_many_keys_in_grace_are_refused_and_ending_all_of_them_never_is() {
        let key = |index| Replaced { key_id: format!("key{index}"), ends: KeyValidity::default() };
        let keys: Vec<Replaced> = (0..=MAX_IN_GRACE).map(key).collect();
        assert_eq!(plan(&keys, NOW, Duration::from_secs(1)), None);
        assert!(plan(&keys[1..], NOW, Duration::from_secs(1)).is_some());
        assert_eq!(plan(&keys, NOW, Duration::ZERO).map(|plan| plan.ends.len()), Some(keys.len()));
    }
}
