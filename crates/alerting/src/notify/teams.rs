//! Messages for Microsoft Teams Workflows ("When a Teams webhook request is received"): one Adaptive Card.
//!
//! The card has version 1.4, the newest that all Teams clients display.

use super::message::{Message, Severity};
use serde_json::{Value, json};

/// Returns the request body.
pub fn body(message: &Message) -> Value {
    let facts: Vec<Value> = message
        .facts()
        .into_iter()
        .map(|(label, text)| json!({"title": label, "value": escaped(&text)}))
        .collect();
    let colour = match message.event.severity() {
        Severity::Critical => "Attention",
        Severity::Warning => "Warning",
        Severity::Resolved => "Good",
        Severity::Neutral => "Default",
    };
    let title = json!({
        "type": "TextBlock", "text": escaped(&message.title()), "size": "Large", "weight": "Bolder", "color": colour,
        "wrap": true,
    });
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": [title, {"type": "FactSet", "facts": facts}],
                "actions": [{"type": "Action.OpenUrl", "title": "Open in Tidemark", "url": message.link}],
            },
        }],
    })
}

/// Escapes the subset of Markdown that cards render: links and emphasis.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\\' | '*' | '_' | '[' | ']') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::message::tests::firing;

    #[test]
    fn message_is_one_adaptive_card_with_facts_and_link() {
        let body = body(&firing());
        assert_eq!(body["type"], "message");
        let attachment = &body["attachments"][0];
        assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
        let card = &attachment["content"];
        assert_eq!((&card["type"], &card["version"]), (&json!("AdaptiveCard"), &json!("1.4")));
        assert_eq!(card["body"][0]["text"], "Firing: Too <slow> & @everyone");
        assert_eq!(card["body"][0]["color"], "Attention");
        assert_eq!(card["body"][1]["facts"][1], json!({"title": "Value", "value": "512.5 ms"}));
        assert_eq!(
            card["actions"],
            json!([{"type": "Action.OpenUrl", "title": "Open in Tidemark",
                "url": "https://tidemark.example.org/alerts/alr_1"}])
        );
    }
}
