//! Notices about refused keys: a burst of invalid or revoked keys of one connection. Either somebody is
//! guessing the key, or a client still uses a revoked one.

use super::{Evidence, Notice, NoticeKind, Thresholds, connection_id, hexadecimal};
use crate::series::buckets::Range;
use crate::usage::table::RefusedRow;
use std::collections::BTreeSet;

/// Length of the sliding window in which requests are counted.
pub const WINDOW_MS: i64 = 5 * MINUTE_MS;
const MINUTE_MS: i64 = 60_000;
/// Maximum number of addresses in a notice.
const MAX_ADDRESSES: usize = 20;

/// Consecutive rows that each belong to a window with at least the threshold of requests.
struct Burst {
    /// Index of the first row.
    first: usize,
    /// Index of the last row.
    last: usize,
    /// Minute in which the threshold was first reached, Unix milliseconds.
    at: i64,
}

/// Returns notices about bursts that reached the threshold in `range`. `rows` are ordered by connection and
/// minute.
pub fn notices(range: Range, rows: &[RefusedRow], thresholds: &Thresholds) -> Vec<Notice> {
    let connections = rows.chunk_by(|one, other| one.connection_id == other.connection_id);
    let bursts = connections.flat_map(|rows| {
        bursts(rows, thresholds.refused_keys)
            .into_iter()
            .map(|burst| (&rows[burst.first..=burst.last], burst.at))
    });
    bursts
        .filter(|(_, at)| *at >= range.start - MINUTE_MS)
        .filter_map(|(rows, at)| notice(rows, at))
        .collect()
}

fn bursts(rows: &[RefusedRow], threshold: u64) -> Vec<Burst> {
    let mut bursts: Vec<Burst> = Vec::new();
    let (mut first, mut sum) = (0, 0);
    for (last, row) in rows.iter().enumerate() {
        sum += row.invalid + row.revoked;
        while rows[first].minute <= row.minute - WINDOW_MS {
            sum -= rows[first].invalid + rows[first].revoked;
            first += 1;
        }
        if sum < threshold {
            continue;
        }
        match bursts.last_mut() {
            Some(burst) if burst.last >= first => burst.last = last,
            _ => bursts.push(Burst { first, last, at: row.minute }),
        }
    }
    bursts
}

fn notice(rows: &[RefusedRow], at: i64) -> Option<Notice> {
    let (first, last) = (rows.first()?, rows.last()?);
    let sum = |of: fn(&RefusedRow) -> u64| rows.iter().map(of).sum::<u64>();
    let (invalid, revoked) = (sum(|row| row.invalid), sum(|row| row.revoked));
    let addresses: BTreeSet<u64> = rows.iter().flat_map(|row| row.addresses.iter().copied()).collect();
    let minutes = (last.minute - first.minute) / MINUTE_MS + 1;
    let advice = if invalid >= revoked {
        "if this was not a typing error of yours, somebody may be guessing the key"
    } else {
        "a client still uses a revoked key"
    };
    Some(Notice {
        kind: NoticeKind::RefusedKeys,
        at,
        connection_id: connection_id(&first.connection_id),
        message: format!(
            "{} requests within {minutes} min used an invalid ({invalid}) or revoked ({revoked}) key of this \
             connection, from {} address(es): {advice}.",
            invalid + revoked,
            addresses.len()
        ),
        evidence: Evidence {
            from: first.minute,
            to: last.minute + MINUTE_MS,
            requests: Some(invalid + revoked),
            invalid_key: Some(invalid),
            revoked_key: Some(revoked),
            addresses: hexadecimal(addresses.into_iter().take(MAX_ADDRESSES)),
            ..Evidence::default()
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::notices::TEST_THRESHOLDS;

    const ALL: Range = Range { start: 0, end: i64::MAX };

    /// Returns rows of one connection, given minutes and numbers of invalid keys.
    fn rows(minutes: &[(i64, u64)]) -> Vec<RefusedRow> {
        let row = |&(minute, invalid): &(i64, u64)| RefusedRow {
            connection_id: "con".to_owned(),
            minute: minute * MINUTE_MS,
            invalid,
            revoked: 0,
            addresses: vec![0xabc],
        };
        minutes.iter().map(row).collect()
    }

    fn bursts_of(rows: &[RefusedRow]) -> Vec<(i64, i64, i64, Option<u64>)> {
        let notices = notices(ALL, rows, &TEST_THRESHOLDS).into_iter();
        let minute = |ms: i64| ms / MINUTE_MS;
        notices
            .map(|n| (minute(n.at), minute(n.evidence.from), minute(n.evidence.to), n.evidence.requests))
            .collect()
    }

    #[test]
    fn twenty_refused_keys_within_five_minutes_are_a_burst() {
        assert_eq!(bursts_of(&rows(&[(10, 20)])), [(10, 10, 11, Some(20))]);
        assert_eq!(bursts_of(&rows(&[(10, 5), (12, 5), (14, 10)])), [(14, 10, 15, Some(20))]);
    }

    #[test]
    fn fewer_or_slower_refused_keys_are_no_burst() {
        assert_eq!(bursts_of(&rows(&[(10, 19)])), []);
        assert_eq!(bursts_of(&rows(&[(10, 10), (15, 10)])), []);
        assert_eq!(bursts_of(&rows(&(0..100).map(|minute| (minute * 2, 4)).collect::<Vec<_>>())), []);
    }

    #[test]
    fn continuing_burst_is_one_notice_and_a_later_one_another() {
        let long: Vec<(i64, u64)> = (10..40).map(|minute| (minute, 10)).chain([(100, 50)]).collect();
        assert_eq!(bursts_of(&rows(&long)), [(11, 10, 40, Some(300)), (100, 100, 101, Some(50))]);
    }

    #[test]
    fn refused_keys_are_counted_per_connection() {
        let mut both = rows(&[(10, 15)]);
        both.push(RefusedRow { connection_id: "other".to_owned(), ..both[0].clone() });
        assert_eq!(bursts_of(&both), []);
    }

    #[test]
    fn revoked_keys_count_and_addresses_are_in_the_evidence() {
        let row = RefusedRow { invalid: 1, revoked: 30, ..rows(&[(10, 0)])[0].clone() };
        let notices = notices(ALL, &[row], &TEST_THRESHOLDS);
        let [notice] = notices.as_slice() else { panic!("expected one notice: {notices:?}") };
        let evidence = &notice.evidence;
        assert_eq!((evidence.invalid_key, evidence.revoked_key), (Some(1), Some(30)));
        assert_eq!(evidence.addresses, ["0000000000000abc"]);
        assert!(notice.message.contains("31 requests"), "{}", notice.message);
    }

    #[test]
    fn burst_before_the_range_is_not_repeated() {
        let range = Range { start: 15 * MINUTE_MS, end: i64::MAX };
        assert!(notices(range, &rows(&[(10, 20)]), &TEST_THRESHOLDS).is_empty());
    }
}
