//! Values inside a field's value, read by rules. A fault names the field and says where in it.

use crate::fault::{Code, Faults};
use serde_json::Value;
use service::wire_enum::WireEnum;
use std::fmt::Display;
use std::ops::RangeInclusive;

/// What a metric's id must be.
pub const METRIC_ID: &str =
    "must be 1 to 128 of A-Z a-z 0-9 _ . : -, the first a letter, digit or _, as the gateway takes it";

/// Whether `id` can be a metric's.
pub fn is_metric_id(id: &str) -> bool {
    let first = id.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    first
        && id.len() <= 128
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'-'))
}

/// Reads one item of a list.
pub struct Reading<'a> {
    field: &'static str,
    place: String,
    faults: &'a mut Faults,
}

impl<'a> Reading<'a> {
    /// Reads the item at `place` of `field`.
    pub fn new(field: &'static str, place: String, faults: &'a mut Faults) -> Self {
        Self { field, place, faults }
    }

    /// Notes a fault of `name`; of the item itself where that is empty.
    pub fn fault(&mut self, name: &str, code: Code, message: impl Display) {
        let name = if name.is_empty() { String::new() } else { format!("`{name}` ") };
        self.faults.add(self.field, code, format!("at {}: {name}{message}", self.place));
    }

    /// A string of at most `most` characters without control characters; required and not empty where there is no
    /// default.
    pub fn text(&mut self, value: Option<Value>, name: &str, most: usize, default: Option<&str>) -> String {
        let given = match value {
            None | Some(Value::Null) => default.map(str::to_owned),
            Some(Value::String(given)) => {
                Some(given).filter(|given| !given.is_empty() || default == Some(""))
            }
            Some(_) => {
                self.fault(name, Code::NotAString, "must be a string");
                return String::new();
            }
        };
        match given {
            Some(given) if given.chars().count() <= most && !given.chars().any(char::is_control) => given,
            Some(_) => {
                let message = format!("must be at most {most} characters without control characters");
                self.fault(name, Code::OutOfRange, message);
                String::new()
            }
            None => {
                self.fault(name, Code::Required, "is required");
                String::new()
            }
        }
    }

    /// One of the words of `W`, as text; required where there is no default.
    pub fn word<W: WireEnum>(&mut self, value: Option<Value>, name: &str, default: Option<W>) -> String {
        let word = match value.filter(|value| !value.is_null()) {
            None => default,
            Some(value) => value.as_str().and_then(W::parse),
        };
        word.map(W::as_str)
            .unwrap_or_else(|| {
                self.fault(name, Code::UnknownWord, format!("must be one of {}", W::choices()));
                ""
            })
            .to_owned()
    }

    /// An integer in `range`.
    pub fn integer(
        &mut self,
        value: Option<Value>,
        name: &str,
        range: RangeInclusive<u64>,
        default: u32,
    ) -> u32 {
        let number = match value.filter(|value| !value.is_null()) {
            None => return default,
            Some(value) => value.as_u64().filter(|number| range.contains(number)),
        };
        number.and_then(|number| u32::try_from(number).ok()).unwrap_or_else(|| {
            let message = format!("must be an integer from {} to {}", range.start(), range.end());
            self.fault(name, Code::NotAnInteger, message);
            default
        })
    }
}
