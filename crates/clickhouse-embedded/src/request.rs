//! Parses the parameters of a request from its URL, form and headers.

use crate::error::Error;
use crate::settings::Credentials;
use base64::Engine as _;
use hyper::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING};
use hyper::{HeaderMap, Method};
use subtle::ConstantTimeEq;

/// Parameters of a server's HTTP interface that have no effect here, because results are complete before they
/// are sent.
const IGNORED: [&str; 6] = [
    "wait_end_of_query",
    "buffer_size",
    "quota_key",
    "stacktrace",
    "client_protocol_version",
    "enable_http_compression",
];
/// Parameters that are not supported and cannot be ignored, because they would change the result.
const UNSUPPORTED: [&str; 5] = ["session_id", "session_timeout", "session_check", "close_session", "role"];

/// Encoding of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// No compression.
    #[default]
    Plain,
    /// ClickHouse's own frames (`compress=1`).
    Frames,
    /// LZ4 frame format, with `Content-Encoding: lz4`.
    Lz4,
}

/// Parameters of a request.
#[derive(Debug, Default, PartialEq)]
pub struct Parameters {
    /// The statement or its beginning, if the URL or the form contains one.
    pub query: Option<String>,
    /// The current database.
    pub database: Option<String>,
    /// Default format, for a result for which the statement specifies none.
    pub format: String,
    /// The client's query id, or a generated one.
    pub query_id: String,
    /// Settings for this statement only.
    pub settings: Vec<(String, String)>,
    /// Values of the statement's `{name:Type}` parameters.
    pub params: Vec<(String, String)>,
    /// Encoding of the result.
    pub encoding: Encoding,
    /// True if the body consists of compressed frames.
    pub decompress: bool,
    user: Option<String>,
    password: Option<String>,
}

impl Parameters {
    /// Parses the URL's query string and the headers.
    pub fn parse(method: &Method, url_query: &str, headers: &HeaderMap) -> Result<Self, Error> {
        let mut parameters = Self { format: "TabSeparated".to_owned(), ..Self::default() };
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        parameters.database = header("x-clickhouse-database");
        if let Some(format) = header("x-clickhouse-format") {
            parameters.format = format;
        }
        if let Some((user, password)) = basic_credentials(headers) {
            (parameters.user, parameters.password) = (Some(user), Some(password));
        }
        parameters.user = header("x-clickhouse-user").or(parameters.user);
        parameters.password = header("x-clickhouse-key").or(parameters.password);

        let mut compressible = true;
        for (name, value) in form_urlencoded::parse(url_query.as_bytes()) {
            if name == "enable_http_compression" {
                compressible = is_on(&value);
            }
            parameters.set(&name, value.into_owned())?;
        }
        if parameters.encoding == Encoding::Plain && compressible && accepts_lz4(headers) {
            parameters.encoding = Encoding::Lz4;
        }
        if let Some(encoding) = headers.get(CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
            return Err(Error::Unsupported(format!(
                "Content-Encoding {encoding:?} is not supported: send plain data, or frames with decompress=1"
            )));
        }
        // As on a server, GET is read-only: following a link must not change anything.
        if matches!(*method, Method::GET | Method::HEAD)
            && !parameters.settings.iter().any(|(name, _)| name == "readonly")
        {
            parameters.settings.push(("readonly".to_owned(), "2".to_owned()));
        }
        if parameters.query_id.is_empty() {
            parameters.query_id = uuid::Uuid::now_v7().to_string();
        }
        Ok(parameters)
    }

    /// Sets one parameter from the URL or the form.
    pub fn set(&mut self, name: &str, value: String) -> Result<(), Error> {
        match name {
            "query" => self.query.get_or_insert_default().push_str(&value),
            "database" => self.database = Some(value).filter(|database| !database.is_empty()),
            "default_format" => self.format = value,
            "query_id" => self.query_id = value,
            "user" => self.user = Some(value),
            "password" => self.password = Some(value),
            "compress" if is_on(&value) => self.encoding = Encoding::Frames,
            "decompress" => self.decompress = is_on(&value),
            "compress" => {}
            _ if IGNORED.contains(&name) => {}
            _ if UNSUPPORTED.contains(&name) => {
                return Err(Error::Unsupported(format!("The embedded engine does not support `{name}`")));
            }
            _ => {
                if let Some(param) = name.strip_prefix("param_") {
                    self.params.push((param.to_owned(), value));
                } else if is_setting(name) {
                    self.settings.push((name.to_owned(), value));
                } else {
                    return Err(Error::UnknownSetting(name.to_owned()));
                }
            }
        }
        Ok(())
    }

    /// Checks user and password in constant time.
    pub fn authenticate(&self, expected: Option<&Credentials>) -> Result<(), Error> {
        let Some(expected) = expected else { return Ok(()) };
        let user = self.user.as_deref().unwrap_or("default");
        let password = self.password.as_deref().unwrap_or_default();
        let correct = user.as_bytes().ct_eq(expected.user.as_bytes())
            & password.as_bytes().ct_eq(expected.password.as_bytes());
        if correct.into() { Ok(()) } else { Err(Error::Authentication(user.to_owned())) }
    }
}

fn is_on(value: &str) -> bool {
    value == "1" || value == "true"
}

/// Returns whether `name` is an identifier. Names become part of a `SET` statement, so anything else is an
/// injection risk.
fn is_setting(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.as_bytes()[0].is_ascii_digit()
}

fn accepts_lz4(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .any(|coding| coding.split(';').next().unwrap_or("").trim() == "lz4")
}

/// Returns user and password of HTTP basic authentication.
fn basic_credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn parse(url_query: &str) -> Result<Parameters, Error> {
        Parameters::parse(&Method::POST, url_query, &HeaderMap::new())
    }

    #[test]
    fn query_string_parameters_are_parsed() {
        let parameters = parse(
            "query=SELECT+%7Bx%3AInt8%7D&database=d&default_format=JSON&param_x=1&max_threads=2&query_id=q\
             &wait_end_of_query=1&compress=1&decompress=1",
        )
        .expect("valid");
        assert_eq!(parameters.query.as_deref(), Some("SELECT {x:Int8}"));
        assert_eq!((parameters.database.as_deref(), parameters.format.as_str()), (Some("d"), "JSON"));
        assert_eq!(parameters.params, [("x".to_owned(), "1".to_owned())]);
        assert_eq!(parameters.settings, [("max_threads".to_owned(), "2".to_owned())]);
        assert_eq!(
            (parameters.query_id.as_str(), parameters.encoding, parameters.decompress),
            ("q", Encoding::Frames, true)
        );
    }

    #[test]
    fn setting_name_that_could_end_a_set_statement_is_rejected() {
        for name in ["a%3B+DROP+TABLE+t", "a%3D1%2Cb", "a%27", "1a", ""] {
            assert!(matches!(parse(&format!("{name}=1")), Err(Error::UnknownSetting(_))), "{name}");
        }
    }

    #[test]
    fn sessions_and_roles_are_rejected_not_ignored() {
        assert!(matches!(parse("session_id=s"), Err(Error::Unsupported(_))));
        assert!(matches!(parse("role=r"), Err(Error::Unsupported(_))));
    }

    #[test]
    fn get_is_read_only_unless_the_client_sets_readonly() {
        let parameters = Parameters::parse(&Method::GET, "query=SELECT+1", &HeaderMap::new()).expect("valid");
        assert_eq!(parameters.settings, [("readonly".to_owned(), "2".to_owned())]);
        let parameters = Parameters::parse(&Method::GET, "readonly=1", &HeaderMap::new()).expect("valid");
        assert_eq!(parameters.settings, [("readonly".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn credentials_are_accepted_in_headers_basic_auth_and_url() {
        let expected = Credentials { user: "u".into(), password: "p:w".into() };
        let mut key = HeaderMap::new();
        key.insert("x-clickhouse-user", HeaderValue::from_static("u"));
        key.insert("x-clickhouse-key", HeaderValue::from_static("p:w"));
        let mut basic = HeaderMap::new();
        basic.insert(AUTHORIZATION, HeaderValue::from_static("Basic dTpwOnc="));
        for (url, headers) in [("", key), ("", basic), ("user=u&password=p%3Aw", HeaderMap::new())] {
            let parameters = Parameters::parse(&Method::POST, url, &headers).expect("valid");
            assert!(parameters.authenticate(Some(&expected)).is_ok());
        }
        for url in ["", "user=u", "user=u&password=x", "user=x&password=p%3Aw"] {
            let parameters = parse(url).expect("valid");
            let result = parameters.authenticate(Some(&expected)).map_err(|error| error.code());
            assert_eq!(result, Err(516), "{url}");
        }
        assert!(parse("").expect("valid").authenticate(None).is_ok());
    }

    #[test]
    fn lz4_is_used_if_accepted_and_not_disabled() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, lz4;q=0.5"));
        let encoding = |url| Parameters::parse(&Method::POST, url, &headers).expect("valid").encoding;
        assert_eq!(encoding(""), Encoding::Lz4);
        assert_eq!(encoding("enable_http_compression=0"), Encoding::Plain);
        assert_eq!(encoding("compress=1"), Encoding::Frames);
    }
}
