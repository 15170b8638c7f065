//! Answers as CSV (RFC 4180) for requests with `Accept: text/csv`: a header line, then a line for each item.

use axum::response::{IntoResponse, Response};
use hyper::HeaderMap;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use std::fmt::Write as _;

/// Cursor of the next page. It is a header because CSV has no place for it.
const NEXT_CURSOR: HeaderName = HeaderName::from_static("x-next-cursor");

/// Returns whether the client prefers CSV to JSON.
pub fn is_preferred(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    let (mut csv, mut json) = (0.0f32, 0.0f32);
    for range in accepted.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        let quality = quality.map_or(1.0, |text| text.parse().unwrap_or(0.0));
        match name.as_str() {
            "text/csv" => csv = csv.max(quality),
            "application/json" => json = json.max(quality),
            _ => {}
        }
    }
    csv > 0.0 && csv >= json
}

/// Returns the column names, then the cells of all rows. Cells are numbers, or empty for `null`, so none
/// needs quotes.
pub fn response<const N: usize>(
    columns: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
    next_cursor: Option<&str>,
) -> Response {
    let mut text = columns.join(",") + "\r\n";
    for row in rows {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}\r\n", row.join(","));
    }
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present"));
    if let Some(Ok(cursor)) = next_cursor.map(HeaderValue::from_str) {
        headers.insert(NEXT_CURSOR, cursor);
    }
    response
}

/// Formats a number as JSON does; no number is an empty text.
pub fn number(value: Option<f64>) -> String {
    value.and_then(|value| serde_json::to_string(&value).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_requires_an_accept_header_that_names_it() {
        let csv = |accept: &'static str| {
            is_preferred(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]))
        };
        assert!(csv("text/csv") && csv("application/json;q=0.5, Text/CSV") && csv("text/csv, */*"));
        assert!(
            !csv("*/*")
                && !csv("application/json")
                && !csv("text/csv;q=0")
                && !csv("text/csv;q=0.5, application/json")
        );
        assert!(!is_preferred(&HeaderMap::new()));
    }

    #[test]
    fn numbers_are_formatted_as_in_json() {
        assert_eq!(number(Some(0.1)), "0.1");
        assert_eq!(number(Some(1e300)), "1e+300");
        assert_eq!(number(None), "");
    }
}
