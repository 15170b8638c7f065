//! Compares the script on a real Redis with the model of Redis that the protocol tests use: random changes must
//! get equal results.

use super::*;
use crate::RETENTION_HOURS;
use crate::protocol::tests::{LEASE_MS, Redis};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use redis_access::testing::connection;

fn version() -> impl Strategy<Value = Version> {
    (0..3u128, 0..3usize)
        .prop_map(|(name, state)| Version { attempt: Uuid::from_u128(name), state: State::ALL[state] })
}

fn claim() -> impl Strategy<Value = Claim> {
    (version(), any::<u128>(), any::<i64>(), any::<[u8; 32]>(), any::<u32>()).prop_map(
        |(version, id, received_at_ms, body_hash, accepted)| {
            let ids = Ids { batch_id: Uuid::from_u128(id), received_at_ms };
            Claim { version, batch: Batch { ids, body_hash, accepted } }
        },
    )
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        1 => Just(Change::Read),
        4 => (any::<bool>(), version(), claim()).prop_map(|(free, version, claim)| {
            Change::Put { expected: (!free).then_some(version), claim }
        }),
        2 => version().prop_map(Change::Drop),
    ]
}

#[tokio::test]
async fn script_behaves_like_the_model_in_the_protocol_tests() {
    let mut redis = connection().await;
    let key_names = KeyNames::new(&format!("test_{}", Uuid::new_v4().simple()));
    let mut runner = TestRunner::deterministic();
    let mut applied = 0;
    for case in 0..40 {
        let name = name(&key_names, "prj_a", &case.to_string());
        let mut model = Redis::default();
        let changes = prop::collection::vec(change(), 1..40)
            .new_tree(&mut runner)
            .expect("the strategy generates values")
            .current();
        for mut change in changes {
            // Half of the changes expect the stored version.
            if let (Change::Put { expected, claim }, true) = (&mut change, applied % 2 == 0) {
                *expected = model.claim.map(|claim| claim.version);
                claim.batch.accepted = applied;
            }
            let lease = Duration::from_millis(LEASE_MS);
            let real = exchange(&mut redis, &name, change, lease).await.expect("Redis runs");
            let modelled = model.exchange(change);
            applied += u32::from(real.done);
            assert_eq!((real.done, real.seen.claim), (modelled.done, modelled.seen.claim), "{change:?}");
            assert_eq!(real.seen.lease_left_ms > 0, modelled.seen.lease_left_ms > 0, "{change:?}");
            assert!(real.seen.lease_left_ms <= LEASE_MS);
        }
    }
    assert!(applied > 100, "only {applied} changes were applied");
}

#[tokio::test]
async fn claim_outlives_the_key_lifetime_after_its_last_change() {
    let mut redis = connection().await;
    let key_names = KeyNames::new(&format!("test_{}", Uuid::new_v4().simple()));
    let name = name(&key_names, "prj_a", "any key: \"{}\"");
    let claim =
        claim().new_tree(&mut TestRunner::deterministic()).expect("the strategy generates values").current();
    let put = Change::Put { expected: None, claim };
    assert!(exchange(&mut redis, &name, put, Duration::ZERO).await.expect("Redis runs").done);
    let left: u64 = redis::cmd("TTL").arg(&name).query_async(&mut redis).await.expect("Redis runs");
    assert!(left <= RETENTION_HOURS * 3600 && left > (RETENTION_HOURS - 1) * 3600, "{left} s");
}

#[test]
fn idempotency_keys_and_projects_never_share_a_claim() {
    let key_names = KeyNames::new("");
    let names: std::collections::BTreeSet<String> =
        [("a", "b"), ("a", "c"), ("b", "b"), ("ab", ""), ("a", "b}")]
            .map(|(project, key)| name(&key_names, project, key))
            .into();
    assert_eq!(names.len(), 5);
    assert!(
        names.iter().all(|name| name.contains(":{a}:") || name.contains(":{b}:") || name.contains(":{ab}:"))
    );
}
