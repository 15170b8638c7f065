//! What there is to say.

use jiff::Timestamp;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The rule's condition holds.
    Firing,
    /// It holds no longer.
    Resolved,
    /// There are no points.
    NoData,
    /// It goes to and fro; single changes are not told until it is calm.
    Flapping,
    /// Somebody wants to see that the channel works.
    Test,
}

impl Event {
    /// The word for machines.
    pub fn word(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
            Self::NoData => "no_data",
            Self::Flapping => "flapping",
            Self::Test => "test",
        }
    }

    /// The word for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Firing => "Firing",
            Self::Resolved => "Resolved",
            Self::NoData => "No data",
            Self::Flapping => "Flapping",
            Self::Test => "Test",
        }
    }

    /// How bad it is.
    pub fn mood(self) -> Mood {
        match self {
            Self::Firing => Mood::Bad,
            Self::NoData | Self::Flapping => Mood::Doubtful,
            Self::Resolved => Mood::Good,
            Self::Test => Mood::Plain,
        }
    }
}

/// How bad something is, for colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Act.
    Bad,
    /// Look.
    Doubtful,
    /// All is well.
    Good,
    /// Nothing happened.
    Plain,
}

/// Why there is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The window has no points.
    NoPoints,
    /// The rule is no longer evaluated: it was switched off or removed, or the project's plan has no alerts.
    RuleEnded,
}

impl Missing {
    /// The word for machines.
    pub fn word(self) -> &'static str {
        match self {
            Self::NoPoints => "no_points",
            Self::RuleEnded => "rule_ended",
        }
    }

    /// The words for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::NoPoints => "no points",
            Self::RuleEnded => "the rule was switched off or removed",
        }
    }
}

/// What there is to say.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Names it: one that arrives twice has the same id twice.
    pub id: String,
    /// What happened.
    pub event: Event,
    /// The project.
    pub project_id: String,
    /// The rule; empty for the test of a channel.
    pub alert_id: String,
    /// The rule's name, or the channel's.
    pub name: String,
    /// The metric; empty for the test of a channel.
    pub metric_id: String,
    /// The metric's name for people.
    pub metric_name: String,
    /// Its unit; empty if it has none.
    pub unit: String,
    /// The window's value, if it has points.
    pub value: Option<f64>,
    /// Whether the rule is no longer evaluated.
    pub ended: bool,
    /// A word of the contract.
    pub aggregation: String,
    /// A word of the contract.
    pub operator: String,
    /// What the value is compared with.
    pub threshold: f64,
    /// The window's length, a word of the contract.
    pub range: String,
    /// The end of the window, Unix milliseconds.
    pub at_ms: i64,
    /// Where a person sees more.
    pub link: String,
}

impl Message {
    /// One line that says it.
    pub fn title(&self) -> String {
        format!("{}: {}", self.event.title(), self.name)
    }

    /// What was measured, by label: the same in every channel.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        if self.metric_id.is_empty() {
            return vec![("Note", "This is a test: nothing happened.".to_owned())];
        }
        let missing = self.missing().map(|missing| missing.text().to_owned());
        let value = self.value.map(|value| self.with_unit(value)).or(missing).unwrap_or_default();
        let mut facts = vec![
            ("Metric", format!("{} ({})", self.metric_name, self.metric_id)),
            ("Value", value),
            ("Threshold", format!("{} {}", self.operator, self.with_unit(self.threshold))),
            ("Window", format!("{} over {}", self.aggregation, self.range)),
            ("Time", self.time()),
        ];
        match self.event {
            Event::Flapping => {
                facts.push(("Note", "It changes often: you will hear how it ends.".to_owned()))
            }
            Event::Test => facts.push(("Note", "This is a test: nothing happened.".to_owned())),
            Event::Firing | Event::Resolved | Event::NoData => {}
        }
        facts
    }

    /// Why there is no value; none if there is one, or nothing to measure.
    pub fn missing(&self) -> Option<Missing> {
        match self.value {
            Some(_) => None,
            None if self.metric_id.is_empty() => None,
            None if self.ended => Some(Missing::RuleEnded),
            None => Some(Missing::NoPoints),
        }
    }

    /// The time in ISO 8601.
    pub fn time(&self) -> String {
        Timestamp::from_millisecond(self.at_ms).map_or_else(|_| self.at_ms.to_string(), |at| at.to_string())
    }

    /// A number as people write it with the unit.
    fn with_unit(&self, number: f64) -> String {
        match self.unit.as_str() {
            "" => number.to_string(),
            "%" => format!("{number}%"),
            unit => format!("{number} {unit}"),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A rule fires whose names want to be escaped.
    pub fn firing() -> Message {
        Message {
            id: "alr_1-7".to_owned(),
            event: Event::Firing,
            project_id: "prj_1".to_owned(),
            alert_id: "alr_1".to_owned(),
            name: "Too <slow> & @everyone".to_owned(),
            metric_id: "api_response_time".to_owned(),
            metric_name: "API Response Time".to_owned(),
            unit: "ms".to_owned(),
            value: Some(512.5),
            ended: false,
            aggregation: "p99".to_owned(),
            operator: ">".to_owned(),
            threshold: 500.0,
            range: "5m".to_owned(),
            at_ms: 1_790_000_000_000,
            link: "https://tidemark.example.org/alerts/alr_1".to_owned(),
        }
    }

    #[test]
    fn the_facts_hold_value_unit_threshold_and_window() {
        let facts = firing().facts();
        let fact = |label| facts.iter().find(|(known, _)| *known == label).map(|(_, text)| text.as_str());
        assert_eq!(fact("Value"), Some("512.5 ms"));
        assert_eq!(fact("Threshold"), Some("> 500 ms"));
        assert_eq!(fact("Window"), Some("p99 over 5m"));
        assert_eq!(fact("Metric"), Some("API Response Time (api_response_time)"));
        assert_eq!(fact("Time"), Some("2026-09-21T14:13:20Z"));
        let silent = Message { value: None, unit: "%".to_owned(), threshold: 0.5, ..firing() };
        assert!(silent.facts().contains(&("Value", "no points".to_owned())));
        assert!(silent.facts().contains(&("Threshold", "> 0.5%".to_owned())));
    }

    /// A rule ended while it fired.
    pub fn ended() -> Message {
        Message { event: Event::Resolved, value: None, ended: true, ..firing() }
    }

    #[test]
    fn the_end_of_a_rule_is_not_told_as_a_lack_of_points() {
        assert!(ended().facts().contains(&("Value", "the rule was switched off or removed".to_owned())));
    }

    #[test]
    fn the_test_of_a_channel_measures_nothing() {
        let test = Message { event: Event::Test, metric_id: String::new(), ..firing() };
        assert_eq!(test.facts(), [("Note", "This is a test: nothing happened.".to_owned())]);
    }
}
