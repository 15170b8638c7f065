//! Faults in the fields and parameters of a request. A request gets all of its faults at once, as `details`
//! of the error `invalid_parameter`.

use serde::Serialize;
use std::borrow::Cow;
use utoipa::ToSchema;

/// Machine code of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Code)]
pub enum FaultCode {
    /// A required field is absent or null.
    Required,
    /// The value is not an object.
    NotAnObject,
    /// The value is not a string.
    NotAString,
    /// The value is neither true nor false.
    NotABoolean,
    /// The value is not a finite number.
    NotANumber,
    /// The value is not a valid metric id.
    BadMetricId,
    /// The value is not a URL that the service may call.
    BadUrl,
    /// The field must be absent.
    Unexpected,
    /// Another item has the same value.
    Duplicate,
    /// The project has no such channel.
    UnknownChannel,
    /// The value is not an array.
    NotAnArray,
    /// The list has no items.
    Empty,
    /// The list has too few or too many items.
    BadLength,
    /// The value is not a valid name.
    BadName,
    /// No plan has this name.
    UnknownPlan,
    /// The value is not an integer.
    NotAnInteger,
    /// The value is outside of the allowed range.
    OutOfRange,
    /// The value is neither Unix milliseconds nor ISO 8601.
    BadTimestamp,
    /// The range is empty, or its end precedes its start.
    EmptyRange,
    /// The value is not one of the allowed values.
    #[serde(rename = "unknown_word")]
    UnknownValue,
    /// The time zone is not in the IANA database.
    UnknownTimezone,
    /// The range has more buckets than an answer may hold.
    TooManyBuckets,
    /// The cursor does not belong to this list.
    BadCursor,
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Fault {
    /// The field or parameter as the client spells it; empty for the body itself.
    pub field: &'static str,
    /// The machine code.
    pub code: FaultCode,
    /// A sentence for people, without its subject: "must be an integer".
    pub message: Cow<'static, str>,
}

/// The faults found in a request so far.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Returns the faults of a request whose only fault is this one.
    pub fn one(field: &'static str, code: FaultCode, message: impl Into<Cow<'static, str>>) -> Self {
        let mut faults = Self::default();
        faults.add(field, code, message);
        faults
    }

    /// Adds a fault of `field`.
    pub fn add(&mut self, field: &'static str, code: FaultCode, message: impl Into<Cow<'static, str>>) {
        self.0.push(Fault { field, code, message: message.into() });
    }

    /// Adds the faults of `other`.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn into_inner(self) -> Vec<Fault> {
        self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
