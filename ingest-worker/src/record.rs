//! Decodes and validates a record of `metrics.v1`.
//!
//! Records that the table cannot hold are rejected here, so that ClickHouse rejects a block only because of a defect in
//! this crate. The rules are wider than the gateway's: whatever a gateway of any version accepted can be stored.
//!
//! This file uses no other module of the crate, because the fuzz target includes it by path.

use proto::Message as _;
use proto::v1::{MetricBatch, Sample};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Range of `DateTime64(3)` in Unix milliseconds: 1900-01-01 to 2299-12-31T23:59:59.999Z.
const TIME_RANGE_MS: std::ops::RangeInclusive<i64> = -2_208_988_800_000..=10_413_791_999_999;
const MAX_SAMPLES: usize = 10_000;
/// Maximum length of an id, name, unit or key, in bytes.
const MAX_TEXT_BYTES: usize = 4_096;

/// Reason why a record cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RejectReason {
    /// The payload is missing, or is not the expected protobuf message.
    #[error("the payload cannot be decoded: {0}")]
    Undecodable(String),
    /// The `MetricBatch` contains a value that the table cannot hold.
    #[error("{0}")]
    Invalid(String),
    /// ClickHouse rejects a block that contains this record alone.
    #[error("ClickHouse rejects the record: {0}")]
    RejectedByClickHouse(String),
}

impl RejectReason {
    /// Machine-readable code, written to the header `reason` of a dead letter.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Undecodable(_) => "undecodable",
            Self::Invalid(_) => "invalid",
            Self::RejectedByClickHouse(_) => "refused",
        }
    }
}

/// Decodes and validates the payload of a record.
pub fn decode(payload: &[u8]) -> Result<MetricBatch, RejectReason> {
    let batch = MetricBatch::decode(payload).map_err(|error| RejectReason::Undecodable(error.to_string()))?;
    let invalid = |message: &str| Err(RejectReason::Invalid(message.to_owned()));
    if proto::batch_id(&batch.batch_id).is_none() {
        return invalid("the batch id is not 16 bytes long");
    }
    if batch.project_id.is_empty() || batch.project_id.len() > MAX_TEXT_BYTES {
        return invalid("the project id is empty or longer than 4,096 bytes");
    }
    if batch.samples.is_empty() || batch.samples.len() > MAX_SAMPLES {
        return invalid("the number of samples is not between 1 and 10,000");
    }
    if !TIME_RANGE_MS.contains(&batch.received_at_ms) {
        return invalid("received_at_ms is outside the years 1900 to 2299");
    }
    if batch.idempotency_key.len() > MAX_TEXT_BYTES
        || (!batch.idempotency_key.is_empty() && batch.body_hash.len() != 32)
    {
        return invalid(
            "the idempotency key is longer than 4,096 bytes, or the body hash is not 32 bytes long",
        );
    }
    match batch
        .samples
        .iter()
        .enumerate()
        .find_map(|(index, sample)| sample_error(sample).map(|error| (index, error)))
    {
        Some((index, error)) => invalid(&format!("sample {index}: {error}")),
        None => Ok(batch),
    }
}

fn sample_error(sample: &Sample) -> Option<&'static str> {
    let too_long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.len() > MAX_TEXT_BYTES);
    if sample.metric_id.is_empty() || sample.metric_id.len() > MAX_TEXT_BYTES {
        Some("the metric id is empty or longer than 4,096 bytes")
    } else if !sample.value.is_finite() {
        Some("the value is not a finite number")
    } else if !TIME_RANGE_MS.contains(&sample.timestamp_ms) {
        Some("the timestamp is outside the years 1900 to 2299")
    } else if too_long(&sample.metric_name) || too_long(&sample.unit) {
        Some("the metric name or the unit is longer than 4,096 bytes")
    } else {
        None
    }
}

/// Returns the identity of a record: its batch id, or a hash of its bytes if it has none.
pub fn identity(payload: &[u8]) -> Uuid {
    let batch_id = MetricBatch::decode(payload).ok().and_then(|batch| proto::batch_id(&batch.batch_id));
    batch_id.unwrap_or_else(|| {
        let hash = Sha256::digest(payload);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    })
}

#[cfg(test)]
#[path = "record/corpus.rs"]
mod corpus;

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> MetricBatch {
        MetricBatch {
            batch_id: vec![7; 16],
            project_id: "prj_1".to_owned(),
            connection_id: "con_1".to_owned(),
            received_at_ms: 1_790_000_000_000,
            samples: vec![Sample {
                metric_id: "daily_signups".to_owned(),
                metric_name: None,
                value: 42.0,
                unit: None,
                timestamp_ms: 1_790_000_000_000,
            }],
            ..MetricBatch::default()
        }
    }

    #[test]
    fn valid_batch_is_decoded() {
        assert_eq!(decode(&batch().encode_to_vec()), Ok(batch()));
    }

    #[test]
    fn values_outside_the_table_types_are_invalid() {
        let edits: [fn(&mut MetricBatch); 9] = [
            |batch| batch.batch_id.clear(),
            |batch| batch.project_id.clear(),
            |batch| batch.samples.clear(),
            |batch| batch.received_at_ms = i64::MAX,
            |batch| batch.idempotency_key = "k".to_owned(),
            |batch| batch.samples[0].value = f64::NAN,
            |batch| batch.samples[0].value = f64::INFINITY,
            |batch| batch.samples[0].metric_id.clear(),
            |batch| batch.samples[0].timestamp_ms = i64::MIN,
        ];
        for (index, edit) in edits.iter().enumerate() {
            let mut batch = batch();
            edit(&mut batch);
            assert!(matches!(decode(&batch.encode_to_vec()), Err(RejectReason::Invalid(_))), "edit {index}");
        }
        assert!(matches!(decode(b"\xff\xff"), Err(RejectReason::Undecodable(_))));
    }

    #[test]
    fn identity_is_the_batch_id_or_a_hash_of_the_bytes() {
        assert_eq!(identity(&batch().encode_to_vec()), Uuid::from_bytes([7; 16]));
        assert_eq!(identity(b"\xff\x01"), identity(b"\xff\x01"));
        assert_ne!(identity(b"\xff\x01"), identity(b"\xff\x02"));
    }
}
