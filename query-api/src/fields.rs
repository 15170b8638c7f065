//! The one reader of request values: typed access to the fields of a JSON object. It collects a fault for
//! every broken rule instead of stopping at the first.
//!
//! A request body is a type that implements [`FromFields`]. Its fields, their rules and the OpenAPI schema
//! stand in one place: the struct derives the schema, and `from_fields` fills the struct. Query parameters go
//! through the same readers ([`crate::params`]).

use crate::error::Error;
use crate::faults::{FaultCode, Faults};
use serde_json::{Map, Value};
use service::wire_enum::WireEnum;
use std::borrow::Cow;
use std::ops::RangeInclusive;

/// The rule for metric ids, as the gateway applies it.
const METRIC_ID: &str =
    "must be 1 to 128 of A-Z a-z 0-9 _ . : -, the first a letter, digit or _, as the gateway takes it";

/// A request body that is read from the fields of a JSON object.
pub trait FromFields: Sized {
    /// Reads all fields. Adds a fault for every broken rule and returns nothing if there is one that leaves a
    /// field without a value.
    fn from_fields(fields: &mut Fields) -> Option<Self>;
}

/// The fields of a JSON object, and the faults found in them so far. A field that is `null` counts as absent,
/// except for [`Fields::integer_or_null`].
#[derive(Debug, Default)]
pub struct Fields {
    fields: Map<String, Value>,
    faults: Faults,
}

impl Fields {
    pub fn new(fields: Map<String, Value>) -> Self {
        Self { fields, faults: Faults::default() }
    }

    /// Parses a JSON object.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => Ok(Self::new(fields)),
            Ok(_) => Err(Faults::one("", FaultCode::NotAnObject, "must be a JSON object").into()),
            Err(error) => Err(Error::InvalidJson(error.to_string())),
        }
    }

    /// Reads `T`, or returns all faults.
    pub fn validate<T: FromFields>(mut self) -> Result<T, Error> {
        let value = T::from_fields(&mut self);
        self.finish(value)
    }

    /// Returns `value`, or all faults. `value` is what a reader made of the fields; it is absent only if
    /// there are faults.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Error> {
        value.filter(|_| self.faults.is_empty()).ok_or_else(|| self.faults.into())
    }

    /// Returns the faults found so far.
    pub fn into_faults(self) -> Faults {
        self.faults
    }

    /// Fails with all faults found so far, if there are any.
    pub fn check(&mut self) -> Result<(), Faults> {
        let faults = std::mem::take(&mut self.faults);
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Returns whether any fault was found so far.
    pub fn is_faulty(&self) -> bool {
        !self.faults.is_empty()
    }

    /// Adds a fault of `field`.
    pub fn fault(&mut self, field: &'static str, code: FaultCode, message: impl Into<Cow<'static, str>>) {
        self.faults.add(field, code, message);
    }

    /// Adds the faults of a nested object, as if its fields were fields of this one.
    pub fn absorb(&mut self, nested: Self) {
        self.faults.extend(nested.faults);
    }

    /// Adds the faults of the nested object at `index` of the list `field`. Their messages name the index and
    /// the nested field.
    pub fn absorb_item(&mut self, field: &'static str, index: usize, nested: Self) {
        for fault in nested.faults.into_inner() {
            self.fault(field, fault.code, format!("at {index}: `{}` {}", fault.field, fault.message));
        }
    }

    /// Returns whether the field is present.
    pub fn has(&self, field: &str) -> bool {
        self.fields.get(field).is_some_and(|value| !value.is_null())
    }

    /// Adds a fault if none of `fields` is present.
    pub fn require_one_of(&mut self, fields: &[&'static str]) {
        if !fields.iter().any(|field| self.has(field)) {
            let message = format!("must have at least one of: {}", fields.join(", "));
            self.fault("", FaultCode::Required, message);
        }
    }

    /// Removes the field and returns its value.
    pub fn take(&mut self, field: &str) -> Option<Value> {
        self.fields.remove(field).filter(|value| !value.is_null())
    }

    /// Returns the field's text without removing it.
    pub fn peek_text(&self, field: &str) -> Option<&str> {
        self.fields.get(field)?.as_str()
    }

    fn required(&mut self, field: &'static str) -> Option<Value> {
        let value = self.take(field);
        if value.is_none() {
            self.fault(field, FaultCode::Required, "is required");
        }
        value
    }

    /// Reads a required string.
    pub fn string(&mut self, field: &'static str) -> Option<String> {
        match self.required(field)? {
            Value::String(text) => Some(text),
            _ => {
                self.fault(field, FaultCode::NotAString, "must be a string");
                None
            }
        }
    }

    /// Reads a string of at most `max` characters. The outer option is absent if it is faulty.
    pub fn optional_text(&mut self, field: &'static str, max: usize) -> Option<Option<String>> {
        match self.take(field) {
            None => return Some(None),
            Some(Value::String(text)) if text.chars().count() <= max => return Some(Some(text)),
            Some(Value::String(_)) => {
                self.fault(field, FaultCode::OutOfRange, format!("must be at most {max} characters"));
            }
            Some(_) => self.fault(field, FaultCode::NotAString, "must be a string"),
        }
        None
    }

    /// Reads a string of at most `max` characters without control characters. Without a default it is
    /// required and must not be empty; an empty string counts as absent unless the default is empty too.
    pub fn line(&mut self, field: &'static str, max: usize, default: Option<&str>) -> Option<String> {
        let text = match self.take(field) {
            None => default.map(str::to_owned),
            Some(Value::String(text)) => Some(text).filter(|text| !text.is_empty() || default == Some("")),
            Some(_) => {
                self.fault(field, FaultCode::NotAString, "must be a string");
                return None;
            }
        };
        match text {
            Some(text) if text.chars().count() <= max && !text.chars().any(char::is_control) => {
                return Some(text);
            }
            Some(_) => {
                let message = format!("must be at most {max} characters without control characters");
                self.fault(field, FaultCode::OutOfRange, message);
            }
            None => self.fault(field, FaultCode::Required, "is required"),
        }
        None
    }

    /// Reads a required name: 1 to 100 characters without control characters. Surrounding white space is
    /// removed.
    pub fn name(&mut self, field: &'static str) -> Option<String> {
        let text = self.string(field)?;
        let name = text.trim();
        if (1..=100).contains(&name.chars().count()) && !name.chars().any(char::is_control) {
            return Some(name.to_owned());
        }
        self.fault(field, FaultCode::BadName, "must be 1 to 100 characters without control characters");
        None
    }

    /// Checks that the text of `field` is a metric id.
    pub fn check_metric_id(&mut self, field: &'static str, text: String) -> Option<String> {
        if is_metric_id(&text) {
            return Some(text);
        }
        self.fault(field, FaultCode::BadMetricId, METRIC_ID);
        None
    }

    /// Reads a required value of `W`.
    pub fn choice<W: WireEnum>(&mut self, field: &'static str) -> Option<W> {
        let Some(value) = self.take(field) else {
            self.fault(field, FaultCode::Required, format!("is required: one of {}", W::choices()));
            return None;
        };
        self.parse_choice(field, &value)
    }

    /// Reads a value of `W`.
    pub fn choice_or<W: WireEnum>(&mut self, field: &'static str, default: W) -> Option<W> {
        match self.take(field) {
            None => Some(default),
            Some(value) => self.parse_choice(field, &value),
        }
    }

    /// Parses the value of `field` as a value of `W`.
    pub fn parse_choice<W: WireEnum>(&mut self, field: &'static str, value: &Value) -> Option<W> {
        let parsed = value.as_str().and_then(W::parse);
        if parsed.is_none() {
            self.fault(field, FaultCode::UnknownValue, format!("must be one of {}", W::choices()));
        }
        parsed
    }

    /// Reads a required list of at least one value of `W`. Repeated values are dropped.
    pub fn choices<W: WireEnum>(&mut self, field: &'static str) -> Option<Vec<W>> {
        let items = self.any_array(field)?;
        let mut values = Vec::new();
        for item in &items {
            let Some(value) = item.as_str().and_then(W::parse) else {
                let message = format!("must be a list of: {}", W::choices());
                self.fault(field, FaultCode::UnknownValue, message);
                return None;
            };
            if !values.contains(&value) {
                values.push(value);
            }
        }
        if values.is_empty() {
            let message = format!("must be a list of at least one of: {}", W::choices());
            self.fault(field, FaultCode::Empty, message);
            return None;
        }
        Some(values)
    }

    /// Reads a required finite number.
    pub fn number(&mut self, field: &'static str) -> Option<f64> {
        let number = self.required(field)?.as_f64().filter(|number| number.is_finite());
        if number.is_none() {
            self.fault(field, FaultCode::NotANumber, "must be a finite number");
        }
        number
    }

    /// Reads a required boolean.
    pub fn boolean(&mut self, field: &'static str) -> Option<bool> {
        let value = self.required(field)?;
        self.parse_boolean(field, &value)
    }

    /// Reads a boolean.
    pub fn boolean_or(&mut self, field: &'static str, default: bool) -> Option<bool> {
        match self.take(field) {
            None => Some(default),
            Some(value) => self.parse_boolean(field, &value),
        }
    }

    fn parse_boolean(&mut self, field: &'static str, value: &Value) -> Option<bool> {
        let parsed = value.as_bool();
        if parsed.is_none() {
            self.fault(field, FaultCode::NotABoolean, "must be true or false");
        }
        parsed
    }

    /// Reads a required integer in `range`.
    pub fn integer(&mut self, field: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let Some(value) = self.take(field) else {
            self.fault(field, FaultCode::Required, "is required: an integer");
            return None;
        };
        self.parse_integer(field, &value, range)
    }

    /// Reads an integer in `range`.
    pub fn integer_or(
        &mut self,
        field: &'static str,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> Option<u64> {
        match self.take(field) {
            None => Some(default),
            Some(value) => self.parse_integer(field, &value, range),
        }
    }

    /// Reads an integer in `range` or an explicit `null`. The field is required; the outer option is absent
    /// if it is faulty.
    pub fn integer_or_null(
        &mut self,
        field: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<Option<u64>> {
        match self.fields.remove(field) {
            Some(Value::Null) => Some(None),
            Some(value) => self.parse_integer(field, &value, range).map(Some),
            None => {
                self.fault(field, FaultCode::Required, "is required: an integer or null");
                None
            }
        }
    }

    /// Parses the value of `field` as an integer in `range`.
    pub fn parse_integer(
        &mut self,
        field: &'static str,
        value: &Value,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        if !value.is_i64() && !value.is_u64() {
            self.fault(field, FaultCode::NotAnInteger, "must be an integer");
            return None;
        }
        let number = value.as_u64().filter(|number| range.contains(number));
        if number.is_none() {
            let message = format!("must be {} to {}", range.start(), range.end());
            self.fault(field, FaultCode::OutOfRange, message);
        }
        number
    }

    /// Reads a required array with `length` items.
    pub fn array(&mut self, field: &'static str, length: RangeInclusive<usize>) -> Option<Vec<Value>> {
        let items = self.any_array(field)?;
        if length.contains(&items.len()) {
            return Some(items);
        }
        let message = format!("must have {} to {} items", length.start(), length.end());
        self.fault(field, FaultCode::BadLength, message);
        None
    }

    fn any_array(&mut self, field: &'static str) -> Option<Vec<Value>> {
        match self.required(field)? {
            Value::Array(items) => Some(items),
            _ => {
                self.fault(field, FaultCode::NotAnArray, "must be an array");
                None
            }
        }
    }
}

fn is_metric_id(id: &str) -> bool {
    let first = id.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    first
        && id.len() <= 128
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Fields {
        Fields::parse(body.as_bytes()).expect("an object")
    }

    fn name(body: &str) -> (Option<String>, bool) {
        let mut fields = parse(body);
        (fields.name("name"), !fields.is_faulty())
    }

    #[test]
    fn name_has_1_to_100_characters_after_trimming() {
        assert_eq!(name(r#"{"name": "  Cron Jobs "}"#), (Some("Cron Jobs".to_owned()), true));
        let long = "é".repeat(100);
        assert_eq!(name(&format!(r#"{{"name": "{long}"}}"#)), (Some(long.clone()), true));
        for wrong in
            [r#"{}"#, r#"{"name": null}"#, r#"{"name": 7}"#, r#"{"name": "  "}"#, r#"{"name": "a\u0000b"}"#]
        {
            assert_eq!(name(wrong), (None, false), "{wrong}");
        }
        assert_eq!(name(&format!(r#"{{"name": "{long}x"}}"#)), (None, false));
    }

    #[test]
    fn integer_outside_its_range_is_a_fault() {
        let read = |body: &str| {
            let mut fields = parse(body);
            let value = fields.integer_or("n", 0..=10, 7);
            fields.finish(value)
        };
        for (body, expected) in [("{}", 7), (r#"{"n": null}"#, 7), (r#"{"n": 0}"#, 0), (r#"{"n": 10}"#, 10)] {
            assert_eq!(read(body), Ok(expected), "{body}");
        }
        for body in [r#"{"n": 11}"#, r#"{"n": -1}"#, r#"{"n": 1.5}"#, r#"{"n": "1"}"#, r#"{"n": 1e99}"#] {
            assert!(matches!(read(body), Err(Error::InvalidParameter(_))), "{body}");
        }
    }

    #[test]
    fn null_is_a_value_only_for_integer_or_null() {
        let read = |body: &str| parse(body).integer_or_null("n", 1..=10);
        assert_eq!(read(r#"{"n": null}"#), Some(None));
        assert_eq!(read(r#"{"n": 3}"#), Some(Some(3)));
        assert_eq!(read("{}"), None);
        assert_eq!(read(r#"{"n": 0}"#), None);
    }

    #[test]
    fn invalid_json_and_non_objects_are_different_errors() {
        assert!(matches!(Fields::parse(b"{"), Err(Error::InvalidJson(_))));
        assert!(matches!(Fields::parse(b""), Err(Error::InvalidJson(_))));
        assert!(matches!(Fields::parse(b"[1]"), Err(Error::InvalidParameter(_))));
    }
}
