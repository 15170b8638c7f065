//! Labels of series. A metric has two: `__name__`, its id with characters that Prometheus does not allow replaced by `_`, and
//! `metric_id`, its actual id.

use promql_parser::label::{Matcher, Matchers};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Label with a metric's name.
pub const NAME: &str = "__name__";
/// Label with a metric's id.
pub const METRIC_ID: &str = "metric_id";

/// A set of labels. An empty value is equivalent to an absent label.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// Returns the labels of a metric.
    pub fn of_metric(id: &str) -> Self {
        Self(BTreeMap::from([(NAME.to_owned(), metric_name(id)), (METRIC_ID.to_owned(), id.to_owned())]))
    }

    /// Returns the label's value; empty if the label is absent.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Returns the names of the labels.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Sets a label. An empty value removes it.
    pub fn set(&mut self, name: &str, value: String) {
        if value.is_empty() {
            self.0.remove(name);
        } else {
            self.0.insert(name.to_owned(), value);
        }
    }

    /// Returns the labels that satisfy `keep`.
    #[must_use]
    pub fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        let kept = self.0.iter().filter(|(name, _)| keep(name));
        Self(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// Returns the labels without the metric's name.
    #[must_use]
    pub fn nameless(&self) -> Self {
        self.filtered(|name| name != NAME)
    }

    /// Returns whether all matchers match.
    pub fn matched_by(&self, matchers: &[Matcher]) -> bool {
        matchers.iter().all(|matcher| matcher.is_match(self.get(&matcher.name)))
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        write!(f, "{{{}}}", labels.join(", "))
    }
}

/// Labels that identify groups of an aggregation, or pairs of a match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grouping {
    /// Only these labels: `by`, `on`.
    By(Vec<String>),
    /// All labels except these and the name: `without`, `ignoring`.
    Without(Vec<String>),
}

impl Grouping {
    /// Returns the identifying labels.
    pub fn key(&self, labels: &Labels) -> Labels {
        match self {
            Self::By(names) => labels.filtered(|name| names.iter().any(|by| by == name)),
            Self::Without(names) => {
                labels.filtered(|name| name != NAME && !names.iter().any(|without| without == name))
            }
        }
    }
}

/// Converts a metric's id to a valid Prometheus name: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub fn metric_name(id: &str) -> String {
    let allowed = |(index, c): (usize, char)| match c {
        'a'..='z' | 'A'..='Z' | '_' | ':' => c,
        '0'..='9' if index > 0 => c,
        _ => '_',
    };
    id.chars().enumerate().map(allowed).collect()
}

/// Returns the matchers of a selector, including the one for its name.
pub fn matchers(name: Option<&str>, matchers: &Matchers) -> Vec<Matcher> {
    let name = name.map(|name| Matcher::new(promql_parser::label::MatchOp::Equal, NAME, name));
    matchers.matchers.iter().cloned().chain(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_name_has_only_characters_that_prometheus_allows() {
        for (id, name) in [
            ("daily_signups", "daily_signups"),
            ("api.response-time", "api_response_time"),
            ("job:rate:5m", "job:rate:5m"),
            ("5xx", "_xx"),
            ("_5", "_5"),
            ("-a", "_a"),
        ] {
            assert_eq!(metric_name(id), name, "{id}");
        }
    }

    #[test]
    fn group_key_has_the_chosen_labels_or_all_others_but_the_name() {
        let labels = Labels::of_metric("a.b");
        let key = |grouping: Grouping| grouping.key(&labels).to_string();
        assert_eq!(key(Grouping::By(vec![])), "{}");
        assert_eq!(key(Grouping::By(vec!["__name__".to_owned()])), "{__name__=\"a_b\"}");
        assert_eq!(key(Grouping::Without(vec![])), "{metric_id=\"a.b\"}");
        assert_eq!(key(Grouping::Without(vec!["metric_id".to_owned()])), "{}");
    }
}
