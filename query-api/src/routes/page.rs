//! `/`: the web page. Its files are compiled into the binary; `npm run build` in `query-api/web` builds them.
//!
//! A browser gets the page for every path that belongs neither to a file nor to an API; the page then routes
//! by the path. The page loads nothing from other hosts, so it works in a closed network, and the content
//! security policy allows only its own scripts and styles. Files with a hash in their names never change, so
//! browsers cache them forever.

use crate::error::Error;
use axum::response::{Html, IntoResponse, Response};
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    HeaderName, HeaderValue, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, Method, StatusCode, Uri};

const POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; object-src 'none'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const INDEX: &str = "/index.html";
/// Directory of the files whose names contain a hash of their content.
const HASHED: &str = "/assets/";
/// Path prefixes that never return the page.
const RESERVED: [&str; 3] = ["/api", "/prometheus", "/docs"];
const NOT_BUILT: &str = include_str!("page/not_built.html");

/// A file of the page.
#[derive(Clone, Copy)]
struct File {
    path: &'static str,
    plain: &'static [u8],
    brotli: Option<&'static [u8]>,
    gzip: Option<&'static [u8]>,
}

static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// The resource behind a path that no route matches.
#[derive(Debug, PartialEq, Eq)]
enum Resource<'a> {
    /// The page itself.
    Page,
    /// A file of the page, by its path.
    File(&'a str),
    NotFound,
}

/// Answers requests that no route matches.
pub async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let text =
        |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let path = match resource(&method, uri.path(), text(ACCEPT)) {
        Resource::Page => INDEX,
        Resource::File(path) => path,
        Resource::NotFound => return Error::RouteNotFound.into_response(),
    };
    match FILES.iter().find(|file| file.path == path) {
        Some(file) => file_response(*file, text(ACCEPT_ENCODING)),
        None if path == INDEX => (StatusCode::NOT_FOUND, security_headers(), Html(NOT_BUILT)).into_response(),
        None => Error::RouteNotFound.into_response(),
    }
}

fn resource<'a>(method: &Method, path: &'a str, accept: &str) -> Resource<'a> {
    let below =
        |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if !matches!(*method, Method::GET | Method::HEAD) || RESERVED.into_iter().any(below) {
        return Resource::NotFound;
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    if path == "/" {
        Resource::Page
    } else if name.contains('.') && FILES.iter().any(|file| file.path == path) {
        Resource::File(path)
    } else if accept.contains("text/html") && !path.starts_with(HASHED) {
        Resource::Page
    } else {
        Resource::NotFound
    }
}

fn file_response(file: File, accept_encoding: &str) -> Response {
    let (body, encoding) = match (file.brotli, file.gzip) {
        (Some(brotli), _) if accepts(accept_encoding, "br") => (brotli, Some("br")),
        (_, Some(gzip)) if accepts(accept_encoding, "gzip") => (gzip, Some("gzip")),
        _ => (file.plain, None),
    };
    let caching =
        if file.path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers =
        [(CONTENT_TYPE, content_type(file.path)), (CACHE_CONTROL, caching), (VARY, "Accept-Encoding")];
    let mut response = (security_headers(), headers, body).into_response();
    if let Some(encoding) = encoding {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}

fn security_headers() -> [(HeaderName, &'static str); 3] {
    [(CONTENT_SECURITY_POLICY, POLICY), (X_CONTENT_TYPE_OPTIONS, "nosniff"), (REFERRER_POLICY, "no-referrer")]
}

/// Returns whether `Accept-Encoding` allows `encoding`. Weights are ignored, except for zero, which forbids the
/// encoding.
fn accepts(accept_encoding: &str, encoding: &str) -> bool {
    accept_encoding.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding));
        let weight =
            parts.find_map(|part| part.strip_prefix("q=")).and_then(|weight| weight.parse::<f32>().ok());
        named && weight != Some(0.0)
    })
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "woff2" => "font/woff2",
        "json" | "webmanifest" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROWSER: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

    #[test]
    fn browser_gets_the_page_at_all_paths_outside_the_apis() {
        for path in ["/", "/dashboards", "/metrics/api.response_time", "/apiary"] {
            assert_eq!(resource(&Method::GET, path, BROWSER), Resource::Page, "{path}");
        }
        for path in
            ["/api", "/api/v1/nothing", "/prometheus/api/v1/nothing", "/docs/nothing", "/assets/gone.js"]
        {
            assert_eq!(resource(&Method::GET, path, BROWSER), Resource::NotFound, "{path}");
        }
        assert_eq!(resource(&Method::POST, "/", BROWSER), Resource::NotFound);
    }

    #[test]
    fn program_gets_not_found_for_an_unknown_path() {
        assert_eq!(resource(&Method::GET, "/metrics", "*/*"), Resource::NotFound);
        assert_eq!(resource(&Method::GET, "/", "*/*"), Resource::Page);
    }

    #[test]
    fn compressed_files_require_a_matching_accept_encoding() {
        for (accept, encoding, expected) in [
            ("gzip, deflate, br", "br", true),
            ("gzip;q=0.5, BR ; q=1", "br", true),
            ("br;q=0, gzip", "br", false),
            ("brotli", "br", false),
            ("", "gzip", false),
        ] {
            assert_eq!(accepts(accept, encoding), expected, "{accept}");
        }
    }

    #[test]
    fn every_file_has_a_content_type_and_compression_shrinks_it() {
        for file in FILES {
            assert_ne!(content_type(file.path), "application/octet-stream", "{}", file.path);
            assert!(
                file.brotli.is_none_or(|compressed| compressed.len() < file.plain.len()),
                "{}",
                file.path
            );
        }
    }
}
