//! What a request asks for: the parameters of its URL, its form and its headers, sorted into what they mean.

use crate::error::Error;
use crate::settings::Credentials;
use base64::Engine as _;
use hyper::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING};
use hyper::{HeaderMap, Method};
use subtle::ConstantTimeEq;

/// Parameters of a server's HTTP interface that change nothing here: results are finished before they are sent.
const IGNORED: [&str; 6] = [
    "wait_end_of_query",
    "buffer_size",
    "quota_key",
    "stacktrace",
    "client_protocol_version",
    "enable_http_compression",
];
/// Parameters that would change the outcome and that the front does not have.
const REFUSED: [&str; 5] = ["session_id", "session_timeout", "session_check", "close_session", "role"];

/// How a result is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// As the engine gave it.
    #[default]
    Plain,
    /// In ClickHouse's own frames (`compress=1`).
    Frames,
    /// As an LZ4 file, with `Content-Encoding: lz4`.
    Lz4,
}

/// A request, read and sorted, but for its body.
#[derive(Debug, Default, PartialEq)]
pub struct Command {
    /// The statement or its beginning, if the URL or the form holds one.
    pub query: Option<String>,
    /// The current database.
    pub database: Option<String>,
    /// The format of a result for which the statement names none.
    pub format: String,
    /// The client's name for the query, or one made up.
    pub query_id: String,
    /// Settings for this statement only.
    pub settings: Vec<(String, String)>,
    /// The statement's `{name:Type}` parameters.
    pub params: Vec<(String, String)>,
    /// How the result is sent.
    pub encoding: Encoding,
    /// The body comes in frames.
    pub decompress: bool,
    user: Option<String>,
    password: Option<String>,
}

impl Command {
    /// Reads URL and headers.
    pub fn read(method: &Method, url_query: &str, headers: &HeaderMap) -> Result<Self, Error> {
        let mut command = Self { format: "TabSeparated".to_owned(), ..Self::default() };
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        command.database = header("x-clickhouse-database");
        if let Some(format) = header("x-clickhouse-format") {
            command.format = format;
        }
        if let Some((user, password)) = basic(headers) {
            (command.user, command.password) = (Some(user), Some(password));
        }
        command.user = header("x-clickhouse-user").or(command.user);
        command.password = header("x-clickhouse-key").or(command.password);

        let mut compressible = true;
        for (name, value) in form_urlencoded::parse(url_query.as_bytes()) {
            if name == "enable_http_compression" {
                compressible = is_on(&value);
            }
            command.parameter(&name, value.into_owned())?;
        }
        if command.encoding == Encoding::Plain && compressible && accepts_lz4(headers) {
            command.encoding = Encoding::Lz4;
        }
        if let Some(encoding) = headers.get(CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
            return Err(Error::Unsupported(format!(
                "Content-Encoding {encoding:?} is not taken: send plain data, or frames with decompress=1"
            )));
        }
        // As on a server, GET reads: a link must change nothing.
        if matches!(*method, Method::GET | Method::HEAD)
            && !command.settings.iter().any(|(name, _)| name == "readonly")
        {
            command.settings.push(("readonly".to_owned(), "2".to_owned()));
        }
        if command.query_id.is_empty() {
            command.query_id = uuid::Uuid::now_v7().to_string();
        }
        Ok(command)
    }

    /// Sorts one parameter of the URL or the form.
    pub fn parameter(&mut self, name: &str, value: String) -> Result<(), Error> {
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
            _ if REFUSED.contains(&name) => {
                return Err(Error::Unsupported(format!("the embedded engine has no `{name}`")));
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

    /// Checks user and password, in a time that does not tell how much of them was right.
    pub fn authenticate(&self, wanted: Option<&Credentials>) -> Result<(), Error> {
        let Some(wanted) = wanted else { return Ok(()) };
        let user = self.user.as_deref().unwrap_or("default");
        let password = self.password.as_deref().unwrap_or_default();
        let right = user.as_bytes().ct_eq(wanted.user.as_bytes())
            & password.as_bytes().ct_eq(wanted.password.as_bytes());
        if right.into() { Ok(()) } else { Err(Error::Authentication(user.to_owned())) }
    }
}

fn is_on(value: &str) -> bool {
    value == "1" || value == "true"
}

/// Names are put into a `SET` statement, so nothing else may pass.
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

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
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

    fn read(url_query: &str) -> Result<Command, Error> {
        Command::read(&Method::POST, url_query, &HeaderMap::new())
    }

    #[test]
    fn parameters_are_sorted_into_what_they_mean() {
        let command = read(
            "query=SELECT+%7Bx%3AInt8%7D&database=d&default_format=JSON&param_x=1&max_threads=2&query_id=q\
             &wait_end_of_query=1&compress=1&decompress=1",
        )
        .expect("valid");
        assert_eq!(command.query.as_deref(), Some("SELECT {x:Int8}"));
        assert_eq!((command.database.as_deref(), command.format.as_str()), (Some("d"), "JSON"));
        assert_eq!(command.params, [("x".to_owned(), "1".to_owned())]);
        assert_eq!(command.settings, [("max_threads".to_owned(), "2".to_owned())]);
        assert_eq!(
            (command.query_id.as_str(), command.encoding, command.decompress),
            ("q", Encoding::Frames, true)
        );
    }

    #[test]
    fn a_name_that_could_end_a_set_statement_is_no_setting() {
        for name in ["a%3B+DROP+TABLE+t", "a%3D1%2Cb", "a%27", "1a", ""] {
            assert!(matches!(read(&format!("{name}=1")), Err(Error::UnknownSetting(_))), "{name}");
        }
    }

    #[test]
    fn sessions_and_roles_are_refused_rather_than_ignored() {
        assert!(matches!(read("session_id=s"), Err(Error::Unsupported(_))));
        assert!(matches!(read("role=r"), Err(Error::Unsupported(_))));
    }

    #[test]
    fn get_is_read_only_unless_the_client_says_more() {
        let command = Command::read(&Method::GET, "query=SELECT+1", &HeaderMap::new()).expect("valid");
        assert_eq!(command.settings, [("readonly".to_owned(), "2".to_owned())]);
        let command = Command::read(&Method::GET, "readonly=1", &HeaderMap::new()).expect("valid");
        assert_eq!(command.settings, [("readonly".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn user_and_password_come_in_headers_in_basic_or_in_the_url() {
        let wanted = Credentials { user: "u".into(), password: "p:w".into() };
        let mut key = HeaderMap::new();
        key.insert("x-clickhouse-user", HeaderValue::from_static("u"));
        key.insert("x-clickhouse-key", HeaderValue::from_static("p:w"));
        let mut basic = HeaderMap::new();
        basic.insert(AUTHORIZATION, HeaderValue::from_static("Basic dTpwOnc="));
        for (url, headers) in [("", key), ("", basic), ("user=u&password=p%3Aw", HeaderMap::new())] {
            let command = Command::read(&Method::POST, url, &headers).expect("valid");
            assert!(command.authenticate(Some(&wanted)).is_ok());
        }
        for url in ["", "user=u", "user=u&password=x", "user=x&password=p%3Aw"] {
            let command = read(url).expect("valid");
            assert_eq!(command.authenticate(Some(&wanted)).map_err(|error| error.code()), Err(516), "{url}");
        }
        assert!(read("").expect("valid").authenticate(None).is_ok());
    }

    #[test]
    fn lz4_is_sent_to_who_accepts_it_unless_told_otherwise() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, lz4;q=0.5"));
        let encoding = |url| Command::read(&Method::POST, url, &headers).expect("valid").encoding;
        assert_eq!(encoding(""), Encoding::Lz4);
        assert_eq!(encoding("enable_http_compression=0"), Encoding::Plain);
        assert_eq!(encoding("compress=1"), Encoding::Frames);
    }
}
