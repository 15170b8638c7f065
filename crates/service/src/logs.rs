//! Logs: text on a terminal, one JSON object per line otherwise.
//!
//! No log line contains a key: code logs ids only, and the `Debug` output of types that hold secrets omits
//! them.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging to standard error. [`crate::settings::Common::check`] has validated `filter`.
pub fn init(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second call within one process (in tests) keeps the first subscriber.
    let _ = if std::io::stderr().is_terminal() {
        builder.try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    };
}
