//! Property tests: the two passes agree, and the JSON reader agrees with `serde_json`.

use super::json::{self, DEPTH_LIMIT, Kind, Raw};
use super::{fast, number, slow};
use proptest::prelude::*;
use serde_json::Value;

const NOW: i64 = 1_790_000_000_000;

/// Generates JSON text of any shape, including notations that serializers do not produce.
fn document() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        number_text(),
        string_text(),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        let whitespace = "[ \n\t\r]{0,2}";
        prop_oneof![
            (whitespace, prop::collection::vec(inner.clone(), 0..5)).prop_map(
                |(whitespace, elements)| format!(
                    "[{whitespace}{}]",
                    elements.join(&format!("{whitespace},"))
                )
            ),
            (whitespace, prop::collection::vec((string_text(), inner), 0..5)).prop_map(
                |(whitespace, members)| {
                    let members: Vec<_> = members
                        .iter()
                        .map(|(name, value)| format!("{name}{whitespace}:{value}{whitespace}"))
                        .collect();
                    format!("{{{whitespace}{}}}", members.join(","))
                }
            ),
        ]
    })
}

fn number_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?"
    ]
}

fn string_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>().prop_map(|text| Value::String(text).to_string()),
        r#""([a-zA-Zé😀]|\\["\\/bfnrt]|\\u00[0-9a-fA-F]{2}|\\ud83d\\ude0[0-9]){0,8}""#,
    ]
}

/// Generates the members of a metric, valid or nearly valid.
fn metric() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        10 => (prop_oneof![Just("a".to_owned()), "[a-zA-Z0-9_.:-]{1,8}", any::<String>()])
            .prop_map(|id| format!(r#""metricId":{}"#, Value::String(id))),
        10 => prop_oneof![number_text(), any::<f64>().prop_map(|n| format!("{n:e}").replace("NaN", "1").replace("inf", "1")), Just("null".into()), string_text()]
            .prop_map(|value| format!(r#""value":{value}"#)),
        2 => prop_oneof![string_text(), Just("null".into())].prop_map(|name| format!(r#""metricName":{name}"#)),
        2 => prop_oneof![string_text(), Just("null".into()), Just("1".into())].prop_map(|unit| format!(r#""unit":{unit}"#)),
        2 => prop_oneof![(NOW - 100_000..NOW + 100_000).prop_map(|t| t.to_string()), Just("null".into()), Just("1.79e12".into()), number_text()]
            .prop_map(|timestamp| format!(r#""timestamp":{timestamp}"#)),
        1 => document().prop_map(|extra| format!(r#""extra":{extra}"#)),
    ];
    prop_oneof![
        3 => prop::collection::vec(field, 1..5).prop_map(|fields| fields.join(",")),
        1 => Just(r#""metricId":"a","value":1"#.to_owned()),
    ]
}

/// Generates a metric or a flat batch as an array of values without names, from which serde would read a
/// struct.
fn positional() -> impl Strategy<Value = String> {
    let optional = || prop_oneof![Just("null".to_owned()), string_text()];
    (optional(), optional(), optional(), any::<bool>()).prop_map(|(name, unit, project, flat)| {
        let metric = format!(r#""a",{name},1,{unit},null"#);
        if flat { format!("[{project},null,{metric}]") } else { format!("[{metric}]") }
    })
}

fn batch() -> impl Strategy<Value = String> {
    let fields = metric().prop_map(|fields| format!("{{{fields}}}"));
    let element = prop_oneof![8 => fields, 1 => positional()];
    let array = prop::collection::vec(element, 0..4)
        .prop_map(|metrics| format!(r#"{{"projectId":"p","metrics":[{}]}}"#, metrics.join(",")));
    let flat = metric().prop_map(|fields| format!(r#"{{"projectId":"p",{fields}}}"#));
    prop_oneof![8 => array, 8 => flat, 1 => positional()]
}

/// Inserts, removes or replaces a few bytes of `text`, or truncates it.
fn mutated(text: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<u8>> {
    let byte =
        prop_oneof![any::<u8>(), prop::sample::select(b"{}[]\",:\\u0eE+-. \nntf\x00\x1f\xff".to_vec())];
    let change = (any::<prop::sample::Index>(), byte, 0..4u8);
    (text, prop::collection::vec(change, 0..4)).prop_map(|(text, changes)| {
        let mut bytes = text.into_bytes();
        for (at, byte, kind) in changes {
            let at = if bytes.is_empty() { 0 } else { at.index(bytes.len()) };
            match kind {
                0 => bytes.insert(at, byte),
                1 if !bytes.is_empty() => drop(bytes.remove(at)),
                2 if !bytes.is_empty() => bytes[at] = byte,
                _ => bytes.truncate(at + 1),
            }
        }
        bytes
    })
}

/// Converts `raw` as `serde_json` does: the last of several members with the same name wins. `None` if a
/// number overflows.
fn value(raw: Raw<'_>) -> Option<Value> {
    Some(match raw.kind() {
        Kind::Object => Value::Object(
            raw.members().map(|(name, raw)| Some((name.into_owned(), value(raw)?))).collect::<Option<_>>()?,
        ),
        Kind::Array => Value::Array(raw.elements().map(value).collect::<Option<_>>()?),
        Kind::String => Value::String(raw.string().into_owned()),
        Kind::Number => {
            number::to_double(raw.text())?;
            serde_json::from_str(raw.text()).expect("serde_json reads any number that fits in a double")
        }
        Kind::Boolean => Value::Bool(raw.text() == "true"),
        Kind::Null => Value::Null,
    })
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(elements) => 1 + elements.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn assert_agrees_with_serde_json(body: &[u8]) {
    let theirs = serde_json::from_slice::<Value>(body);
    match (json::check(body), theirs) {
        (Ok(ours), Ok(theirs)) => assert_eq!(value(ours), Some(theirs)),
        (Err(_), Err(_)) => {}
        (Ok(ours), Err(_)) => assert_eq!(value(ours), None, "only we accept a number that overflows"),
        (Err(error), Ok(theirs)) => assert!(depth(&theirs) > DEPTH_LIMIT, "{error}"),
    }
}

/// Asserts that the slow pass agrees with the fast pass. Returns whether the fast pass accepted the body.
fn fast_pass_accepts(body: &[u8]) -> bool {
    let accepted = fast::batch(body, NOW);
    if let Some(fast) = &accepted {
        let slow = slow::batch(body, NOW).expect("the slow pass accepts what the fast pass accepts");
        assert_eq!(*fast, slow);
        for (fast, slow) in fast.samples.iter().zip(&slow.samples) {
            assert_eq!(fast.value.to_bits(), slow.value.to_bits());
        }
    }
    accepted.is_some()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn documents_are_read_as_by_serde_json(text in document()) {
        assert_agrees_with_serde_json(text.as_bytes());
    }

    #[test]
    fn mutated_documents_are_rejected_as_by_serde_json(body in mutated(document())) {
        assert_agrees_with_serde_json(&body);
    }

    #[test]
    fn slow_pass_agrees_with_the_fast_pass(text in batch()) {
        fast_pass_accepts(text.as_bytes());
    }

    #[test]
    fn passes_agree_on_mutated_batches(body in mutated(batch())) {
        fast_pass_accepts(&body);
    }

    #[test]
    fn doubles_are_preserved_bit_for_bit(value in any::<f64>().prop_filter("JSON has only finite numbers", |v| v.is_finite())) {
        for text in [format!("{value}"), format!("{value:e}")] {
            let body = format!(r#"{{"projectId":"p","metricId":"a","value":{text}}}"#);
            prop_assert!(fast_pass_accepts(body.as_bytes()));
            let read = slow::batch(body.as_bytes(), NOW).expect("valid").samples[0].value;
            prop_assert_eq!(read.to_bits(), value.to_bits());
        }
    }
}

#[test]
fn usual_bodies_take_the_fast_pass() {
    for body in [
        r#"{"projectId":"p","metrics":[{"metricId":"a","metricName":"A","value":42,"unit":"count","timestamp":1790000000000}]}"#,
        r#"{"projectId":"p","metrics":[{"metricId":"a","value":0.5},{"metricId":"b","value":-1e3,"unit":null}]}"#,
        r#"{"projectId":"p","metricId":"a","value":42,"unit":"\u00b5s"}"#,
    ] {
        assert!(fast_pass_accepts(body.as_bytes()), "{body}");
    }
}

#[test]
fn nesting_is_limited_to_64_levels() {
    for (open, close) in [("[", "]"), (r#"{"":"#, "}")] {
        let nested = |depth| format!("{}0{}", open.repeat(depth), close.repeat(depth));
        assert!(json::check(nested(64).as_bytes()).is_ok());
        assert!(json::check(nested(65).as_bytes()).is_err());
    }
}

#[test]
fn error_location_is_in_lines_and_characters() {
    for (body, line, column) in [
        (&b""[..], 1, 1),
        (b"{\n\n  x}", 3, 3),
        ("[\"äö\" x]".as_bytes(), 1, 7),
        (b"[\"\xc3\xa4\xff\"]", 1, 4),
        (b"[1,\n2", 2, 2),
        ("\"\\é\"".as_bytes(), 1, 2),
    ] {
        let error = json::check(body).expect_err("not JSON");
        assert_eq!((error.line, error.column), (line, column), "{error}");
    }
}
