//! `clickhouse-embedded`: the ClickHouse engine as a library behind ClickHouse's HTTP interface.
//!
//! A stand-in for a ClickHouse server where everything runs on one machine: no users but one, no sessions, no cluster,
//! no result before it is complete. The way of a request: [`http`] answers, [`request`] reads its parameters,
//! [`statement`] sees whether its body is data, [`feed`] hands that to the [`engine`], which drives [`chdb`], the
//! binding.
//!
//! What is promised: an insert that is answered with 200 is stored; one whose body ends early stores nothing, unless its
//! client made its blocks smaller than its body; nothing of one request is left for the next.

#[allow(unsafe_code)]
mod chdb;
mod engine;
mod error;
mod feed;
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

/// The engine recurses on the thread that calls it: as much as the main thread of a process has.
const STACK: usize = 8 << 20;

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
        .thread_stack_size(STACK)
        // One for each connection, some for the killing of queries.
        .max_blocking_threads(settings.connections as usize + 4)
        .build();
    let result = runtime.map_err(Into::into).and_then(|runtime| {
        let result = runtime.block_on(serve(&settings));
        // What still runs after the grace period has had its time.
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
    // Before the engine: a port that is taken is known at once, and clients queue while the engine starts.
    let listener = service::http::bind(settings.listen, "--listen").await?;
    let engine = Engine::start(settings)?;
    tracing::info!(address = %listener.local_addr()?, "listening");

    let front = Arc::new(http::Front::new(engine.clone(), settings));
    let service = move |_| {
        let front = front.clone();
        service_fn(move |request| {
            let front = front.clone();
            async move { Ok::<_, Infallible>(front.answer(request).await) }
        })
    };
    // Within the grace period of every service: to wait, then to kill what would not end.
    let patience = GRACE - engine::AFTER_STOP;
    let mut serving =
        tokio::spawn(service::http::serve(listener, service, HalfClosed::Cancel, stop.clone(), GRACE));

    stop.cancelled().await;
    let closed = tokio::select! {
        // All are answered: nothing of them runs any more, or it was given up by its client and is being killed.
        _ = &mut serving => engine.close(engine::AFTER_STOP).await,
        () = tokio::time::sleep(patience) => engine.close(Duration::ZERO).await,
    };
    if closed {
        tracing::info!("stopped");
    } else {
        tracing::warn!("the engine could not be stopped in order");
    }
    Ok(())
}
