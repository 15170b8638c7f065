//! A record of `metrics.v1`: what is in it, and whether it can be stored.
//!
//! What the table would refuse is found here, so that a block is refused only by a fault of ours. The rules are wider
//! than the gateway's: what a gateway let in, of whatever version, is stored.

use proto::Message as _;
use proto::v1::{MetricBatch, Sample};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// 1900-01-01 and 2299-12-31T23:59:59.999Z in Unix milliseconds: what `DateTime64(3)` holds.
const TIMES: std::ops::RangeInclusive<i64> = -2_208_988_800_000..=10_413_791_999_999;
const MAX_SAMPLES: usize = 10_000;
const MAX_TEXT: usize = 4_096;

/// Why a record cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Poison {
    /// No payload, or bytes that are no `MetricBatch`.
    #[error("not a MetricBatch: {0}")]
    Undecodable(String),
    /// A `MetricBatch` with something in it that the table cannot hold.
    #[error("{0}")]
    Invalid(String),
    /// ClickHouse refuses it, by itself.
    #[error("ClickHouse refuses it: {0}")]
    Refused(String),
}

impl Poison {
    /// The reason as a word for machines.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Undecodable(_) => "undecodable",
            Self::Invalid(_) => "invalid",
            Self::Refused(_) => "refused",
        }
    }
}

/// The batch in a record.
pub fn read(payload: &[u8]) -> Result<MetricBatch, Poison> {
    let batch = MetricBatch::decode(payload).map_err(|error| Poison::Undecodable(error.to_string()))?;
    let invalid = |message: &str| Err(Poison::Invalid(message.to_owned()));
    if proto::batch_id(&batch.batch_id).is_none() {
        return invalid("the batch id does not have 16 bytes");
    }
    if batch.project_id.is_empty() || batch.project_id.len() > MAX_TEXT {
        return invalid("the project id is empty or too long");
    }
    if batch.samples.is_empty() || batch.samples.len() > MAX_SAMPLES {
        return invalid("there are no samples, or too many");
    }
    if !TIMES.contains(&batch.received_at_ms) {
        return invalid("the time of receipt is out of range");
    }
    if batch.idempotency_key.len() > MAX_TEXT
        || (!batch.idempotency_key.is_empty() && batch.body_hash.len() != 32)
    {
        return invalid("the idempotency key is too long, or the body's hash does not have 32 bytes");
    }
    match batch
        .samples
        .iter()
        .enumerate()
        .find_map(|(index, sample)| fault(sample).map(|fault| (index, fault)))
    {
        Some((index, fault)) => invalid(&format!("sample {index}: {fault}")),
        None => Ok(batch),
    }
}

fn fault(sample: &Sample) -> Option<&'static str> {
    let too_long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.len() > MAX_TEXT);
    if sample.metric_id.is_empty() || sample.metric_id.len() > MAX_TEXT {
        Some("the metric id is empty or too long")
    } else if !sample.value.is_finite() {
        Some("the value is not finite")
    } else if !TIMES.contains(&sample.timestamp_ms) {
        Some("the timestamp is out of range")
    } else if too_long(&sample.metric_name) || too_long(&sample.unit) {
        Some("the name or the unit is too long")
    } else {
        None
    }
}

/// What a record is known by: its batch id, or, where there is none, a hash of its bytes.
pub fn identity(payload: &[u8]) -> Uuid {
    let named = MetricBatch::decode(payload).ok().and_then(|batch| proto::batch_id(&batch.batch_id));
    named.unwrap_or_else(|| {
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
    fn what_the_gateway_writes_can_be_stored() {
        assert_eq!(read(&batch().encode_to_vec()), Ok(batch()));
    }

    #[test]
    fn what_the_table_cannot_hold_is_poison() {
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
            assert!(matches!(read(&batch.encode_to_vec()), Err(Poison::Invalid(_))), "edit {index}");
        }
        assert!(matches!(read(b"\xff\xff"), Err(Poison::Undecodable(_))));
    }

    #[test]
    fn a_record_is_known_by_its_batch_id_and_any_other_bytes_by_themselves() {
        assert_eq!(identity(&batch().encode_to_vec()), Uuid::from_bytes([7; 16]));
        assert_eq!(identity(b"\xff\x01"), identity(b"\xff\x01"));
        assert_ne!(identity(b"\xff\x01"), identity(b"\xff\x02"));
    }
}
