//! The slow pass, which is the authority: it lists every fault, in the order that clients are promised. Envelope first,
//! then metric by metric, and within a metric in the order of the contract's table.

use super::json::{self, Kind, Raw};
use super::number::{self, Integer};
use super::{Batch, Sample};
use crate::error::Reject;
use crate::fault::{Code, Fault};
use crate::validate::{self, Broken, METRICS_LIMIT};
use std::borrow::Cow;

/// The batch in `body`, or all that is wrong with it.
pub fn batch(body: &[u8], now_ms: i64) -> Result<Batch<'_>, Reject> {
    let document = json::check(body).map_err(Reject::InvalidJson)?;
    let mut faults = Faults { index: None, list: Vec::new() };
    let batch = envelope(document, now_ms, &mut faults);
    match batch {
        Some(batch) if faults.list.is_empty() => Ok(batch),
        _ => Err(Reject::InvalidBatch(faults.list)),
    }
}

/// What was given for a field.
#[derive(Clone, Copy, Default)]
enum Given<'a> {
    #[default]
    Nothing,
    /// `null`.
    Null,
    Value(Raw<'a>),
    Twice,
}

impl<'a> Given<'a> {
    fn add(&mut self, value: Raw<'a>) {
        *self = match self {
            Given::Nothing if value.kind() == Kind::Null => Given::Null,
            Given::Nothing => Given::Value(value),
            _ => Given::Twice,
        };
    }

    /// Whether there is something that is not null.
    fn is_some(self) -> bool {
        matches!(self, Given::Value(_) | Given::Twice)
    }
}

/// The fields of a metric, in the flat form those of the envelope.
#[derive(Clone, Copy, Default)]
struct Fields<'a> {
    metric_id: Given<'a>,
    metric_name: Given<'a>,
    value: Given<'a>,
    unit: Given<'a>,
    timestamp: Given<'a>,
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

    fn all(&self) -> [(&'static str, Given<'a>); 5] {
        [
            ("metricId", self.metric_id),
            ("metricName", self.metric_name),
            ("value", self.value),
            ("unit", self.unit),
            ("timestamp", self.timestamp),
        ]
    }
}

/// The faults found so far, and which metric is looked at.
struct Faults {
    index: Option<usize>,
    list: Vec<Fault>,
}

impl Faults {
    fn add(&mut self, field: &'static str, (code, message): Broken) {
        self.list.push(Fault { index: self.index, field, code, message });
    }

    /// The value of `field` if it was given once and is what `read` takes.
    fn field<'a, T>(
        &mut self,
        field: &'static str,
        given: Given<'a>,
        read: impl FnOnce(Raw<'a>) -> Result<T, Broken>,
    ) -> Option<T> {
        let Given::Value(value) = given else {
            if let Given::Twice = given {
                self.add(field, (Code::DuplicateField, "is given more than once".into()));
            }
            return None;
        };
        read(value).map_err(|broken| self.add(field, broken)).ok()
    }

    /// As `field`, for one that must not be missing.
    fn required<'a, T>(
        &mut self,
        field: &'static str,
        given: Given<'a>,
        read: impl FnOnce(Raw<'a>) -> Result<T, Broken>,
    ) -> Option<T> {
        if let Given::Nothing | Given::Null = given {
            self.add(field, (Code::Required, "is required".into()));
        }
        self.field(field, given, read)
    }
}

fn envelope<'a>(document: Raw<'a>, now_ms: i64, faults: &mut Faults) -> Option<Batch<'a>> {
    if document.kind() != Kind::Object {
        faults.add("body", not_a(Code::NotAnObject, "an object", document));
        return None;
    }
    let (mut project_id, mut metrics, mut flat) = (Given::Nothing, Given::Nothing, Fields::default());
    for (name, value) in document.members() {
        match &*name {
            "projectId" => project_id.add(value),
            "metrics" => metrics.add(value),
            name => flat.add(name, value),
        }
    }
    let project_id = faults.required("projectId", project_id, text);
    let is_flat = flat.all().iter().any(|(_, given)| given.is_some());
    let samples = if is_flat && !metrics.is_some() {
        metric(flat, now_ms, faults).map(|sample| vec![sample])
    } else {
        let elements = if is_flat && !matches!(metrics, Given::Twice) {
            faults.add(
                "metrics",
                (
                    Code::BothForms,
                    "is given together with the fields of a single metric: send one form only".into(),
                ),
            );
            None
        } else {
            faults.required("metrics", metrics, elements)
        };
        // What a single metric's field is, does not matter here; that it is given twice does.
        for (field, given) in flat.all() {
            faults.field(field, given, |_| Ok(()));
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
            faults.add("metrics", not_a(Code::NotAnObject, "an object", *element));
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
        text(raw).and_then(|id| keep(id, validate::is_metric_id, validate::bad_metric_id))
    });
    let metric_name = faults.field("metricName", fields.metric_name, |raw| {
        text(raw).and_then(|name| keep(name, validate::is_name, validate::bad_name))
    });
    let value = faults.required("value", fields.value, value);
    let unit = faults.field("unit", fields.unit, |raw| {
        text(raw).and_then(|unit| keep(unit, validate::is_unit, validate::bad_unit))
    });
    let timestamp_ms = faults.field("timestamp", fields.timestamp, |raw| timestamp(raw, now_ms));
    let whole = faults.list.len() == before;
    let (metric_id, value) = metric_id.zip(value)?;
    whole.then_some(Sample { metric_id, metric_name, value, unit, timestamp_ms })
}

fn elements(raw: Raw<'_>) -> Result<Vec<Raw<'_>>, Broken> {
    if raw.kind() != Kind::Array {
        return Err(not_a(Code::NotAnArray, "an array", raw));
    }
    let elements: Vec<_> = raw.elements().take(METRICS_LIMIT + 1).collect();
    match elements.len() {
        0 => Err((Code::Empty, "must hold at least one metric".into())),
        1..=METRICS_LIMIT => Ok(elements),
        _ => Err((Code::TooMany, "must hold at most 100 metrics".into())),
    }
}

fn text(raw: Raw<'_>) -> Result<Cow<'_, str>, Broken> {
    if raw.kind() == Kind::String { Ok(raw.string()) } else { Err(not_a(Code::NotAString, "a string", raw)) }
}

fn keep<'a>(
    text: Cow<'a, str>,
    is_good: fn(&str) -> bool,
    broken: fn() -> Broken,
) -> Result<Cow<'a, str>, Broken> {
    if is_good(&text) { Ok(text) } else { Err(broken()) }
}

fn value(raw: Raw<'_>) -> Result<f64, Broken> {
    if raw.kind() != Kind::Number {
        return Err(not_a(Code::NotANumber, "a number", raw));
    }
    number::double(raw.text())
        .ok_or((Code::OutOfRange, "must fit a double: at most about 1.8e308 either way".into()))
}

fn timestamp(raw: Raw<'_>, now_ms: i64) -> Result<i64, Broken> {
    if raw.kind() != Kind::Number {
        return Err(not_a(Code::NotAnInteger, "an integer of Unix milliseconds", raw));
    }
    match number::integer(raw.text()) {
        Integer::Is(timestamp) if validate::is_timestamp(timestamp, now_ms) => Ok(timestamp),
        Integer::Is(timestamp) => Err(validate::bad_timestamp(timestamp as f64, now_ms)),
        Integer::TooLarge => Err(validate::bad_timestamp(f64::INFINITY, now_ms)),
        Integer::TooSmall => Err(validate::bad_timestamp(f64::NEG_INFINITY, now_ms)),
        Integer::Fraction => {
            Err(validate::fractional_timestamp(number::double(raw.text()).unwrap_or_default(), now_ms))
        }
    }
}

/// What to say about a value of the wrong kind.
fn not_a(code: Code, expected: &str, raw: Raw<'_>) -> Broken {
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
