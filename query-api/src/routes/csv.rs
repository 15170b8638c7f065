//! Answers as CSV (RFC 4180) for those who ask for it with `Accept: text/csv`: a header line, then a line for each item.

use axum::response::{IntoResponse, Response};
use hyper::HeaderMap;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use std::fmt::Write as _;

/// Where the next page begins, for there is no place for it in the text.
const NEXT_CURSOR: HeaderName = HeaderName::from_static("x-next-cursor");

/// Whether the client would rather have CSV than JSON.
pub fn wanted(headers: &HeaderMap) -> bool {
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

/// The answer: `names`, then the items' cells. Cells are numbers, or empty for `null`: nothing needs quotes.
pub fn answer<const N: usize>(
    names: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
    next_cursor: Option<&str>,
) -> Response {
    let mut text = names.join(",") + "\r\n";
    for row in rows {
        // Writing to a string does not fail.
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

/// A number as JSON writes it; empty for none.
pub fn number(value: Option<f64>) -> String {
    value.and_then(|value| serde_json::to_string(&value).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_given_to_who_asks_for_it_by_name() {
        let asks = |accept: &'static str| {
            wanted(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]))
        };
        assert!(asks("text/csv") && asks("application/json;q=0.5, Text/CSV") && asks("text/csv, */*"));
        assert!(
            !asks("*/*")
                && !asks("application/json")
                && !asks("text/csv;q=0")
                && !asks("text/csv;q=0.5, application/json")
        );
        assert!(!wanted(&HeaderMap::new()));
    }

    #[test]
    fn numbers_are_written_as_in_json() {
        assert_eq!(number(Some(0.1)), "0.1");
        assert_eq!(number(Some(1e300)), "1e+300");
        assert_eq!(number(None), "");
    }
}
