//! Validation faults of a batch: the entries of `details` in an `invalid_batch` answer.

use serde::Serialize;
use service::wire_enum;
use std::borrow::Cow;

wire_enum! {
    /// The rule that a fault breaks.
    pub enum FaultCode {
        /// A required field is absent or null.
        Required = "required",
        /// A known field is given more than once.
        DuplicateField = "duplicate_field",
        /// The batch uses both body forms at once.
        BothForms = "both_forms",
        NotAnObject = "not_an_object",
        NotAnArray = "not_an_array",
        /// The array has no elements.
        Empty = "empty",
        /// The batch holds more metrics than a request may.
        TooMany = "too_many",
        NotAString = "not_a_string",
        BadMetricId = "bad_metric_id",
        BadName = "bad_name",
        NotANumber = "not_a_number",
        /// The number overflows a double.
        OutOfRange = "out_of_range",
        BadUnit = "bad_unit",
        NotAnInteger = "not_an_integer",
        /// The timestamp is too far ahead of the server's clock.
        InTheFuture = "in_the_future",
        /// The timestamp is before the year 2000.
        TooOld = "too_old",
    }
}

/// One broken rule of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Fault {
    /// Index in `metrics`; absent for faults of the envelope and in the flat form.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, maximum = 99)]
    pub index: Option<usize>,
    /// JSON name of the field.
    pub field: &'static str,
    /// Machine-readable rule.
    pub code: FaultCode,
    /// Human-readable rule, to be read after the field name.
    pub message: Cow<'static, str>,
}
