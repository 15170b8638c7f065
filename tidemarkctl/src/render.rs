//! Formats responses as aligned lines and tables.

use crate::calls::{Field, FieldFormat, View};
use jiff::Timestamp;
use serde_json::Value;

const QUOTA: &[Field] = &[
    Field { path: "quota.limit", title: "per hour", format: FieldFormat::Limit },
    Field { path: "quota.used", title: "used", format: FieldFormat::Plain },
    Field { path: "quota.resetAt", title: "resets", format: FieldFormat::Timestamp },
];
const CONNECTIONS: &[Field] = &[
    Field { path: "connectionId", title: "connection", format: FieldFormat::Plain },
    Field { path: "name", title: "name", format: FieldFormat::Plain },
    Field { path: "lastUsedAt", title: "last used", format: FieldFormat::Timestamp },
    Field { path: "addresses", title: "addresses", format: FieldFormat::Plain },
];
const OUTCOMES: &[Field] = &[
    Field { path: "timestamp", title: "from", format: FieldFormat::Timestamp },
    Field { path: "connectionId", title: "connection", format: FieldFormat::Plain },
    Field { path: "outcome", title: "outcome", format: FieldFormat::Plain },
    Field { path: "requests", title: "requests", format: FieldFormat::Plain },
    Field { path: "metrics", title: "metrics", format: FieldFormat::Plain },
];
const NOTICES: &[Field] = &[
    Field { path: "at", title: "at", format: FieldFormat::Timestamp },
    Field { path: "kind", title: "notice", format: FieldFormat::Plain },
    Field { path: "connectionId", title: "connection", format: FieldFormat::Plain },
    Field { path: "message", title: "message", format: FieldFormat::Plain },
];

/// Formats a response for printing.
pub fn response(view: &View, json: &Value) -> String {
    match view {
        View::Fields(fields) => lines(fields, json),
        View::Table(fields) => table(fields, &json["items"]),
        View::Usage => usage(json),
        View::Message(message) => message.clone(),
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

/// Formats one line per field that the object contains.
fn lines(fields: &[Field], json: &Value) -> String {
    let present: Vec<&Field> = fields.iter().filter(|field| find(json, field.path).is_some()).collect();
    let width = present.iter().map(|field| field.title.len()).max().unwrap_or(0);
    let mut text = String::new();
    for field in &present {
        text += &format!("{:width$}  {}\n", field.title, value(field, json));
    }
    if present.iter().any(|field| field.format == FieldFormat::Secret) {
        text += "Store the key in a safe place: it will not be shown again.\n";
    }
    text
}

/// Formats a table with a header line, or a single line if there are no items.
fn table(fields: &[Field], items: &Value) -> String {
    let items = items.as_array().map(Vec::as_slice).unwrap_or_default();
    if items.is_empty() {
        return "(none)\n".to_owned();
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
    match (find(json, field.path), field.format) {
        (Some(Value::Null), FieldFormat::Limit) => "no limit".to_owned(),
        (None | Some(Value::Null), _) => "-".to_owned(),
        (Some(value), FieldFormat::Timestamp) => value
            .as_i64()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok())
            .map_or_else(|| plain(value), |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()),
        (Some(value), _) => plain(value),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => escape_controls(text),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Escapes control characters, so that a name cannot send escape sequences to the terminal.
fn escape_controls(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FIELDS: &[Field] = &[
        Field { path: "name", title: "name", format: FieldFormat::Plain },
        Field { path: "quota.limit", title: "per hour", format: FieldFormat::Limit },
        Field { path: "at", title: "at", format: FieldFormat::Timestamp },
    ];

    #[test]
    fn table_is_aligned_and_marks_missing_values() {
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
        assert_eq!(table(FIELDS, &json!([])), "(none)\n");
    }

    #[test]
    fn only_fields_that_are_present_are_printed() {
        assert_eq!(lines(FIELDS, &json!({"name": "A"})), "name  A\n");
        let secret = [Field { path: "key", title: "key", format: FieldFormat::Secret }];
        assert!(lines(&secret, &json!({"key": "tm_x"})).contains("not be shown again"));
    }

    #[test]
    fn control_characters_in_names_are_escaped() {
        assert_eq!(plain(&json!("a\u{1b}[2Jb\nc")), "a\\u{1b}[2Jb\\nc");
    }
}
