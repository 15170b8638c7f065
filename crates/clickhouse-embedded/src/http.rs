//! ClickHouse's HTTP interface: routes, and the shape of answers.
//!
//! A result is complete before its first byte is sent. So an error always has its own status and
//! `X-ClickHouse-Exception-Code`, and never stands in the middle of a result.

use crate::chdb::{Output, Stats};
use crate::engine::{Engine, Job};
use crate::error::Error;
use crate::feed::{self, Source};
use crate::frames;
use crate::request::{Command, Encoding};
use crate::settings::{Credentials, Settings};
use crate::statement::{Route, route};
use bytes::Bytes;
use futures::stream;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const QUERY_ID: HeaderName = HeaderName::from_static("x-clickhouse-query-id");
const SUMMARY: HeaderName = HeaderName::from_static("x-clickhouse-summary");
const EXCEPTION_CODE: HeaderName = HeaderName::from_static("x-clickhouse-exception-code");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=UTF-8");

/// What an insert with a body begins with, unless the client says otherwise: its data is one block, stored as a whole
/// once the body has ended well, or not at all. The price is that the engine holds it in memory until then.
const ONE_BLOCK: [(&str, &str); 4] = [
    ("max_insert_block_size", "1000000000000"),
    ("max_insert_block_size_bytes", "0"),
    ("min_insert_block_size_rows", "0"),
    ("min_insert_block_size_bytes", "1000000000000"),
];

type Answer = Response<Full<Bytes>>;

/// The HTTP interface of one engine.
pub struct Front {
    engine: Arc<Engine>,
    credentials: Option<Credentials>,
    query_deadline: Duration,
    receive_timeout: Duration,
    max_body: u64,
}

impl Front {
    /// The interface of `engine`.
    pub fn new(engine: Arc<Engine>, settings: &Settings) -> Self {
        Self {
            engine,
            credentials: settings.credentials.clone(),
            query_deadline: settings.query_deadline,
            receive_timeout: settings.receive_timeout,
            max_body: settings.max_body,
        }
    }

    /// Answers one request. A request that is dropped before its answer is given up, in the engine too.
    pub async fn answer(&self, request: Request<Incoming>) -> Answer {
        let has_query = request.uri().query().is_some();
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/ping" | "/replicas_status") => ok(),
            (&Method::GET | &Method::HEAD, "/") if !has_query => ok(),
            (&Method::GET | &Method::HEAD | &Method::POST, "/" | "/query") => self.statement(request).await,
            _ => plain(
                StatusCode::NOT_FOUND,
                "There is no such path: use POST / or GET /?query=…\n".to_owned(),
            ),
        }
    }

    async fn statement(&self, request: Request<Incoming>) -> Answer {
        let url_query = request.uri().query().unwrap_or_default();
        let (id, result) = match Command::read(request.method(), url_query, request.headers()) {
            Ok(command) => (command.query_id.clone(), self.run(command, request).await),
            Err(error) => (String::new(), Err(error)),
        };
        let mut answer = match result {
            Ok((encoding, output)) => success(encoding, output),
            Err(error) => failure(&error),
        };
        // An id that no header can hold is not repeated.
        if let Ok(id) = HeaderValue::from_str(&id) {
            answer.headers_mut().insert(QUERY_ID, id);
        }
        answer
    }

    async fn run(
        &self,
        mut command: Command,
        request: Request<Incoming>,
    ) -> Result<(Encoding, Output), Error> {
        command.authenticate(self.credentials.as_ref())?;
        let encoding = command.encoding;
        let boundary = form_boundary(&request);
        let is_post = request.method() == Method::POST;
        let source = Source {
            body: request.into_body(),
            decompress: command.decompress,
            receive_timeout: self.receive_timeout,
            max_body: self.max_body,
        };
        let deadline = Instant::now() + self.query_deadline;
        let mut sql = Vec::new();
        if let Some(boundary) = boundary {
            let body = feed::collect(source, deadline).await?;
            read_form(&mut command, boundary, body).await?;
            sql.extend_from_slice(command.query.take().unwrap_or_default().as_bytes());
        } else {
            let query = command.query.take().unwrap_or_default();
            // GET has no body; the engine refuses its insert for being read-only.
            if is_post && let Route::Streamed { sql, format } = route(&query) {
                for (name, value) in ONE_BLOCK {
                    if !command.settings.iter().any(|(known, _)| known == name) {
                        command.settings.push((name.to_owned(), value.to_owned()));
                    }
                }
                let output = self.engine.insert(job(command, Some(format)), sql, source).await?;
                return Ok((Encoding::Plain, output));
            }
            sql.extend_from_slice(query.as_bytes());
            let body = feed::collect(source, deadline).await?;
            if !sql.is_empty() && !body.is_empty() {
                sql.push(b'\n');
            }
            sql.extend_from_slice(&body);
        }
        if sql.trim_ascii().is_empty() {
            return Err(Error::BadRequest("Empty query".to_owned()));
        }
        let output = self.engine.query(job(command, None), sql).await?;
        Ok((encoding, output))
    }
}

fn job(command: Command, format: Option<String>) -> Job {
    Job {
        query_id: command.query_id,
        database: command.database,
        settings: command.settings,
        params: command.params,
        format: format.unwrap_or(command.format),
    }
}

/// The boundary of a body that is a form: the statement and its parameters are then fields of it.
fn form_boundary(request: &Request<Incoming>) -> Option<String> {
    multer::parse_boundary(request.headers().get(CONTENT_TYPE)?.to_str().ok()?).ok()
}

async fn read_form(command: &mut Command, boundary: String, body: Vec<u8>) -> Result<(), Error> {
    let fault = |error: multer::Error| Error::BadRequest(format!("The form cannot be read: {error}"));
    let body = stream::iter([Ok::<_, std::convert::Infallible>(Bytes::from(body))]);
    let mut form = multer::Multipart::new(body, boundary);
    while let Some(field) = form.next_field().await.map_err(fault)? {
        let Some(name) = field.name().map(str::to_owned) else { continue };
        if field.file_name().is_some() {
            return Err(Error::Unsupported("external tables are not taken".to_owned()));
        }
        let value = String::from_utf8_lossy(&field.bytes().await.map_err(fault)?).into_owned();
        command.parameter(&name, value)?;
    }
    Ok(())
}

fn success(encoding: Encoding, output: Output) -> Answer {
    let summary = summary(&output);
    // An empty result stays empty, also where compression was asked for.
    let (body, coding) = match encoding {
        _ if output.body.is_empty() => (output.body, None),
        Encoding::Plain => (output.body, None),
        Encoding::Frames => (frames::encode(&output.body), None),
        Encoding::Lz4 => match lz4_file(&output.body) {
            Ok(body) => (body, Some(HeaderValue::from_static("lz4"))),
            Err(_) => (output.body, None),
        },
    };
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    answer.headers_mut().insert(SUMMARY, summary);
    if let Some(coding) = coding {
        answer.headers_mut().insert(CONTENT_ENCODING, coding);
    }
    answer
}

fn lz4_file(content: &[u8]) -> Result<Vec<u8>, lz4_flex::frame::Error> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::with_capacity(content.len() / 2));
    encoder.write_all(content)?;
    encoder.finish()
}

/// What was read and written, as JSON of strings: clients read numbers of 64 bits from it.
fn summary(output: &Output) -> HeaderValue {
    let Stats { read_rows, read_bytes, written_rows, written_bytes, result_rows, elapsed_ns } = output.stats;
    let counts = [
        ("read_rows", read_rows),
        ("read_bytes", read_bytes),
        ("written_rows", written_rows),
        ("written_bytes", written_bytes),
        ("total_rows_to_read", read_rows),
        ("result_rows", result_rows),
        ("result_bytes", output.body.len() as u64),
        ("elapsed_ns", elapsed_ns),
    ];
    let text = counts.map(|(name, count)| format!(r#""{name}":"{count}""#)).join(",");
    let text = format!("{{{text}}}");
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("{}"))
}

fn failure(error: &Error) -> Answer {
    tracing::debug!(code = error.code(), %error, "refused");
    let mut answer = plain(error.status(), error.text());
    answer.headers_mut().insert(EXCEPTION_CODE, HeaderValue::from(error.code()));
    answer
}

fn ok() -> Answer {
    plain(StatusCode::OK, "Ok.\n".to_owned())
}

fn plain(status: StatusCode, text: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, PLAIN);
    answer
}
