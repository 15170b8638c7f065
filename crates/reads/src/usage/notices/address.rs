//! Notices about new addresses: an established connection is used from an address that never used it before,
//! so its key may have leaked.

use super::{Evidence, Notice, NoticeKind, Thresholds, connection_id, hexadecimal};
use crate::usage::table::{AddressRow, ConnectionRow};
use std::collections::HashMap;

const MINUTE_MS: i64 = 60_000;
/// Represents all addresses beyond the number that a gateway distinguishes.
const OTHER_ADDRESSES: u64 = 0;

/// Returns notices about first uses from new addresses, if the connection had been in use for long enough.
pub fn notices(rows: &[AddressRow], connections: &[ConnectionRow], thresholds: &Thresholds) -> Vec<Notice> {
    let first_uses: HashMap<&str, i64> =
        connections.iter().map(|row| (row.connection_id.as_str(), row.first_at)).collect();
    let min_age_ms = i64::try_from(thresholds.new_address_after.as_millis()).unwrap_or(i64::MAX);
    let new = rows.iter().filter(|row| row.address != OTHER_ADDRESSES).filter_map(|row| {
        let first_used_at = *first_uses.get(row.connection_id.as_str())?;
        (row.first_at - first_used_at >= min_age_ms).then_some((row, first_used_at))
    });
    new.map(|(row, first_used_at)| notice(row, first_used_at)).collect()
}

fn notice(row: &AddressRow, first_used_at: i64) -> Notice {
    Notice {
        kind: NoticeKind::NewAddress,
        at: row.first_at,
        connection_id: connection_id(&row.connection_id),
        message: format!(
            "The key of this connection was used from an address ({:016x}) that never used it before. If you \
             do not recognise this, rotate the key.",
            row.address
        ),
        evidence: Evidence {
            from: row.first_at,
            to: row.first_at + MINUTE_MS,
            first_used_at: Some(first_used_at),
            addresses: hexadecimal([row.address]),
            ..Evidence::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::notices::TEST_THRESHOLDS;

    const DAY: i64 = 86_400_000;

    fn notices_for(first_at: i64, address: u64) -> Vec<Notice> {
        let connection =
            ConnectionRow { connection_id: "con".into(), first_at: DAY, last_at: 9 * DAY, addresses: 2 };
        let row = AddressRow { connection_id: "con".into(), address, first_at };
        notices(&[row], &[connection], &TEST_THRESHOLDS)
    }

    #[test]
    fn new_address_of_an_established_connection_is_reported() {
        let notices = notices_for(2 * DAY, 0xbeef);
        let [notice] = notices.as_slice() else { panic!("expected one notice: {notices:?}") };
        assert_eq!((notice.at, notice.connection_id.as_deref()), (2 * DAY, Some("con")));
        assert_eq!(notice.evidence.addresses, ["000000000000beef"]);
        assert_eq!(notice.evidence.first_used_at, Some(DAY));
    }

    #[test]
    fn addresses_of_the_first_day_are_not_reported() {
        assert!(notices_for(2 * DAY - 1, 0xbeef).is_empty());
        assert!(notices_for(DAY, 0xbeef).is_empty());
    }

    #[test]
    fn combined_other_addresses_are_not_reported() {
        assert!(notices_for(2 * DAY, OTHER_ADDRESSES).is_empty());
    }
}
