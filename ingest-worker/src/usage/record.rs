//! Decodes and validates a record of `outcomes.v1`.

use super::table::UsageRow;
use crate::record::RejectReason;
use proto::Message as _;
use proto::v1::OutcomeCounts;
use uuid::Uuid;

/// Maximum length of an id, in bytes; no gateway writes longer ones.
const MAX_TEXT_BYTES: usize = 4_096;

/// Returns the rows of a record, one per count.
pub fn decode(payload: &[u8]) -> Result<Vec<UsageRow>, RejectReason> {
    let record =
        OutcomeCounts::decode(payload).map_err(|error| RejectReason::Undecodable(error.to_string()))?;
    let invalid = |message: &str| RejectReason::Invalid(message.to_owned());
    let counter_id =
        Uuid::from_slice(&record.counter_id).map_err(|_| invalid("the counter id is not 16 bytes long"))?;
    let row = |count: proto::v1::OutcomeCount| {
        let texts = [&record.project_id, &count.connection_id, &count.outcome];
        if texts.iter().any(|text| text.len() > MAX_TEXT_BYTES) {
            return Err(invalid("an id is longer than 4,096 bytes"));
        }
        // A `DateTime` holds Unix seconds up to the year 2106.
        let minute = u32::try_from(count.minute_ms.div_euclid(60_000) * 60)
            .map_err(|_| invalid("the minute is outside the years 1970 to 2106"))?;
        Ok(UsageRow {
            project_id: record.project_id.clone(),
            minute,
            connection_id: count.connection_id,
            outcome: count.outcome,
            counter_id,
            requests: count.requests,
            metrics: count.metrics,
            // A wrong value is clamped to the 24 hours after the start of its minute.
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

    fn record(change: impl FnOnce(&mut OutcomeCounts)) -> Result<Vec<UsageRow>, RejectReason> {
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
        decode(&record.encode_to_vec())
    }

    #[test]
    fn valid_record_becomes_one_row_per_count() {
        let rows = record(|_| {}).expect("the record is valid");
        let [row] = rows.as_slice() else { panic!("expected one row: {rows:?}") };
        assert_eq!((row.minute, row.requests, row.last_at), (1_790_000_040, 3, 1_790_000_041_500));
        assert_eq!((row.project_id.as_str(), row.addresses.as_slice()), ("prj", [7].as_slice()));
    }

    #[test]
    fn values_outside_the_table_types_are_invalid() {
        assert!(matches!(decode(b"\xff\xff"), Err(RejectReason::Undecodable(_))));
        assert!(matches!(record(|record| record.counter_id.truncate(15)), Err(RejectReason::Invalid(_))));
        assert!(matches!(record(|record| record.counts[0].minute_ms = -1), Err(RejectReason::Invalid(_))));
        assert!(matches!(
            record(|record| record.counts[0].minute_ms = i64::MAX),
            Err(RejectReason::Invalid(_))
        ));
        assert!(matches!(
            record(|record| record.project_id = "x".repeat(5_000)),
            Err(RejectReason::Invalid(_))
        ));
    }
}
