//! Content of a notification, independent of the channel kind.

use jiff::Timestamp;

/// Event of which a channel is notified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The rule's condition holds.
    Firing,
    /// The condition no longer holds.
    Resolved,
    /// The window has no points.
    NoData,
    /// The rule changes its state often. Single transitions are not notified until it settles.
    Flapping,
    /// A user tests the channel or the rule.
    Test,
}

impl Event {
    /// Returns the name in payloads and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
            Self::NoData => "no_data",
            Self::Flapping => "flapping",
            Self::Test => "test",
        }
    }

    /// Returns the name in titles.
    pub fn title(self) -> &'static str {
        match self {
            Self::Firing => "Firing",
            Self::Resolved => "Resolved",
            Self::NoData => "No data",
            Self::Flapping => "Flapping",
            Self::Test => "Test",
        }
    }

    /// Returns the severity.
    pub fn severity(self) -> Severity {
        match self {
            Self::Firing => Severity::Critical,
            Self::NoData | Self::Flapping => Severity::Warning,
            Self::Resolved => Severity::Resolved,
            Self::Test => Severity::Neutral,
        }
    }
}

/// Severity of an event, which determines the colour of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The condition of the rule holds.
    Critical,
    /// The state of the rule is uncertain.
    Warning,
    /// The condition no longer holds.
    Resolved,
    /// A test.
    Neutral,
}

/// Reason why a message has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The window has no points.
    NoPoints,
    /// The rule is no longer evaluated: it was switched off or removed, or the project's plan does not include alerts.
    RuleEnded,
}

impl Missing {
    /// Returns the name in payloads and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoPoints => "no_points",
            Self::RuleEnded => "rule_ended",
        }
    }

    /// Returns the text that is shown instead of the value.
    pub fn text(self) -> &'static str {
        match self {
            Self::NoPoints => "no points",
            Self::RuleEnded => "the rule was switched off or removed",
        }
    }
}

/// Content of a notification.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Id of the event. Repeated deliveries have the same id.
    pub id: String,
    /// The event.
    pub event: Event,
    /// The project.
    pub project_id: String,
    /// The rule; empty for a test of a channel.
    pub alert_id: String,
    /// Name of the rule; for a test of a channel, of the channel.
    pub name: String,
    /// The metric; empty for a test of a channel.
    pub metric_id: String,
    /// Display name of the metric.
    pub metric_name: String,
    /// Unit of the metric; empty if it has none.
    pub unit: String,
    /// Value of the window, if it has points.
    pub value: Option<f64>,
    /// True if the rule is no longer evaluated.
    pub ended: bool,
    /// Aggregation, as in the API.
    pub aggregation: String,
    /// Operator, as in the API.
    pub operator: String,
    /// The threshold.
    pub threshold: f64,
    /// Length of the window, as in the API.
    pub range: String,
    /// End of the window, Unix milliseconds.
    pub at_ms: i64,
    /// URL of the page that shows the metric or the rule.
    pub link: String,
}

impl Message {
    /// Returns a title of one line.
    pub fn title(&self) -> String {
        format!("{}: {}", self.event.title(), self.name)
    }

    /// Returns labels with their values. They are the same in every channel kind.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        if self.metric_id.is_empty() {
            return vec![("Note", "This is a test notification.".to_owned())];
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
            Event::Flapping => facts.push((
                "Note",
                "The rule changes its state often. The next notification follows when it settles.".to_owned(),
            )),
            Event::Test => facts.push(("Note", "This is a test notification.".to_owned())),
            Event::Firing | Event::Resolved | Event::NoData => {}
        }
        facts
    }

    /// Returns the reason why there is no value; none if there is one, or if the message concerns no metric.
    pub fn missing(&self) -> Option<Missing> {
        match self.value {
            Some(_) => None,
            None if self.metric_id.is_empty() => None,
            None if self.ended => Some(Missing::RuleEnded),
            None => Some(Missing::NoPoints),
        }
    }

    /// Returns the time in ISO 8601.
    pub fn time(&self) -> String {
        Timestamp::from_millisecond(self.at_ms).map_or_else(|_| self.at_ms.to_string(), |at| at.to_string())
    }

    /// Formats a number with the unit.
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

    /// A firing rule whose name has characters that must be escaped.
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
    fn facts_have_value_unit_threshold_and_window() {
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

    /// A rule that was removed while it was firing.
    pub fn ended() -> Message {
        Message { event: Event::Resolved, value: None, ended: true, ..firing() }
    }

    #[test]
    fn end_of_a_rule_is_not_reported_as_missing_points() {
        assert!(ended().facts().contains(&("Value", "the rule was switched off or removed".to_owned())));
    }

    #[test]
    fn test_of_a_channel_has_no_measurements() {
        let test = Message { event: Event::Test, metric_id: String::new(), ..firing() };
        assert_eq!(test.facts(), [("Note", "This is a test notification.".to_owned())]);
    }
}
