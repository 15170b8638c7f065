//! Invariants that hold for every request body.

use gateway::parse;

const NOW_MS: i64 = 1_790_000_000_000;

/// Panics if `body` breaks an invariant.
pub fn assert_invariants(body: &[u8]) {
    let read = parse::batch(body, NOW_MS);
    if let Some(fast) = parse::fast::batch(body, NOW_MS) {
        let slow = parse::slow::batch(body, NOW_MS);
        assert_eq!(
            slow.ok(),
            Some(fast),
            "the slow pass accepts what the fast pass accepts, with the same result"
        );
    }
    if let Ok(batch) = read {
        assert!((1..=100).contains(&batch.samples.len()));
        for sample in &batch.samples {
            assert!((1..=128).contains(&sample.metric_id.len()) && sample.value.is_finite());
            assert!(sample.timestamp_ms.is_none_or(|time| time <= NOW_MS + 60_000));
        }
    }
}
