//! What can be wrong with a batch: one [`Fault`] for each broken rule, as `details` of `invalid_batch` lists them.

use serde::ser::{Serialize, SerializeMap, Serializer};
use std::borrow::Cow;

/// Declares [`Code`] and the word that each code is on the wire.
macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)*) => {
        /// Which rule was broken.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, utoipa::ToSchema)]
        #[schema(as = FaultCode, rename_all = "snake_case")]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code.
            pub const ALL: &[Code] = &[$(Code::$variant,)*];

            /// The word that clients see.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $word,)* }
            }
        }
    };
}

codes! {
    /// A required field is absent or null.
    Required = "required",
    /// A known field is given twice.
    DuplicateField = "duplicate_field",
    /// Both body forms at once.
    BothForms = "both_forms",
    /// Not an object.
    NotAnObject = "not_an_object",
    /// Not an array.
    NotAnArray = "not_an_array",
    /// An array without elements.
    Empty = "empty",
    /// More metrics than a request may hold.
    TooMany = "too_many",
    /// Not a string.
    NotAString = "not_a_string",
    /// Not what an id may look like.
    BadMetricId = "bad_metric_id",
    /// Not what a name may look like.
    BadName = "bad_name",
    /// Not a number.
    NotANumber = "not_a_number",
    /// A number that no double holds.
    OutOfRange = "out_of_range",
    /// Not what a unit may look like.
    BadUnit = "bad_unit",
    /// Not an integer.
    NotAnInteger = "not_an_integer",
    /// Later than the server's clock allows.
    InTheFuture = "in_the_future",
    /// Earlier than any metric may be.
    TooOld = "too_old",
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, utoipa::ToSchema)]
pub struct Fault {
    /// Which element of `metrics`; absent for the envelope and for the flat form.
    #[schema(nullable = false, minimum = 0, maximum = 99)]
    pub index: Option<usize>,
    /// The field, as the client spells it.
    pub field: &'static str,
    /// The rule.
    pub code: Code,
    /// A sentence for a person.
    pub message: Cow<'static, str>,
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(index) = self.index {
            map.serialize_entry("index", &index)?;
        }
        map.serialize_entry("field", self.field)?;
        map.serialize_entry("code", self.code.as_str())?;
        map.serialize_entry("message", &self.message)?;
        map.end()
    }
}
