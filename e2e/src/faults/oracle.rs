//! Whether what was promised holds: what was sent and answered against what is stored. [`super`] says it in prose.

use super::senders::{APART, METRICS, Sent, metric_id, size};
use crate::Result;
use clickhouse::Client;
use std::collections::{BTreeMap, BTreeSet};

/// Only so many of one kind are told.
const EXAMPLES: usize = 10;

/// How often each number is stored.
pub type Stored = BTreeMap<u64, u64>;

/// All that is wrong, in sentences. Empty: the promise was kept.
pub fn faults(sent: &Sent, stored: &Stored) -> Vec<String> {
    let numbers = |request: u64| request * APART..request * APART + size(request);
    let is_there = |number: &u64| stored.contains_key(number);
    let mut faults = Vec::new();
    let mut say = |what: &str, found: Vec<u64>| {
        if !found.is_empty() {
            let examples = &found[..found.len().min(EXAMPLES)];
            faults.push(format!("{} {what}: {examples:?}", found.len()));
        }
    };
    say(
        "metrics were answered 200 and are not stored",
        sent.accepted
            .iter()
            .flat_map(|&request| numbers(request))
            .filter(|number| !is_there(number))
            .collect(),
    );
    say(
        "metrics are stored more than once",
        stored.iter().filter(|&(_, &times)| times > 1).map(|(&number, _)| number).collect(),
    );
    say(
        "metrics are stored and were never sent",
        stored
            .keys()
            .copied()
            .filter(|&number| {
                let request = number / APART;
                request >= sent.requests || number % APART >= size(request)
            })
            .collect(),
    );
    let touched: BTreeSet<u64> = stored.keys().map(|number| number / APART).collect();
    let in_part = |request: &u64| !numbers(*request).all(|number| is_there(&number));
    say("requests are stored in part", touched.into_iter().filter(in_part).collect());
    say(
        "requests with an idempotency key were never answered 200",
        sent.unanswered.iter().copied().collect(),
    );
    let wrong = sent.wrong.iter().take(EXAMPLES);
    faults.extend(wrong.map(|answer| format!("an answer that a good request never gets: {answer}")));
    if sent.wrong.len() > EXAMPLES {
        faults.push(format!("{} such answers in all", sent.wrong.len()));
    }
    if sent.accepted.is_empty() {
        faults.push("nothing was accepted at all: nothing was tried".to_owned());
    }
    faults
}

/// What the samples say.
pub async fn stored(clickhouse: &Client) -> Result<Stored> {
    let rows: Vec<(u64, u64)> = clickhouse
        .query("SELECT toUInt64(value) AS number, count() FROM points GROUP BY number")
        .fetch_all()
        .await?;
    Ok(rows.into_iter().collect())
}

/// What is wrong within the table: places in the log that are stored twice, metrics under a wrong name, rollups that say
/// something else than the samples.
pub async fn table_faults(clickhouse: &Client) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let (count, places): (u64, u64) = clickhouse
        .query("SELECT count(), uniqExact(partition, offset, index) FROM points")
        .fetch_one()
        .await?;
    if count != places {
        faults.push(format!("{count} metrics are stored at {places} places of the log"));
    }
    let names: Vec<(String, u64)> = clickhouse
        .query(
            "SELECT metric_id, toUInt64(value) % {metrics:UInt64} AS rest FROM points GROUP BY metric_id, rest",
        )
        .param("metrics", METRICS)
        .fetch_all()
        .await?;
    for (name, rest) in names.into_iter().filter(|(name, rest)| *name != metric_id(*rest)) {
        faults.push(format!("a number of {} is stored as {name}", metric_id(rest)));
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
    let differing = rollups.iter().zip(&samples).filter(|(rollup, sums)| rollup != sums);
    faults.extend(
        differing
            .take(EXAMPLES)
            .map(|(rollup, sums)| format!("a rollup says {rollup:?}, its samples say {sums:?}")),
    );
    if rollups.len() != samples.len() {
        faults.push(format!("{} rollups, {} by the samples", rollups.len(), samples.len()));
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests 0, 1 and 2 of 1, 2 and 3 metrics; 0 and 1 were accepted.
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
    fn what_was_accepted_once_and_what_was_not_answered_once_or_not_is_right() {
        assert_eq!(faults(&sent(), &stored(&[0, 10, 11])), [""; 0]);
        assert_eq!(faults(&sent(), &stored(&[0, 10, 11, 20, 21, 22])), [""; 0]);
    }

    #[test]
    fn every_breach_is_found() {
        for (numbers, found) in [
            (&[0, 10][..], "1 metrics were answered 200 and are not stored: [11]"),
            (&[0, 0, 10, 11], "1 metrics are stored more than once: [0]"),
            (&[0, 10, 11, 30], "1 metrics are stored and were never sent: [30]"),
            (&[0, 10, 11, 12], "1 metrics are stored and were never sent: [12]"),
            (&[0, 10, 11, 20], "1 requests are stored in part: [2]"),
        ] {
            let faults = faults(&sent(), &stored(numbers));
            assert!(faults.iter().any(|fault| fault == found), "{faults:?} lacks {found}");
        }
        let unanswered = Sent { unanswered: [2].into(), ..sent() };
        assert_eq!(faults(&unanswered, &stored(&[0, 10, 11])).len(), 1);
        let wrong = Sent { wrong: vec!["401".to_owned()], ..sent() };
        assert_eq!(faults(&wrong, &stored(&[0, 10, 11])).len(), 1);
        assert!(!faults(&Sent::default(), &Stored::new()).is_empty());
    }
}
