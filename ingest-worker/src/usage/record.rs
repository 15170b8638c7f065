//! A record of `outcomes.v1`: what is in it, and whether it can be stored.

use super::table::UsageRow;
use crate::record::Poison;
use proto::Message as _;
use proto::v1::OutcomeCounts;
use uuid::Uuid;

/// Longer texts come from no gateway.
const MAX_TEXT: usize = 4_096;

/// The rows of a record.
pub fn read(payload: &[u8]) -> Result<Vec<UsageRow>, Poison> {
    let record = OutcomeCounts::decode(payload).map_err(|error| Poison::Undecodable(error.to_string()))?;
    let invalid = |message: &str| Poison::Invalid(message.to_owned());
    let counter_id = Uuid::from_slice(&record.counter_id)
        .map_err(|_| invalid("the counter's id does not have 16 bytes"))?;
    let row = |count: proto::v1::OutcomeCount| {
        let texts = [&record.project_id, &count.connection_id, &count.outcome];
        if texts.iter().any(|text| text.len() > MAX_TEXT) {
            return Err(invalid("an id is too long"));
        }
        // Seconds of a `DateTime`: up to 2106.
        let minute = u32::try_from(count.minute_ms.div_euclid(60_000) * 60)
            .map_err(|_| invalid("the minute is out of range"))?;
        Ok(UsageRow {
            project_id: record.project_id.clone(),
            minute,
            connection_id: count.connection_id,
            outcome: count.outcome,
            counter_id,
            requests: count.requests,
            metrics: count.metrics,
            // Within a day of its minute, whatever a record says.
            last_at: count.last_at_ms.clamp(i64::from(minute) * 1000, i64::from(minute) * 1000 + 86_400_000),
            addresses: count.addresses,
        })
    };
    record.counts.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::v1::OutcomeCount;

    fn record(change: impl FnOnce(&mut OutcomeCounts)) -> Result<Vec<UsageRow>, Poison> {
        let count = OutcomeCount {
            minute_ms: 1_790_000_040_000,
            outcome: "accepted".to_owned(),
            requests: 3,
            last_at_ms: 1_790_000_041_500,
            addresses: vec![7],
            ..OutcomeCount::default()
        };
        let mut record =
            OutcomeCounts { counter_id: vec![1; 16], project_id: "prj".into(), counts: vec![count] };
        change(&mut record);
        read(&record.encode_to_vec())
    }

    #[test]
    fn a_good_record_becomes_a_row_for_each_count() {
        let rows = record(|_| {}).expect("it is good");
        let [row] = rows.as_slice() else { panic!("one row: {rows:?}") };
        assert_eq!((row.minute, row.requests, row.last_at), (1_790_000_040, 3, 1_790_000_041_500));
        assert_eq!((row.project_id.as_str(), row.addresses.as_slice()), ("prj", [7].as_slice()));
    }

    #[test]
    fn what_the_table_cannot_hold_is_poison() {
        assert!(matches!(read(b"\xff\xff"), Err(Poison::Undecodable(_))));
        assert!(matches!(record(|record| record.counter_id.truncate(15)), Err(Poison::Invalid(_))));
        assert!(matches!(record(|record| record.counts[0].minute_ms = -1), Err(Poison::Invalid(_))));
        assert!(matches!(record(|record| record.counts[0].minute_ms = i64::MAX), Err(Poison::Invalid(_))));
        assert!(matches!(record(|record| record.project_id = "x".repeat(5_000)), Err(Poison::Invalid(_))));
    }
}
