//! `clickhouse-embedded`: the ClickHouse engine as a library behind a subset of ClickHouse's HTTP interface.
//!
//! It replaces a ClickHouse server where everything runs on one machine. A request passes through [`http`]
//! (routes and responses), [`request`] (parameters) and [`statement`] (is the body data?). [`body`] streams
//! insert data to the [`engine`], which calls libchdb through [`chdb`], the binding.
//!
//! # Supported subset of the HTTP interface
//!
//! | part | supported |
//! |---|---|
//! | health | `GET` or `HEAD` of `/ping`, `/replicas_status`, and `/` without a query string: `Ok.` |
//! | statements | `POST /` and `POST /query` (the text in `query=` followed by the body), `GET /?query=…` (with `readonly=2` unless the client sets it); one statement per request |
//! | parameters | `query`, `database`, `default_format`, `query_id`, `user`, `password`, `compress`, `decompress`, `enable_http_compression`, `param_…`; any other name is a setting of the statement |
//! | ignored parameters | `wait_end_of_query`, `buffer_size`, `quota_key`, `stacktrace`, `client_protocol_version` |
//! | rejected with 501 | sessions (`session_…`, `close_session`), `role`, external tables, request bodies with a `Content-Encoding` |
//! | headers | `X-ClickHouse-User`, `X-ClickHouse-Key`, `X-ClickHouse-Database`, `X-ClickHouse-Format`, `Authorization: Basic`, `Accept-Encoding: lz4` |
//! | forms | `multipart/form-data` with the parameters above as fields |
//! | response headers | `X-ClickHouse-Query-Id`, `X-ClickHouse-Summary`, `X-ClickHouse-Exception-Code` |
//! | users | one user or none; no access rights |
//!
//! A result is complete before its first byte is sent, so there is no streaming of results, no progress
//! header, and no exception inside a response with status 200.
//!
//! # Guarantees
//!
//! - An insert that is answered with 200 is stored.
//! - An insert whose body ends early stores nothing, unless the client's settings make blocks smaller than
//!   the body.
//! - No setting, database or temporary table of one request affects the next.

mod body;
#[allow(unsafe_code)]
mod chdb;
mod engine;
mod error;
mod frames;
mod http;
mod request;
mod settings;
mod statement;

use clap::Parser;
use engine::Engine;
use hyper::service::service_fn;
use service::http::HalfClosed;
use service::stop::GRACE;
use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Stack size of the threads in bytes. The engine recurses deeply on the calling thread, so they get as much
/// as the main thread of a process has by default.
const STACK_SIZE: usize = 8 << 20;

fn main() -> ExitCode {
    let arguments = settings::Arguments::parse();
    let settings = match service::settings::resolve(arguments.check(), arguments.validate) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    service::logs::init(&arguments.log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .thread_stack_size(STACK_SIZE)
        // One for each connection, and some for `KILL QUERY`.
        .max_blocking_threads(settings.connections as usize + 4)
        .build();
    let result = runtime.map_err(Into::into).and_then(|runtime| {
        let result = runtime.block_on(serve(&settings));
        // Threads that still run after the grace period are abandoned.
        runtime.shutdown_timeout(Duration::from_secs(1));
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("clickhouse-embedded: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(settings: &settings::Settings) -> Result<(), Box<dyn std::error::Error>> {
    let stop = service::stop::on_signal()?;
    // Bound before the engine starts: a port in use is reported at once, and clients queue while the engine
    // starts.
    let listener = service::http::bind(settings.listen, "--listen").await?;
    let engine = Engine::start(settings)?;
    tracing::info!(address = %listener.local_addr()?, "listening");

    let handler = Arc::new(http::Handler::new(engine.clone(), settings));
    let service = move |_| {
        let handler = handler.clone();
        service_fn(move |request| {
            let handler = handler.clone();
            async move { Ok::<_, Infallible>(handler.handle(request).await) }
        })
    };
    // Waiting for running queries and then killing the rest must both fit into the grace period.
    let drain_time = GRACE - engine::STOP_KILL_TIMEOUT;
    let mut serving =
        tokio::spawn(service::http::serve(listener, service, HalfClosed::Cancel, stop.clone(), GRACE));

    stop.cancelled().await;
    let closed = tokio::select! {
        // All requests are answered. A query that still runs was abandoned by its client and is being killed.
        _ = &mut serving => engine.close(engine::STOP_KILL_TIMEOUT).await,
        () = tokio::time::sleep(drain_time) => engine.close(Duration::ZERO).await,
    };
    if closed {
        tracing::info!("stopped");
    } else {
        tracing::warn!("engine shutdown failed: a query did not end");
    }
    Ok(())
}
