//! The two passes agree, and the JSON reader agrees with another one.

use super::json::{self, DEPTH_LIMIT, Kind, Raw};
use super::{fast, number, slow};
use proptest::prelude::*;
use serde_json::Value;

const NOW: i64 = 1_790_000_000_000;

/// JSON text of any shape, with spellings that serializers do not produce.
fn document() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        number_text(),
        string_text(),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        let blank = "[ \n\t\r]{0,2}";
        prop_oneof![
            (blank, prop::collection::vec(inner.clone(), 0..5))
                .prop_map(|(blank, elements)| format!("[{blank}{}]", elements.join(&format!("{blank},")))),
            (blank, prop::collection::vec((string_text(), inner), 0..5)).prop_map(|(blank, members)| {
                let members: Vec<_> =
                    members.iter().map(|(name, value)| format!("{name}{blank}:{value}{blank}")).collect();
                format!("{{{blank}{}}}", members.join(","))
            }),
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

/// A metric or something like it.
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

/// The values of a metric's fields, or of a flat batch's, without their names: as serde reads a struct from an array.
fn nameless() -> impl Strategy<Value = String> {
    let optional = || prop_oneof![Just("null".to_owned()), string_text()];
    (optional(), optional(), optional(), any::<bool>()).prop_map(|(name, unit, project, flat)| {
        let metric = format!(r#""a",{name},1,{unit},null"#);
        if flat { format!("[{project},null,{metric}]") } else { format!("[{metric}]") }
    })
}

fn batch() -> impl Strategy<Value = String> {
    let fields = metric().prop_map(|fields| format!("{{{fields}}}"));
    let element = prop_oneof![8 => fields, 1 => nameless()];
    let array = prop::collection::vec(element, 0..4)
        .prop_map(|metrics| format!(r#"{{"projectId":"p","metrics":[{}]}}"#, metrics.join(",")));
    let flat = metric().prop_map(|fields| format!(r#"{{"projectId":"p",{fields}}}"#));
    prop_oneof![8 => array, 8 => flat, 1 => nameless()]
}

/// `text` with a few bytes put elsewhere, doubled, removed or replaced.
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

/// `raw` as serde_json would have it, the last of several members with one name winning; none if a number overflows.
fn value(raw: Raw<'_>) -> Option<Value> {
    Some(match raw.kind() {
        Kind::Object => Value::Object(
            raw.members().map(|(name, raw)| Some((name.into_owned(), value(raw)?))).collect::<Option<_>>()?,
        ),
        Kind::Array => Value::Array(raw.elements().map(value).collect::<Option<_>>()?),
        Kind::String => Value::String(raw.string().into_owned()),
        Kind::Number => {
            number::double(raw.text())?;
            serde_json::from_str(raw.text()).expect("serde_json reads what fits a double")
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

fn agrees_with_serde(body: &[u8]) {
    let theirs = serde_json::from_slice::<Value>(body);
    match (json::check(body), theirs) {
        (Ok(ours), Ok(theirs)) => assert_eq!(value(ours), Some(theirs)),
        (Err(_), Err(_)) => {}
        (Ok(ours), Err(_)) => assert_eq!(value(ours), None, "only a number that overflows is ours alone"),
        (Err(error), Ok(theirs)) => assert!(depth(&theirs) > DEPTH_LIMIT, "{error}"),
    }
}

fn passes_agree(body: &[u8]) -> bool {
    let taken = fast::batch(body, NOW);
    if let Some(fast) = &taken {
        let slow = slow::batch(body, NOW).expect("the slow pass takes what the fast one takes");
        assert_eq!(*fast, slow);
        for (fast, slow) in fast.samples.iter().zip(&slow.samples) {
            assert_eq!(fast.value.to_bits(), slow.value.to_bits());
        }
    }
    taken.is_some()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_document_reads_as_another_reader_has_it(text in document()) {
        agrees_with_serde(text.as_bytes());
    }

    #[test]
    fn broken_documents_are_broken_for_another_reader_too(body in mutated(document())) {
        agrees_with_serde(&body);
    }

    #[test]
    fn what_the_fast_pass_takes_the_slow_one_takes_with_the_same_result(text in batch()) {
        passes_agree(text.as_bytes());
    }

    #[test]
    fn the_passes_agree_on_broken_batches(body in mutated(batch())) {
        passes_agree(&body);
    }

    #[test]
    fn any_double_comes_through_to_the_bit(value in any::<f64>().prop_filter("JSON has finite ones", |v| v.is_finite())) {
        for text in [format!("{value}"), format!("{value:e}")] {
            let body = format!(r#"{{"projectId":"p","metricId":"a","value":{text}}}"#);
            prop_assert!(passes_agree(body.as_bytes()));
            let read = slow::batch(body.as_bytes(), NOW).expect("it is good").samples[0].value;
            prop_assert_eq!(read.to_bits(), value.to_bits());
        }
    }
}

#[test]
fn the_usual_bodies_take_the_fast_pass() {
    for body in [
        r#"{"projectId":"p","metrics":[{"metricId":"a","metricName":"A","value":42,"unit":"count","timestamp":1790000000000}]}"#,
        r#"{"projectId":"p","metrics":[{"metricId":"a","value":0.5},{"metricId":"b","value":-1e3,"unit":null}]}"#,
        r#"{"projectId":"p","metricId":"a","value":42,"unit":"\u00b5s"}"#,
    ] {
        assert!(passes_agree(body.as_bytes()), "{body}");
    }
}

#[test]
fn sixty_four_levels_are_json_and_sixty_five_are_not() {
    for (open, close) in [("[", "]"), (r#"{"":"#, "}")] {
        let nested = |depth| format!("{}0{}", open.repeat(depth), close.repeat(depth));
        assert!(json::check(nested(64).as_bytes()).is_ok());
        assert!(json::check(nested(65).as_bytes()).is_err());
    }
}

#[test]
fn a_place_is_counted_in_lines_and_characters() {
    for (body, line, column) in [
        (&b""[..], 1, 1),
        (b"{\n\n  x}", 3, 3),
        ("[\"äö\" x]".as_bytes(), 1, 7),
        (b"[\"\xc3\xa4\xff\"]", 1, 4),
        (b"[1,\n2", 2, 2),
        ("\"\\é\"".as_bytes(), 1, 2),
    ] {
        let error = json::check(body).expect_err("it is not JSON");
        assert_eq!((error.line, error.column), (line, column), "{error}");
    }
}
