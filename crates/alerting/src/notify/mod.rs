//! Notifications in the format of each channel kind.
//!
//! [`message::Message`] is the content of a notification. [`payload`] returns the HTTP request that carries it.

pub mod discord;
pub mod kind;
pub mod message;
pub mod slack;
pub mod teams;
pub mod webhook;

use bytes::Bytes;
use hyper::HeaderMap;
use kind::Kind;
use message::Message;
use serde_json::Value;

/// Returns the headers and the body of the request that delivers `message` to a channel of `kind`; none if the kind needs
/// no request, or if the request cannot be signed.
pub fn payload(kind: Kind, signing_key: &[u8], message: &Message, now_ms: i64) -> Option<(HeaderMap, Bytes)> {
    let body = |body: Value| Bytes::from(body.to_string());
    Some(match kind {
        Kind::InApp => return None,
        Kind::Slack => (HeaderMap::new(), body(slack::body(message))),
        Kind::Discord => (HeaderMap::new(), body(discord::body(message))),
        Kind::Teams => (HeaderMap::new(), body(teams::body(message))),
        Kind::Webhook => {
            let body = body(webhook::body(message));
            (webhook::headers(signing_key, &message.id, now_ms, &body)?, body)
        }
    })
}

/// Returns at most `max` characters of `text`, with an ellipsis if some are left out.
fn clipped(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut clipped: String = text.chars().take(max.saturating_sub(1)).collect();
    clipped.push('…');
    clipped
}
