//! Writes a `MetricBatch` from borrowed parts.
//!
//! The gateway's hot path: a batch of a hundred metrics is written straight from the request's body into one buffer,
//! where the generated type would need an owned string for each field. Readers see the generated type's message; unlike
//! it, the sign of a negative zero is kept.

use crate::v1::MetricBatch;
use prost::encoding::{self, WireType};

/// A batch, borrowed from the request.
#[derive(Debug, Clone)]
pub struct BatchRef<'a, S> {
    /// UUIDv7.
    pub batch_id: uuid::Uuid,
    /// The key's project.
    pub project_id: &'a str,
    /// The key's connection.
    pub connection_id: &'a str,
    /// Unix milliseconds.
    pub received_at_ms: i64,
    /// The client's idempotency key with the SHA-256 of the decoded body.
    pub idempotency: Option<(&'a str, [u8; 32])>,
    /// The metrics, in the request's order.
    pub samples: S,
}

/// A metric, borrowed from the request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleRef<'a> {
    /// The metric's id.
    pub metric_id: &'a str,
    /// Its name, if the client gave one.
    pub metric_name: Option<&'a str>,
    /// Finite.
    pub value: f64,
    /// Its unit, if the client gave one.
    pub unit: Option<&'a str>,
    /// Unix milliseconds.
    pub timestamp_ms: i64,
}

impl<'a, S: Iterator<Item = SampleRef<'a>>> BatchRef<'_, S> {
    /// The encoded batch.
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
        // Left out as proto3 has it, but by its bits: -0.0 equals 0.0 and is another number.
        if self.value.to_bits() != 0 {
            encoding::double::encode(3, &self.value, out);
        }
        if let Some(unit) = self.unit {
            present(4, unit.as_bytes(), out);
        }
        integer(5, self.timestamp_ms, out);
    }

    /// The length of what `encode` writes. Every field number is below 16, so each key takes one byte.
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

/// A field of proto3 without presence: the empty value is left out.
fn bytes(tag: u32, value: &[u8], out: &mut Vec<u8>) {
    if !value.is_empty() {
        present(tag, value, out);
    }
}

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

/// `batch` as a [`BatchRef`], so that what has been decoded can be written again.
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
        fn what_the_borrowed_form_writes_reads_as_the_generated_type(batch in batch()) {
            let written = borrow(&batch).expect("the id has 16 bytes").encode();
            let read = MetricBatch::decode(written.as_slice()).expect("it is well-formed");
            prop_assert_eq!(&read, &batch);
            let bits = |batch: &MetricBatch| batch.samples.iter().map(|s| s.value.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&read), bits(&batch), "the sign of a negative zero is kept");
        }
    }
}
