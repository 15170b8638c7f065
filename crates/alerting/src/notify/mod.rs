//! What channels are told, in the words and the form of each kind.
//!
//! [`message::Message`] is what there is to say; [`payload`] is the request that says it.

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

/// The headers and the body that tell a channel of `kind` the message; none for what is not told by a request.
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

/// At most `most` characters; where some are left out, an ellipsis says so.
fn clipped(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut clipped: String = text.chars().take(most.saturating_sub(1)).collect();
    clipped.push('…');
    clipped
}
