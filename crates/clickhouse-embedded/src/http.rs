//! Routes and responses of the HTTP interface.
//!
//! A result is complete before its first byte is sent. Therefore an error always has its own status and
//! `X-ClickHouse-Exception-Code`, and never occurs in the middle of a result.

use crate::body::Body;
use crate::chdb::{Output, Stats};
use crate::engine::{Engine, Job};
use crate::error::Error;
use crate::frames;
use crate::request::{Encoding, Parameters};
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
const PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=UTF-8");

/// Default settings of an insert with a body: its data forms one block, which is stored as a whole once the
/// body is complete, or not at all. The cost is that the engine keeps the data in memory until then.
const ONE_BLOCK: [(&str, &str); 4] = [
    ("max_insert_block_size", "1000000000000"),
    ("max_insert_block_size_bytes", "0"),
    ("min_insert_block_size_rows", "0"),
    ("min_insert_block_size_bytes", "1000000000000"),
];

type HttpResponse = Response<Full<Bytes>>;

/// Request handler of one engine.
pub struct Handler {
    engine: Arc<Engine>,
    credentials: Option<Credentials>,
    query_deadline: Duration,
    receive_timeout: Duration,
    max_body: u64,
}

impl Handler {
    /// Creates the handler for `engine`.
    pub fn new(engine: Arc<Engine>, settings: &Settings) -> Self {
        Self {
            engine,
            credentials: settings.credentials.clone(),
            query_deadline: settings.query_deadline,
            receive_timeout: settings.receive_timeout,
            max_body: settings.max_body,
        }
    }

    /// Handles one request. Dropping the future also cancels the query in the engine.
    pub async fn handle(&self, request: Request<Incoming>) -> HttpResponse {
        let has_query = request.uri().query().is_some();
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/ping" | "/replicas_status") => ok(),
            (&Method::GET | &Method::HEAD, "/") if !has_query => ok(),
            (&Method::GET | &Method::HEAD | &Method::POST, "/" | "/query") => self.statement(request).await,
            _ => text(StatusCode::NOT_FOUND, "Unknown path: use POST / or GET /?query=…\n".to_owned()),
        }
    }

    async fn statement(&self, request: Request<Incoming>) -> HttpResponse {
        let url_query = request.uri().query().unwrap_or_default();
        let (id, result) = match Parameters::parse(request.method(), url_query, request.headers()) {
            Ok(parameters) => (parameters.query_id.clone(), self.run(parameters, request).await),
            Err(error) => (String::new(), Err(error)),
        };
        let mut response = match result {
            Ok((encoding, output)) => success(encoding, output),
            Err(error) => failure(&error),
        };
        // Omitted if the client's id is not a valid header value.
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(QUERY_ID, id);
        }
        response
    }

    async fn run(
        &self,
        mut parameters: Parameters,
        request: Request<Incoming>,
    ) -> Result<(Encoding, Output), Error> {
        parameters.authenticate(self.credentials.as_ref())?;
        let encoding = parameters.encoding;
        let boundary = form_boundary(&request);
        let is_post = request.method() == Method::POST;
        let body = Body {
            incoming: request.into_body(),
            decompress: parameters.decompress,
            receive_timeout: self.receive_timeout,
            max_length: self.max_body,
        };
        let deadline = Instant::now() + self.query_deadline;
        let mut sql = Vec::new();
        if let Some(boundary) = boundary {
            let form = body.read_all(deadline).await?;
            read_form(&mut parameters, boundary, form).await?;
            sql.extend_from_slice(parameters.query.take().unwrap_or_default().as_bytes());
        } else {
            let query = parameters.query.take().unwrap_or_default();
            // A GET request has no body. The engine rejects its insert because the query is read-only.
            if is_post && let Route::Streamed { sql, format } = route(&query) {
                for (name, value) in ONE_BLOCK {
                    if !parameters.settings.iter().any(|(known, _)| known == name) {
                        parameters.settings.push((name.to_owned(), value.to_owned()));
                    }
                }
                let output = self.engine.insert(job(parameters, Some(format)), sql, body).await?;
                return Ok((Encoding::Plain, output));
            }
            sql.extend_from_slice(query.as_bytes());
            let rest = body.read_all(deadline).await?;
            if !sql.is_empty() && !rest.is_empty() {
                sql.push(b'\n');
            }
            sql.extend_from_slice(&rest);
        }
        if sql.trim_ascii().is_empty() {
            return Err(Error::BadRequest("Empty query".to_owned()));
        }
        let output = self.engine.query(job(parameters, None), sql).await?;
        Ok((encoding, output))
    }
}

fn job(parameters: Parameters, format: Option<String>) -> Job {
    Job {
        query_id: parameters.query_id,
        database: parameters.database,
        settings: parameters.settings,
        params: parameters.params,
        format: format.unwrap_or(parameters.format),
    }
}

/// Returns the boundary if the body is a form. The statement and its parameters are then fields of the form.
fn form_boundary(request: &Request<Incoming>) -> Option<String> {
    multer::parse_boundary(request.headers().get(CONTENT_TYPE)?.to_str().ok()?).ok()
}

async fn read_form(parameters: &mut Parameters, boundary: String, form: Vec<u8>) -> Result<(), Error> {
    let form_error = |error: multer::Error| Error::BadRequest(format!("Invalid form: {error}"));
    let form = stream::iter([Ok::<_, std::convert::Infallible>(Bytes::from(form))]);
    let mut form = multer::Multipart::new(form, boundary);
    while let Some(field) = form.next_field().await.map_err(form_error)? {
        let Some(name) = field.name().map(str::to_owned) else { continue };
        if field.file_name().is_some() {
            return Err(Error::Unsupported("External tables are not supported".to_owned()));
        }
        let value = String::from_utf8_lossy(&field.bytes().await.map_err(form_error)?).into_owned();
        parameters.set(&name, value)?;
    }
    Ok(())
}

fn success(encoding: Encoding, output: Output) -> HttpResponse {
    let summary = summary(&output);
    // An empty result stays empty even if the client requested compression.
    let (body, coding) = match encoding {
        _ if output.body.is_empty() => (output.body, None),
        Encoding::Plain => (output.body, None),
        Encoding::Frames => (frames::encode(&output.body), None),
        Encoding::Lz4 => match lz4_file(&output.body) {
            Ok(body) => (body, Some(HeaderValue::from_static("lz4"))),
            Err(_) => (output.body, None),
        },
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    response.headers_mut().insert(SUMMARY, summary);
    if let Some(coding) = coding {
        response.headers_mut().insert(CONTENT_ENCODING, coding);
    }
    response
}

fn lz4_file(content: &[u8]) -> Result<Vec<u8>, lz4_flex::frame::Error> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::with_capacity(content.len() / 2));
    encoder.write_all(content)?;
    encoder.finish()
}

/// Returns the counters as JSON. The values are strings, like those of a server, because they are 64-bit
/// numbers.
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
    let json = counts.map(|(name, count)| format!(r#""{name}":"{count}""#)).join(",");
    let json = format!("{{{json}}}");
    HeaderValue::try_from(json).unwrap_or(HeaderValue::from_static("{}"))
}

fn failure(error: &Error) -> HttpResponse {
    tracing::debug!(code = error.code(), %error, "request failed");
    let mut response = text(error.status(), error.text());
    response.headers_mut().insert(EXCEPTION_CODE, HeaderValue::from(error.code()));
    response
}

fn ok() -> HttpResponse {
    text(StatusCode::OK, "Ok.\n".to_owned())
}

fn text(status: StatusCode, text: String) -> HttpResponse {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, PLAIN_TEXT);
    response
}
