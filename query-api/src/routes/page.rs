//! `/`: the page for people. Its files are in this binary, built by `npm run build` in `query-api/web`.
//!
//! Whatever a browser opens that is no file and no API gets the page, which finds its way by the address. Everything
//! comes from here and nothing from elsewhere: it works in a closed network, and the policy allows no script and no
//! style but the files. What has a hash in its name never changes, so it is asked for once.

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
/// Where files are whose names have a hash of what they hold.
const HASHED: &str = "/assets/";
/// What is never the page, whatever a browser accepts.
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

/// What is asked of a path that no route knows.
#[derive(Debug, PartialEq, Eq)]
enum Asked<'a> {
    /// The page itself.
    Page,
    /// A file of it, if there is such a one.
    File(&'a str),
    /// Something else.
    Nothing,
}

/// Answers what no route knows.
pub async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let text =
        |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let path = match asked(&method, uri.path(), text(ACCEPT)) {
        Asked::Page => INDEX,
        Asked::File(path) => path,
        Asked::Nothing => return Error::NoRoute.into_response(),
    };
    match FILES.iter().find(|file| file.path == path) {
        Some(file) => answer(*file, text(ACCEPT_ENCODING)),
        None if path == INDEX => (StatusCode::NOT_FOUND, guards(), Html(NOT_BUILT)).into_response(),
        None => Error::NoRoute.into_response(),
    }
}

fn asked<'a>(method: &Method, path: &'a str, accept: &str) -> Asked<'a> {
    let within =
        |part: &str| path.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if !matches!(*method, Method::GET | Method::HEAD) || RESERVED.into_iter().any(within) {
        return Asked::Nothing;
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    if path == "/" {
        Asked::Page
    } else if name.contains('.') && FILES.iter().any(|file| file.path == path) {
        Asked::File(path)
    } else if accept.contains("text/html") && !path.starts_with(HASHED) {
        Asked::Page
    } else {
        Asked::Nothing
    }
}

fn answer(file: File, accept_encoding: &str) -> Response {
    let (body, encoding) = match (file.brotli, file.gzip) {
        (Some(brotli), _) if accepts(accept_encoding, "br") => (brotli, Some("br")),
        (_, Some(gzip)) if accepts(accept_encoding, "gzip") => (gzip, Some("gzip")),
        _ => (file.plain, None),
    };
    let caching =
        if file.path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers =
        [(CONTENT_TYPE, content_type(file.path)), (CACHE_CONTROL, caching), (VARY, "Accept-Encoding")];
    let mut response = (guards(), headers, body).into_response();
    if let Some(encoding) = encoding {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}

fn guards() -> [(HeaderName, &'static str); 3] {
    [(CONTENT_SECURITY_POLICY, POLICY), (X_CONTENT_TYPE_OPTIONS, "nosniff"), (REFERRER_POLICY, "no-referrer")]
}

/// Whether `Accept-Encoding` allows `wanted`. A weight counts only where it is zero, which forbids.
fn accepts(accept_encoding: &str, wanted: &str) -> bool {
    accept_encoding.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(wanted));
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
    fn a_browser_gets_the_page_at_every_address_but_those_of_the_apis() {
        for path in ["/", "/dashboards", "/metrics/api.response_time", "/apiary"] {
            assert_eq!(asked(&Method::GET, path, BROWSER), Asked::Page, "{path}");
        }
        for path in
            ["/api", "/api/v1/nothing", "/prometheus/api/v1/nothing", "/docs/nothing", "/assets/gone.js"]
        {
            assert_eq!(asked(&Method::GET, path, BROWSER), Asked::Nothing, "{path}");
        }
        assert_eq!(asked(&Method::POST, "/", BROWSER), Asked::Nothing);
    }

    #[test]
    fn a_program_with_a_wrong_address_is_told_so() {
        assert_eq!(asked(&Method::GET, "/metrics", "*/*"), Asked::Nothing);
        assert_eq!(asked(&Method::GET, "/", "*/*"), Asked::Page);
    }

    #[test]
    fn packed_files_are_for_those_who_accept_them() {
        for (accept, wanted, expected) in [
            ("gzip, deflate, br", "br", true),
            ("gzip;q=0.5, BR ; q=1", "br", true),
            ("br;q=0, gzip", "br", false),
            ("brotli", "br", false),
            ("", "gzip", false),
        ] {
            assert_eq!(accepts(accept, wanted), expected, "{accept}");
        }
    }

    #[test]
    fn every_file_has_a_type_and_is_packed_for_what_it_holds() {
        for file in FILES {
            assert_ne!(content_type(file.path), "application/octet-stream", "{}", file.path);
            assert!(file.brotli.is_none_or(|packed| packed.len() < file.plain.len()), "{}", file.path);
        }
    }
}
