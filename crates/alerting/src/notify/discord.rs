//! Messages for Discord webhooks: one embed. Mentions are disabled, so a name such as `@everyone` notifies nobody.
//!
//! Limits (discord.com/developers, "Embed Limits"): title 256, field name 256, field value 1,024 characters, 25 fields.

use super::clipped;
use super::message::{Message, Severity};
use serde_json::{Value, json};

/// Returns the request body.
pub fn body(message: &Message) -> Value {
    let fields: Vec<Value> = message
        .facts()
        .into_iter()
        .map(|(label, text)| json!({"name": label, "value": clipped(&escaped(&text), 1024), "inline": true}))
        .collect();
    let colour = match message.event.severity() {
        Severity::Critical => 0xd9_2d20,
        Severity::Warning => 0xf7_9009,
        Severity::Resolved => 0x12_b76a,
        Severity::Neutral => 0x66_7085,
    };
    json!({
        "embeds": [{
            "title": clipped(&escaped(&message.title()), 256),
            "url": message.link,
            "color": colour,
            "timestamp": message.time(),
            "fields": fields,
        }],
        "allowed_mentions": {"parse": []},
    })
}

/// Escapes Markdown characters with a backslash.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\\' | '*' | '_' | '~' | '`' | '|' | '[' | ']' | '#') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::message::{Event, tests::firing};

    #[test]
    fn message_is_one_embed_without_mentions() {
        let body = body(&firing());
        assert_eq!(body["allowed_mentions"], json!({"parse": []}));
        let embed = &body["embeds"][0];
        assert_eq!(embed["title"], "Firing: Too <slow> & @everyone");
        assert_eq!(embed["url"], "https://tidemark.example.org/alerts/alr_1");
        assert_eq!(
            (&embed["color"], &embed["timestamp"]),
            (&json!(0xd9_2d20), &json!("2026-09-21T14:13:20Z"))
        );
        assert_eq!(
            embed["fields"][0],
            json!({"name": "Metric", "value": "API Response Time (api\\_response\\_time)", "inline": true})
        );
        assert_eq!(embed["fields"][1], json!({"name": "Value", "value": "512.5 ms", "inline": true}));
    }

    #[test]
    fn title_is_clipped_and_resolution_is_green() {
        let long = Message { name: "x".repeat(400), event: Event::Resolved, ..firing() };
        let body = body(&long);
        assert_eq!(body["embeds"][0]["title"].as_str().map(|title| title.chars().count()), Some(256));
        assert_eq!(body["embeds"][0]["color"], 0x12_b76a);
    }
}
