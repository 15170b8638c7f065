//! What holds of every body of a request.

use gateway::parse;

const NOW_MS: i64 = 1_790_000_000_000;

/// Panics if it does not hold of `data`.
pub fn holds(data: &[u8]) {
    let read = parse::batch(data, NOW_MS);
    if let Some(fast) = parse::fast::batch(data, NOW_MS) {
        let slow = parse::slow::batch(data, NOW_MS);
        assert_eq!(
            slow.ok(),
            Some(fast),
            "what the fast pass takes, the slow one takes with the same result"
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
