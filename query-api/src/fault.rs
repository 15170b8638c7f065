//! What can be wrong with the fields and parameters of a request: one [`Fault`] for each, as `details` of
//! `invalid_parameter` lists them. A request that breaks three rules is told all three.

use serde::Serialize;
use std::borrow::Cow;
use utoipa::ToSchema;

/// Which rule was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A required field is absent or null.
    Required,
    /// Not an object.
    NotAnObject,
    /// Not a string.
    NotAString,
    /// Not true or false.
    NotABoolean,
    /// Not a finite number.
    NotANumber,
    /// Not what a metric's id may look like.
    BadMetricId,
    /// Not a URL that may be called.
    BadUrl,
    /// Must not be given here.
    Unexpected,
    /// The same as another one's.
    Duplicate,
    /// The project has no such channel.
    UnknownChannel,
    /// Not an array.
    NotAnArray,
    /// A list without items.
    Empty,
    /// Fewer or more items than are allowed.
    BadLength,
    /// Not what a name may look like.
    BadName,
    /// There is no such plan.
    UnknownPlan,
    /// Not an integer.
    NotAnInteger,
    /// Outside of what is allowed.
    OutOfRange,
    /// Neither Unix milliseconds nor ISO 8601.
    BadTimestamp,
    /// The range is empty or ends before it begins.
    EmptyRange,
    /// Not one of the words that are allowed.
    UnknownWord,
    /// Not a zone of the IANA database.
    UnknownTimezone,
    /// More buckets than an answer may hold.
    TooManyBuckets,
    /// Not a cursor of this list.
    BadCursor,
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Fault {
    /// The field or parameter, as the client spells it; empty for the body itself.
    pub field: &'static str,
    /// The rule.
    pub code: Code,
    /// A sentence for a person.
    pub message: Cow<'static, str>,
}

/// Collects what is wrong with a request.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Notes that `field` is wrong.
    pub fn add(&mut self, field: &'static str, code: Code, message: impl Into<Cow<'static, str>>) {
        self.0.push(Fault { field, code, message: message.into() });
    }

    /// Returns the broken rules.
    pub fn into_inner(self) -> Vec<Fault> {
        self.0
    }

    /// Whether nothing is wrong so far.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes all faults and fails if there are any.
    pub fn check(&mut self) -> Result<(), Self> {
        let faults = std::mem::take(&mut self.0);
        if faults.is_empty() { Ok(()) } else { Err(Self(faults)) }
    }
}
