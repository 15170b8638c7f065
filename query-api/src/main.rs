//! The process of the query API: settings, logging, listeners, then [`query_api::run`].

use clap::Parser;
use query_api::run::{Listeners, run};
use query_api::settings::{Arguments, Settings};
use service::{http, logs, settings, stop};
use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

/// Maximum time that the process waits for tasks that block on Kafka at shutdown.
const BLOCKING_TASKS_TIMEOUT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(service::probe::Command::Health) = arguments.command {
        return service::probe::health(&arguments.ops_listen);
    }
    if arguments.openapi {
        // A closed pipe (`query-api --openapi | head`) is not an error.
        let _ = writeln!(std::io::stdout(), "{}", query_api::routes::openapi::text());
        return ExitCode::SUCCESS;
    }
    let validate = arguments.common.validate;
    let settings = match settings::resolve(arguments.check(), validate) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    logs::init(&settings.common.log);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "startup failed: no async runtime");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(serve(settings));
    runtime.shutdown_timeout(BLOCKING_TASKS_TIMEOUT);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "query API failed");
            ExitCode::FAILURE
        }
    }
}

async fn serve(settings: Settings) -> Result<(), Box<dyn Error>> {
    let stop = stop::on_signal()?;
    let listeners = Listeners {
        clients: http::reserve(settings.listen, "--listen")?,
        operators: http::bind(settings.ops_listen, "--ops-listen").await?,
    };
    run(settings, listeners, stop).await
}
