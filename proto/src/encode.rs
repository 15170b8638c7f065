//! Encodes a `MetricBatch` from borrowed parts.
//!
//! This is the gateway's hot path. It encodes the metrics directly from the request's body into one buffer,
//! while the generated type would need an owned string per field. The result is the same message, except that
//! the sign of a negative zero is preserved.

use crate::v1::MetricBatch;
use prost::encoding::{self, WireType};

/// A batch that borrows from the request.
#[derive(Debug, Clone)]
pub struct BatchRef<'a, S> {
    /// Batch id, a UUIDv7.
    pub batch_id: uuid::Uuid,
    /// Project of the API key.
    pub project_id: &'a str,
    /// Connection of the API key; empty if it has none.
    pub connection_id: &'a str,
    /// Time of receipt in Unix milliseconds.
    pub received_at_ms: i64,
    /// The client's idempotency key and the SHA-256 of the decoded body.
    pub idempotency: Option<(&'a str, [u8; 32])>,
    /// The metrics in the order of the request.
    pub samples: S,
}

/// A metric that borrows from the request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleRef<'a> {
    /// Metric id.
    pub metric_id: &'a str,
    /// Name, if the client sent one.
    pub metric_name: Option<&'a str>,
    /// Value; finite.
    pub value: f64,
    /// Unit, if the client sent one.
    pub unit: Option<&'a str>,
    /// Event time in Unix milliseconds.
    pub timestamp_ms: i64,
}

impl<'a, S: Iterator<Item = SampleRef<'a>>> BatchRef<'_, S> {
    /// Encodes the batch.
    pub fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(160 + self.samples.size_hint().0 * 48);
        bytes(1, self.batch_id.as_bytes(), &mut out);
        bytes(2, self.project_id.as_bytes(), &mut out);
        bytes(3, self.connection_id.as_bytes(), &mut out);
        integer(4, self.received_at_ms, &mut out);
        for sample in self.samples {
            encoding::encode_key(5, WireType::LengthDelimited, &mut out);
            encoding::encode_varint(sample.length() as u64, &mut out);
            sample.encode(&mut out);
        }
        if let Some((key, hash)) = self.idempotency {
            bytes(6, key.as_bytes(), &mut out);
            bytes(7, &hash, &mut out);
        }
        out
    }
}

impl SampleRef<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        bytes(1, self.metric_id.as_bytes(), out);
        if let Some(name) = self.metric_name {
            present(2, name.as_bytes(), out);
        }
        // proto3 omits the default value. Compare the bits, because -0.0 == 0.0 but must be preserved.
        if self.value.to_bits() != 0 {
            encoding::double::encode(3, &self.value, out);
        }
        if let Some(unit) = self.unit {
            present(4, unit.as_bytes(), out);
        }
        integer(5, self.timestamp_ms, out);
    }

    /// Number of bytes that `encode` writes. All field numbers are below 16, so each field key takes one byte.
    fn length(&self) -> usize {
        let id = if self.metric_id.is_empty() { 0 } else { text_length(self.metric_id) };
        id + self.metric_name.map_or(0, text_length)
            + if self.value.to_bits() == 0 { 0 } else { 9 }
            + self.unit.map_or(0, text_length)
            + if self.timestamp_ms == 0 {
                0
            } else {
                1 + encoding::encoded_len_varint(self.timestamp_ms as u64)
            }
    }
}

fn text_length(text: &str) -> usize {
    1 + encoding::encoded_len_varint(text.len() as u64) + text.len()
}

/// Encodes a proto3 field without presence, which omits the empty value.
fn bytes(tag: u32, value: &[u8], out: &mut Vec<u8>) {
    if !value.is_empty() {
        present(tag, value, out);
    }
}

/// Encodes a field even if it is empty.
fn present(tag: u32, value: &[u8], out: &mut Vec<u8>) {
    encoding::encode_key(tag, WireType::LengthDelimited, out);
    encoding::encode_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn integer(tag: u32, value: i64, out: &mut Vec<u8>) {
    if value != 0 {
        encoding::int64::encode(tag, &value, out);
    }
}

/// Borrows `batch` as a [`BatchRef`], so that a decoded batch can be encoded again. Returns `None` if its
/// batch id is invalid.
pub fn borrow(batch: &MetricBatch) -> Option<BatchRef<'_, impl Iterator<Item = SampleRef<'_>> + Clone>> {
    let hash = batch.body_hash.as_slice().try_into().ok();
    Some(BatchRef {
        batch_id: crate::batch_id(&batch.batch_id)?,
        project_id: &batch.project_id,
        connection_id: &batch.connection_id,
        received_at_ms: batch.received_at_ms,
        idempotency: hash.map(|hash| (batch.idempotency_key.as_str(), hash)),
        samples: batch.samples.iter().map(|sample| SampleRef {
            metric_id: &sample.metric_id,
            metric_name: sample.metric_name.as_deref(),
            value: sample.value,
            unit: sample.unit.as_deref(),
            timestamp_ms: sample.timestamp_ms,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::Sample;
    use proptest::prelude::*;
    use prost::Message;

    fn finite() -> impl Strategy<Value = f64> {
        use prop::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
        POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO
    }

    fn sample() -> impl Strategy<Value = Sample> {
        (any::<String>(), any::<Option<String>>(), finite(), any::<Option<String>>(), any::<i64>()).prop_map(
            |(metric_id, metric_name, value, unit, timestamp_ms)| Sample {
                metric_id,
                metric_name,
                value,
                unit,
                timestamp_ms,
            },
        )
    }

    fn batch() -> impl Strategy<Value = MetricBatch> {
        (
            any::<[u8; 16]>(),
            any::<String>(),
            any::<String>(),
            any::<i64>(),
            prop::collection::vec(sample(), 0..20),
            any::<Option<(String, [u8; 32])>>(),
        )
            .prop_map(|(id, project_id, connection_id, received_at_ms, samples, idempotency)| {
                let (idempotency_key, body_hash) =
                    idempotency.map_or_else(Default::default, |(key, hash)| (key, hash.to_vec()));
                MetricBatch {
                    batch_id: id.to_vec(),
                    project_id,
                    connection_id,
                    received_at_ms,
                    samples,
                    idempotency_key,
                    body_hash,
                }
            })
    }

    proptest! {
        #[test]
        fn borrowed_batch_decodes_as_the_generated_type(batch in batch()) {
            let encoded = borrow(&batch).expect("the id has 16 bytes").encode();
            let decoded = MetricBatch::decode(encoded.as_slice()).expect("the message is valid");
            prop_assert_eq!(&decoded, &batch);
            let bits = |batch: &MetricBatch| batch.samples.iter().map(|s| s.value.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&decoded), bits(&batch), "the sign of a negative zero is preserved");
        }
    }
}
