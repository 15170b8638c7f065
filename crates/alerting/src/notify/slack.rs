//! Messages for Slack incoming webhooks: `text` for notifications, Block Kit for the message.
//!
//! Limits (docs.slack.dev, Block Kit): 150 characters in a header, 10 fields in a section of 2,000 characters each.

use super::clipped;
use super::message::Message;
use serde_json::{Value, json};

/// Returns the request body.
pub fn body(message: &Message) -> Value {
    let fields: Vec<Value> = message
        .facts()
        .into_iter()
        .map(|(label, text)| json!({"type": "mrkdwn", "text": clipped(&format!("*{label}*\n{}", escaped(&text)), 2000)}))
        .collect();
    let link = format!("<{}|Open in Tidemark>", message.link);
    json!({
        "text": escaped(&message.title()),
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": clipped(&message.title(), 150)}},
            {"type": "section", "fields": fields},
            {"type": "section", "text": {"type": "mrkdwn", "text": link}},
        ],
    })
}

/// Escapes Slack's three control characters, so that no name can mention a channel.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::message::tests::firing;

    #[test]
    fn message_has_text_header_fields_and_link() {
        assert_eq!(
            body(&firing()),
            json!({
                "text": "Firing: Too &lt;slow&gt; &amp; @everyone",
                "blocks": [
                    {"type": "header", "text": {"type": "plain_text", "text": "Firing: Too <slow> & @everyone"}},
                    {"type": "section", "fields": [
                        {"type": "mrkdwn", "text": "*Metric*\nAPI Response Time (api_response_time)"},
                        {"type": "mrkdwn", "text": "*Value*\n512.5 ms"},
                        {"type": "mrkdwn", "text": "*Threshold*\n&gt; 500 ms"},
                        {"type": "mrkdwn", "text": "*Window*\np99 over 5m"},
                        {"type": "mrkdwn", "text": "*Time*\n2026-09-21T14:13:20Z"},
                    ]},
                    {"type": "section", "text": {"type": "mrkdwn",
                        "text": "<https://tidemark.example.org/alerts/alr_1|Open in Tidemark>"}},
                ],
            })
        );
    }

    #[test]
    fn long_name_is_clipped_to_the_limit_of_a_header() {
        let long = Message { name: "é".repeat(200), ..firing() };
        let body = body(&long);
        let header = body["blocks"][0]["text"]["text"].as_str().expect("a header");
        assert_eq!(header.chars().count(), 150);
        assert!(header.ends_with('…'));
    }
}
