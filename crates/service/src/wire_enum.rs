//! Enumerations that clients spell as strings.

/// Declares an enumeration with the string of each variant, as used in parameters, answers and the OpenAPI document.
#[macro_export]
macro_rules! wire_enum {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:tt,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, ::serde::Serialize, ::utoipa::ToSchema)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)*
        }

        impl $crate::wire_enum::WireEnum for $name {
            const ALL: &'static [(&'static str, Self)] = &[$(($text, Self::$variant),)*];
        }
    };
}

/// An enumeration that clients spell as strings.
pub trait WireEnum: Copy + PartialEq + 'static {
    /// The string of each variant.
    const ALL: &'static [(&'static str, Self)];

    /// Returns the variant that `text` stands for.
    fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == text).map(|(_, value)| *value)
    }

    /// Returns the string of this variant.
    fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, known)| *known == self).map_or("", |(text, _)| text)
    }

    /// Returns all strings, separated by commas, for an error message.
    fn choices() -> String {
        Self::ALL.iter().map(|(text, _)| *text).collect::<Vec<_>>().join(", ")
    }
}
