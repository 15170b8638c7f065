//! Compares what the senders sent and were answered with what is stored. [`super`] lists the invariants.

use super::senders::{METRICS, NUMBERS_PER_REQUEST, Sent, metric_id, size};
use crate::error::Result;
use clickhouse::Client;
use std::collections::{BTreeMap, BTreeSet};

/// Maximum number of examples in the report of one violation.
const EXAMPLES: usize = 10;

/// Number of stored copies by metric number.
pub type Stored = BTreeMap<u64, u64>;

/// Returns a sentence for each violated invariant.
pub fn violations(sent: &Sent, stored: &Stored) -> Vec<String> {
    let numbers = |request: u64| {
        let first = request * NUMBERS_PER_REQUEST;
        first..first + size(request)
    };
    let is_stored = |number: &u64| stored.contains_key(number);
    let mut violations = Vec::new();
    let mut report = |description: &str, found: Vec<u64>| {
        if !found.is_empty() {
            let examples = &found[..found.len().min(EXAMPLES)];
            violations.push(format!("{} {description}: {examples:?}", found.len()));
        }
    };
    report(
        "metrics were answered 200 and are not stored",
        sent.accepted
            .iter()
            .flat_map(|&request| numbers(request))
            .filter(|number| !is_stored(number))
            .collect(),
    );
    report(
        "metrics are stored more than once",
        stored.iter().filter(|&(_, &copies)| copies > 1).map(|(&number, _)| number).collect(),
    );
    report(
        "metrics are stored and were never sent",
        stored
            .keys()
            .copied()
            .filter(|&number| {
                let request = number / NUMBERS_PER_REQUEST;
                request >= sent.requests || number % NUMBERS_PER_REQUEST >= size(request)
            })
            .collect(),
    );
    let touched: BTreeSet<u64> = stored.keys().map(|number| number / NUMBERS_PER_REQUEST).collect();
    let is_partial = |request: &u64| !numbers(*request).all(|number| is_stored(&number));
    report("requests are stored in part", touched.into_iter().filter(is_partial).collect());
    report(
        "requests with an idempotency key were never answered 200",
        sent.unanswered.iter().copied().collect(),
    );
    let unexpected = sent.unexpected.iter().take(EXAMPLES);
    violations
        .extend(unexpected.map(|response| format!("unexpected response to a valid request: {response}")));
    if sent.unexpected.len() > EXAMPLES {
        violations.push(format!("{} unexpected responses in total", sent.unexpected.len()));
    }
    if sent.accepted.is_empty() {
        violations.push("no request was accepted: the campaign tested nothing".to_owned());
    }
    violations
}

/// Reads the stored metrics.
pub async fn stored(clickhouse: &Client) -> Result<Stored> {
    let rows: Vec<(u64, u64)> = clickhouse
        .query("SELECT toUInt64(value) AS number, count() FROM points GROUP BY number")
        .fetch_all()
        .await?;
    Ok(rows.into_iter().collect())
}

/// Returns a sentence for each inconsistency within the table: log positions that are stored twice, metrics
/// under a wrong id, rollups that differ from the samples.
pub async fn table_violations(clickhouse: &Client) -> Result<Vec<String>> {
    let mut violations = Vec::new();
    let (count, positions): (u64, u64) = clickhouse
        .query("SELECT count(), uniqExact(partition, offset, index) FROM points")
        .fetch_one()
        .await?;
    if count != positions {
        violations.push(format!("{count} metrics are stored at {positions} log positions"));
    }
    let ids: Vec<(String, u64)> = clickhouse
        .query(
            "SELECT metric_id, toUInt64(value) % {metrics:UInt64} AS rest FROM points GROUP BY metric_id, rest",
        )
        .param("metrics", METRICS)
        .fetch_all()
        .await?;
    for (id, rest) in ids.into_iter().filter(|(id, rest)| *id != metric_id(*rest)) {
        violations.push(format!("a value of {} is stored under {id}", metric_id(rest)));
    }
    let by_hour =
        "SELECT metric_id, toUInt32(toStartOfHour(time)) AS hour, count(), sum(value), min(value), max(value)
         FROM samples WHERE kind = 'sample'
         GROUP BY kind, project_id, metric_id, toStartOfHour(time) ORDER BY metric_id, hour";
    type Rollup = (String, u32, u64, f64, f64, f64);
    let rollups: Vec<Rollup> =
        clickhouse.query(by_hour).with_setting("force_optimize_projection", "1").fetch_all().await?;
    let samples: Vec<Rollup> =
        clickhouse.query(by_hour).with_setting("optimize_use_projections", "0").fetch_all().await?;
    let differing = rollups.iter().zip(&samples).filter(|(rollup, expected)| rollup != expected);
    violations.extend(
        differing
            .take(EXAMPLES)
            .map(|(rollup, expected)| format!("a rollup is {rollup:?}, its samples give {expected:?}")),
    );
    if rollups.len() != samples.len() {
        violations.push(format!("{} rollups, but the samples give {}", rollups.len(), samples.len()));
    }
    Ok(violations)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests 0, 1 and 2 with 1, 2 and 3 metrics; 0 and 1 were accepted.
    fn sent() -> Sent {
        Sent { requests: 3, accepted: [0, 1].into(), ..Sent::default() }
    }

    fn stored(numbers: &[u64]) -> Stored {
        let mut stored = Stored::new();
        for number in numbers {
            *stored.entry(*number).or_default() += 1;
        }
        stored
    }

    #[test]
    fn request_without_response_may_be_stored_once_or_not_at_all() {
        assert_eq!(violations(&sent(), &stored(&[0, 10, 11])), [""; 0]);
        assert_eq!(violations(&sent(), &stored(&[0, 10, 11, 20, 21, 22])), [""; 0]);
    }

    #[test]
    fn every_kind_of_violation_is_reported() {
        for (numbers, expected) in [
            (&[0, 10][..], "1 metrics were answered 200 and are not stored: [11]"),
            (&[0, 0, 10, 11], "1 metrics are stored more than once: [0]"),
            (&[0, 10, 11, 30], "1 metrics are stored and were never sent: [30]"),
            (&[0, 10, 11, 12], "1 metrics are stored and were never sent: [12]"),
            (&[0, 10, 11, 20], "1 requests are stored in part: [2]"),
        ] {
            let found = violations(&sent(), &stored(numbers));
            assert!(found.iter().any(|violation| violation == expected), "{found:?} lacks {expected}");
        }
        let unanswered = Sent { unanswered: [2].into(), ..sent() };
        assert_eq!(violations(&unanswered, &stored(&[0, 10, 11])).len(), 1);
        let unexpected = Sent { unexpected: vec!["401".to_owned()], ..sent() };
        assert_eq!(violations(&unexpected, &stored(&[0, 10, 11])).len(), 1);
        assert!(!violations(&Sent::default(), &Stored::new()).is_empty());
    }
}
