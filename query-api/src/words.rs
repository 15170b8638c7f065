//! Enumerations that clients spell as words.

/// Declares an enumeration with the word for each variant, as parameters, answers and the OpenAPI document have it.
macro_rules! words {
    ($(#[$doc:meta])* pub enum $name:ident: $what:tt { $($(#[$variant_doc:meta])* $variant:ident = $word:tt,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)*
        }

        impl crate::words::Word for $name {
            const ALL: &'static [(&'static str, Self)] = &[$(($word, Self::$variant),)*];
        }
    };
}

pub(crate) use words;

/// An enumeration that clients spell as words.
pub trait Word: Copy + 'static {
    /// Every word and what it stands for.
    const ALL: &'static [(&'static str, Self)];

    /// What `word` stands for.
    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == word).map(|(_, value)| *value)
    }

    /// The words, for a message.
    fn choices() -> String {
        Self::ALL.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ")
    }
}

/// The word that stands for `value`.
pub fn text<W: Word + PartialEq>(value: W) -> &'static str {
    W::ALL.iter().find(|(_, known)| *known == value).map_or("", |(word, _)| word)
}
