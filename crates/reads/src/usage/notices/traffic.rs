//! Notices about traffic jumps: a connection sends far more requests than before. A client may be looping, or
//! the key may have leaked.

use super::{Evidence, Notice, NoticeKind, Thresholds, connection_id};
use crate::series::buckets::Range;
use crate::usage::table::{ConnectionRow, HourRow};
use std::collections::HashMap;

/// Length of the time before an hour with which the hour is compared: seven days.
pub const BEFORE_MS: i64 = 7 * DAY_MS;
/// Minimum number of requests in an hour for a notice.
pub const MIN_REQUESTS: u64 = 100;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Returns notices about hours of `range` with far more requests than the connection's mean. `rows` are
/// ordered by connection and hour.
pub fn notices(
    range: Range,
    rows: &[HourRow],
    connections: &[ConnectionRow],
    thresholds: &Thresholds,
) -> Vec<Notice> {
    let first_uses: HashMap<&str, i64> =
        connections.iter().map(|row| (row.connection_id.as_str(), row.first_at)).collect();
    let connections = rows.chunk_by(|one, other| one.connection_id == other.connection_id);
    let first_hour = range.start.div_euclid(HOUR_MS) * HOUR_MS;
    let mut notices = Vec::new();
    for hours in connections {
        let first_used = hours.first().and_then(|row| first_uses.get(row.connection_id.as_str()));
        let Some(&first_used) = first_used else { continue };
        let (mut begin, mut sum) = (0, 0);
        for row in hours {
            while hours[begin].hour < row.hour - BEFORE_MS {
                sum -= hours[begin].requests;
                begin += 1;
            }
            if row.hour >= first_hour
                && let Some(mean) = mean(sum, first_used, row.hour)
                && row.requests >= MIN_REQUESTS
                && row.requests as f64 > thresholds.traffic_jump * mean
            {
                notices.push(notice(row, mean));
            }
            sum += row.requests;
        }
    }
    notices
}

/// Returns the mean number of requests per hour in the seven days before `hour`, or since the connection's
/// first use if that is later; `None` within its first day.
fn mean(requests: u64, first_used: i64, hour: i64) -> Option<f64> {
    let age = hour - first_used.div_euclid(HOUR_MS) * HOUR_MS;
    (hour - first_used >= DAY_MS).then(|| requests as f64 / (age.min(BEFORE_MS) / HOUR_MS) as f64)
}

fn notice(row: &HourRow, mean: f64) -> Notice {
    Notice {
        kind: NoticeKind::TrafficJump,
        at: row.hour,
        connection_id: connection_id(&row.connection_id),
        message: format!(
            "{} requests used the key of this connection within one hour; its mean before that was {mean:.1} per hour. \
             If you did not expect this, check the sender for a loop, or rotate the key.",
            row.requests
        ),
        evidence: Evidence {
            from: row.hour,
            to: row.hour + HOUR_MS,
            requests: Some(row.requests),
            mean_per_hour: Some(mean),
            ..Evidence::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::notices::TEST_THRESHOLDS;

    const START: i64 = 1000 * DAY_MS;

    /// Returns hours and means of the notices from the hour `from` on. `hours`: hours since the connection's
    /// first use, with their requests.
    fn jumps(hours: &[(i64, u64)], from: i64) -> Vec<(i64, Option<f64>)> {
        let rows: Vec<HourRow> = hours
            .iter()
            .map(|&(hour, requests)| HourRow {
                connection_id: "con".into(),
                hour: START + hour * HOUR_MS,
                requests,
            })
            .collect();
        let connection = ConnectionRow {
            connection_id: "con".into(),
            first_at: START,
            last_at: START + 100 * DAY_MS,
            addresses: 1,
        };
        let range = Range { start: START + from * HOUR_MS, end: i64::MAX };
        let notices = notices(range, &rows, &[connection], &TEST_THRESHOLDS);
        notices.into_iter().map(|n| ((n.at - START) / HOUR_MS, n.evidence.mean_per_hour)).collect()
    }

    fn steady(hours: i64, requests: u64) -> Vec<(i64, u64)> {
        (0..hours).map(|hour| (hour, requests)).collect()
    }

    #[test]
    fn more_than_ten_times_the_mean_is_a_jump() {
        let with = |requests| [steady(200, 20), vec![(200, requests)]].concat();
        assert_eq!(jumps(&with(201), 200), [(200, Some(20.0))]);
        assert_eq!(jumps(&with(200), 200), []);
    }

    #[test]
    fn few_requests_are_no_jump_whatever_the_mean() {
        assert_eq!(jumps(&[(0, 1), (100, 99)], 0), []);
        assert_eq!(jumps(&[(0, 1), (100, 100)], 0).len(), 1);
    }

    #[test]
    fn first_day_has_no_mean() {
        assert_eq!(jumps(&[(0, 1), (23, 1_000_000)], 0), []);
        assert_eq!(jumps(&[(0, 1), (24, 1_000_000)], 0).len(), 1);
    }

    #[test]
    fn mean_of_a_young_connection_covers_its_own_age() {
        assert_eq!(jumps(&[(0, 480), (48, 1000)], 24), [(48, Some(10.0))]);
    }

    #[test]
    fn mean_covers_the_previous_seven_days() {
        let late = [steady(10, 10_000), vec![(400, 168), (401, 150)]].concat();
        assert_eq!(jumps(&late, 401), [(401, Some(1.0))]);
    }
}
