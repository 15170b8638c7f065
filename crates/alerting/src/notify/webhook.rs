//! Messages for webhooks, signed according to Standard Webhooks 1.0 (standardwebhooks.com): the headers `webhook-id`,
//! `webhook-timestamp` (Unix seconds) and `webhook-signature` (`v1,` and the HMAC-SHA256 of `id.timestamp.body` in
//! base64). A receiver that has already processed the id may ignore the request.
//!
//! `type` is `alert.` followed by `firing`, `resolved`, `no_data`, `flapping` or `test`. If `data.value` is `null`,
//! `data.reason` explains it: `no_points` if the window has no points, `rule_ended` if the rule was switched off or removed
//! or the project's plan no longer includes alerts. Otherwise `data.reason` is `null`. A test of a channel has neither a
//! value nor a reason, because it concerns no metric.

use super::message::{Message, Missing};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::HeaderMap;
use hyper::header::HeaderValue;
use serde_json::{Value, json};
use sha2::Sha256;

/// Returns the request body.
pub fn body(message: &Message) -> Value {
    let text = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
    json!({
        "type": format!("alert.{}", message.event.as_str()),
        "timestamp": message.time(),
        "data": {
            "id": message.id,
            "projectId": message.project_id,
            "alertId": text(&message.alert_id),
            "name": message.name,
            "metricId": text(&message.metric_id),
            "metricName": text(&message.metric_name),
            "unit": text(&message.unit),
            "value": message.value,
            "reason": message.missing().map(Missing::as_str),
            "aggregation": text(&message.aggregation),
            "operator": text(&message.operator),
            "threshold": (!message.metric_id.is_empty()).then_some(message.threshold),
            "range": text(&message.range),
            "at": message.at_ms,
            "link": message.link,
        },
    })
}

/// Returns the headers that sign `body`; none if the id contains characters that a header cannot have.
pub fn headers(key: &[u8], id: &str, now_ms: i64, body: &[u8]) -> Option<HeaderMap> {
    let timestamp = now_ms.div_euclid(1000).to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let mut headers = HeaderMap::new();
    for (name, text) in
        [("webhook-id", id), ("webhook-timestamp", &timestamp), ("webhook-signature", &signature)]
    {
        headers.insert(name, HeaderValue::from_str(text).ok()?);
    }
    Some(headers)
}

/// Returns the signing key in the format in which it is shown to the user, once.
pub fn secret(key: &[u8]) -> String {
    format!("whsec_{}", STANDARD.encode(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::message::tests::{ended, firing};

    /// The example is from the reference libraries of the specification.
    #[test]
    fn signature_equals_the_example_of_the_specification() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        assert_eq!(secret(&key), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let headers =
            headers(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330_000, br#"{"test": 2432232314}"#)
                .expect("headers");
        assert_eq!(headers["webhook-id"], "msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(headers["webhook-timestamp"], "1614265330");
        assert_eq!(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn body_has_type_timestamp_and_data() {
        let body = body(&firing());
        assert_eq!(
            (&body["type"], &body["timestamp"]),
            (&json!("alert.firing"), &json!("2026-09-21T14:13:20Z"))
        );
        for (field, value) in [
            ("id", json!("alr_1-7")),
            ("metricId", json!("api_response_time")),
            ("value", json!(512.5)),
            ("reason", Value::Null),
            ("unit", json!("ms")),
            ("threshold", json!(500.0)),
            ("operator", json!(">")),
            ("aggregation", json!("p99")),
            ("range", json!("5m")),
            ("at", json!(1_790_000_000_000i64)),
        ] {
            assert_eq!(body["data"][field], value, "{field}");
        }
    }

    #[test]
    fn body_without_a_value_has_a_reason() {
        let of = |message: &Message| {
            let data = body(message)["data"].take();
            (data["value"].clone(), data["reason"].clone())
        };
        assert_eq!(of(&ended()), (Value::Null, json!("rule_ended")));
        assert_eq!(of(&Message { ended: false, ..ended() }), (Value::Null, json!("no_points")));
        assert_eq!(of(&Message { metric_id: String::new(), ..ended() }), (Value::Null, Value::Null));
    }
}
