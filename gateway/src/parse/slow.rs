//! The slow pass, which is authoritative. It lists every fault in a stable order that clients may rely on:
//! first the envelope, then metric by metric. Within a metric the order is metricId, metricName, value, unit,
//! timestamp.

use super::json::{self, Kind, Raw};
use super::number::{self, Integer};
use super::{Batch, Sample};
use crate::error::Reject;
use crate::fault::{Fault, FaultCode};
use crate::validate::{self, MAX_METRICS, Violation};
use std::borrow::Cow;

/// Parses and validates `body`. The error lists every fault.
pub fn batch(body: &[u8], now_ms: i64) -> Result<Batch<'_>, Reject> {
    let document = json::check(body).map_err(Reject::InvalidJson)?;
    let mut faults = Faults { index: None, list: Vec::new() };
    let batch = envelope(document, now_ms, &mut faults);
    match batch {
        Some(batch) if faults.list.is_empty() => Ok(batch),
        _ => Err(Reject::InvalidBatch(faults.list)),
    }
}

/// The value of a field as sent.
#[derive(Clone, Copy, Default)]
enum FieldValue<'a> {
    #[default]
    Absent,
    Null,
    Value(Raw<'a>),
    Duplicate,
}

impl<'a> FieldValue<'a> {
    fn add(&mut self, value: Raw<'a>) {
        *self = match self {
            FieldValue::Absent if value.kind() == Kind::Null => FieldValue::Null,
            FieldValue::Absent => FieldValue::Value(value),
            _ => FieldValue::Duplicate,
        };
    }

    /// Returns whether the field was sent with a value other than null.
    fn has_value(self) -> bool {
        matches!(self, FieldValue::Value(_) | FieldValue::Duplicate)
    }
}

/// The fields of a metric; in the flat form, they are in the envelope.
#[derive(Clone, Copy, Default)]
struct Fields<'a> {
    metric_id: FieldValue<'a>,
    metric_name: FieldValue<'a>,
    value: FieldValue<'a>,
    unit: FieldValue<'a>,
    timestamp: FieldValue<'a>,
}

impl<'a> Fields<'a> {
    fn add(&mut self, name: &str, value: Raw<'a>) {
        match name {
            "metricId" => self.metric_id.add(value),
            "metricName" => self.metric_name.add(value),
            "value" => self.value.add(value),
            "unit" => self.unit.add(value),
            "timestamp" => self.timestamp.add(value),
            _ => {}
        }
    }

    fn all(&self) -> [(&'static str, FieldValue<'a>); 5] {
        [
            ("metricId", self.metric_id),
            ("metricName", self.metric_name),
            ("value", self.value),
            ("unit", self.unit),
            ("timestamp", self.timestamp),
        ]
    }
}

/// The faults found so far, and the index of the metric that is being checked.
struct Faults {
    index: Option<usize>,
    list: Vec<Fault>,
}

impl Faults {
    fn add(&mut self, field: &'static str, (code, message): Violation) {
        self.list.push(Fault { index: self.index, field, code, message });
    }

    /// Returns the value of a field if it was sent once and `read` accepts it. Otherwise adds a fault, unless
    /// the field is absent or null.
    fn optional<'a, T>(
        &mut self,
        field: &'static str,
        sent: FieldValue<'a>,
        read: impl FnOnce(Raw<'a>) -> Result<T, Violation>,
    ) -> Option<T> {
        let FieldValue::Value(value) = sent else {
            if let FieldValue::Duplicate = sent {
                self.add(field, (FaultCode::DuplicateField, "is given more than once".into()));
            }
            return None;
        };
        read(value).map_err(|violation| self.add(field, violation)).ok()
    }

    /// Like `optional`, but an absent or null field is a fault.
    fn required<'a, T>(
        &mut self,
        field: &'static str,
        sent: FieldValue<'a>,
        read: impl FnOnce(Raw<'a>) -> Result<T, Violation>,
    ) -> Option<T> {
        if let FieldValue::Absent | FieldValue::Null = sent {
            self.add(field, (FaultCode::Required, "is required".into()));
        }
        self.optional(field, sent, read)
    }
}

fn envelope<'a>(document: Raw<'a>, now_ms: i64, faults: &mut Faults) -> Option<Batch<'a>> {
    if document.kind() != Kind::Object {
        faults.add("body", wrong_type(FaultCode::NotAnObject, "an object", document));
        return None;
    }
    let (mut project_id, mut metrics, mut flat) = (FieldValue::Absent, FieldValue::Absent, Fields::default());
    for (name, value) in document.members() {
        match &*name {
            "projectId" => project_id.add(value),
            "metrics" => metrics.add(value),
            name => flat.add(name, value),
        }
    }
    let project_id = faults.required("projectId", project_id, text);
    let is_flat = flat.all().iter().any(|(_, sent)| sent.has_value());
    let samples = if is_flat && !metrics.has_value() {
        metric(flat, now_ms, faults).map(|sample| vec![sample])
    } else {
        let elements = if is_flat && !matches!(metrics, FieldValue::Duplicate) {
            faults.add(
                "metrics",
                (
                    FaultCode::BothForms,
                    "cannot be combined with the fields of a single metric: send only one of the two forms"
                        .into(),
                ),
            );
            None
        } else {
            faults.required("metrics", metrics, elements)
        };
        // The values of flat fields do not matter here, but duplicates are faults.
        for (field, sent) in flat.all() {
            faults.optional(field, sent, |_| Ok(()));
        }
        elements.and_then(|elements| list(elements, now_ms, faults))
    };
    Some(Batch { project_id: project_id?, samples: samples? })
}

fn list<'a>(elements: Vec<Raw<'a>>, now_ms: i64, faults: &mut Faults) -> Option<Vec<Sample<'a>>> {
    let mut samples = Vec::with_capacity(elements.len());
    for (index, element) in elements.iter().enumerate() {
        faults.index = Some(index);
        if element.kind() != Kind::Object {
            faults.add("metrics", wrong_type(FaultCode::NotAnObject, "an object", *element));
            continue;
        }
        let mut fields = Fields::default();
        element.members().for_each(|(name, value)| fields.add(&name, value));
        samples.extend(metric(fields, now_ms, faults));
    }
    (samples.len() == elements.len()).then_some(samples)
}

fn metric<'a>(fields: Fields<'a>, now_ms: i64, faults: &mut Faults) -> Option<Sample<'a>> {
    let before = faults.list.len();
    let metric_id = faults.required("metricId", fields.metric_id, |raw| {
        text(raw).and_then(|id| validated(id, validate::is_metric_id, validate::bad_metric_id))
    });
    let metric_name = faults.optional("metricName", fields.metric_name, |raw| {
        text(raw).and_then(|name| validated(name, validate::is_name, validate::bad_name))
    });
    let value = faults.required("value", fields.value, value);
    let unit = faults.optional("unit", fields.unit, |raw| {
        text(raw).and_then(|unit| validated(unit, validate::is_unit, validate::bad_unit))
    });
    let timestamp_ms = faults.optional("timestamp", fields.timestamp, |raw| timestamp(raw, now_ms));
    let is_valid = faults.list.len() == before;
    let (metric_id, value) = metric_id.zip(value)?;
    is_valid.then_some(Sample { metric_id, metric_name, value, unit, timestamp_ms })
}

fn elements(raw: Raw<'_>) -> Result<Vec<Raw<'_>>, Violation> {
    if raw.kind() != Kind::Array {
        return Err(wrong_type(FaultCode::NotAnArray, "an array", raw));
    }
    let elements: Vec<_> = raw.elements().take(MAX_METRICS + 1).collect();
    match elements.len() {
        0 => Err((FaultCode::Empty, "must contain at least one metric".into())),
        1..=MAX_METRICS => Ok(elements),
        _ => Err((FaultCode::TooMany, "must contain at most 100 metrics".into())),
    }
}

fn text(raw: Raw<'_>) -> Result<Cow<'_, str>, Violation> {
    if raw.kind() == Kind::String {
        Ok(raw.string())
    } else {
        Err(wrong_type(FaultCode::NotAString, "a string", raw))
    }
}

fn validated<'a>(
    text: Cow<'a, str>,
    is_valid: fn(&str) -> bool,
    violation: fn() -> Violation,
) -> Result<Cow<'a, str>, Violation> {
    if is_valid(&text) { Ok(text) } else { Err(violation()) }
}

fn value(raw: Raw<'_>) -> Result<f64, Violation> {
    if raw.kind() != Kind::Number {
        return Err(wrong_type(FaultCode::NotANumber, "a number", raw));
    }
    number::to_double(raw.text())
        .ok_or((FaultCode::OutOfRange, "must fit in a double, between about -1.8e308 and 1.8e308".into()))
}

fn timestamp(raw: Raw<'_>, now_ms: i64) -> Result<i64, Violation> {
    if raw.kind() != Kind::Number {
        return Err(wrong_type(FaultCode::NotAnInteger, "an integer (Unix milliseconds)", raw));
    }
    match number::to_integer(raw.text()) {
        Integer::Value(timestamp) if validate::is_timestamp(timestamp, now_ms) => Ok(timestamp),
        Integer::Value(timestamp) => Err(validate::bad_timestamp(timestamp as f64, now_ms)),
        Integer::TooLarge => Err(validate::bad_timestamp(f64::INFINITY, now_ms)),
        Integer::TooSmall => Err(validate::bad_timestamp(f64::NEG_INFINITY, now_ms)),
        Integer::Fraction => {
            Err(validate::fractional_timestamp(number::to_double(raw.text()).unwrap_or_default(), now_ms))
        }
    }
}

/// Returns the violation for a value of the wrong type.
fn wrong_type(code: FaultCode, expected: &str, raw: Raw<'_>) -> Violation {
    let found = match raw.kind() {
        Kind::Object => "an object",
        Kind::Array => "an array",
        Kind::String => "a string",
        Kind::Number => "a number",
        Kind::Boolean => "a boolean",
        Kind::Null => "null",
    };
    (code, format!("must be {expected}, not {found}").into())
}
