//! What people get to see of an answer: lines and tables, aligned.

use crate::calls::{Field, Kind, Shape};
use jiff::Timestamp;
use serde_json::Value;

const QUOTA: &[Field] = &[
    Field { path: "quota.limit", title: "per hour", kind: Kind::Limit },
    Field { path: "quota.used", title: "used", kind: Kind::Plain },
    Field { path: "quota.resetAt", title: "resets", kind: Kind::Moment },
];
const CONNECTIONS: &[Field] = &[
    Field { path: "connectionId", title: "connection", kind: Kind::Plain },
    Field { path: "name", title: "name", kind: Kind::Plain },
    Field { path: "lastUsedAt", title: "last used", kind: Kind::Moment },
    Field { path: "addresses", title: "addresses", kind: Kind::Plain },
];
const OUTCOMES: &[Field] = &[
    Field { path: "timestamp", title: "from", kind: Kind::Moment },
    Field { path: "connectionId", title: "connection", kind: Kind::Plain },
    Field { path: "outcome", title: "outcome", kind: Kind::Plain },
    Field { path: "requests", title: "requests", kind: Kind::Plain },
    Field { path: "metrics", title: "metrics", kind: Kind::Plain },
];
const NOTICES: &[Field] = &[
    Field { path: "at", title: "at", kind: Kind::Moment },
    Field { path: "kind", title: "notice", kind: Kind::Plain },
    Field { path: "connectionId", title: "connection", kind: Kind::Plain },
    Field { path: "message", title: "message", kind: Kind::Plain },
];

/// The text for an answer of this shape.
pub fn answer(shape: &Shape, json: &Value) -> String {
    match shape {
        Shape::Fields(fields) => lines(fields, json),
        Shape::Table(fields) => table(fields, &json["items"]),
        Shape::Usage => usage(json),
        Shape::Done(said) => said.clone(),
    }
}

fn usage(json: &Value) -> String {
    let mut parts = vec![lines(QUOTA, json), table(OUTCOMES, &json["items"])];
    for (fields, name) in [(CONNECTIONS, "connections"), (NOTICES, "notices")] {
        if json[name].as_array().is_some_and(|items| !items.is_empty()) {
            parts.push(table(fields, &json[name]));
        }
    }
    parts.join("\n")
}

/// A line for each field that is there.
fn lines(fields: &[Field], json: &Value) -> String {
    let there: Vec<&Field> = fields.iter().filter(|field| find(json, field.path).is_some()).collect();
    let width = there.iter().map(|field| field.title.len()).max().unwrap_or(0);
    let mut text = String::new();
    for field in &there {
        text += &format!("{:width$}  {}\n", field.title, value(field, json));
    }
    if there.iter().any(|field| field.kind == Kind::Once) {
        text += "Keep the key in a safe place: it is shown this once.\n";
    }
    text
}

/// A table with a head; one line where there is nothing.
fn table(fields: &[Field], items: &Value) -> String {
    let items = items.as_array().map(Vec::as_slice).unwrap_or_default();
    if items.is_empty() {
        return "there are none\n".to_owned();
    }
    let head = fields.iter().map(|field| field.title.to_uppercase()).collect();
    let rows = items.iter().map(|item| fields.iter().map(|field| value(field, item)).collect());
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..fields.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}

fn find<'a>(json: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(json, |value, name| value.get(name))
}

fn value(field: &Field, json: &Value) -> String {
    match (find(json, field.path), field.kind) {
        (Some(Value::Null), Kind::Limit) => "no limit".to_owned(),
        (None | Some(Value::Null), _) => "-".to_owned(),
        (Some(found), Kind::Moment) => found
            .as_i64()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok())
            .map_or_else(|| plain(found), |moment| moment.strftime("%Y-%m-%d %H:%M:%SZ").to_string()),
        (Some(found), _) => plain(found),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => harmless(text),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Nothing that a name holds may steer the terminal.
fn harmless(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FIELDS: &[Field] = &[
        Field { path: "name", title: "name", kind: Kind::Plain },
        Field { path: "quota.limit", title: "per hour", kind: Kind::Limit },
        Field { path: "at", title: "at", kind: Kind::Moment },
    ];

    #[test]
    fn a_table_is_aligned_and_says_what_is_not_there() {
        let items = json!([
            {"name": "Größe", "quota": {"limit": null}, "at": 1_790_000_000_123_i64},
            {"name": "A longer name", "quota": {"limit": 100}, "at": null},
        ]);
        let expected = "\
NAME           PER HOUR  AT
Größe          no limit  2026-09-21 14:13:20Z
A longer name  100       -
";
        assert_eq!(table(FIELDS, &items), expected);
        assert_eq!(table(FIELDS, &json!([])), "there are none\n");
    }

    #[test]
    fn of_one_thing_the_fields_that_it_has_are_shown() {
        assert_eq!(lines(FIELDS, &json!({"name": "A"})), "name  A\n");
        let secret = [Field { path: "key", title: "key", kind: Kind::Once }];
        assert!(lines(&secret, &json!({"key": "tm_x"})).contains("shown this once"));
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        assert_eq!(plain(&json!("a\u{1b}[2Jb\nc")), "a\\u{1b}[2Jb\\nc");
    }
}
