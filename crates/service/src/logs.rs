//! Logs: text for a person at a terminal, one JSON object a line for everything else.
//!
//! No log line holds a key: code logs ids only, and types that carry secrets do not print them.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging to standard error. `filter` was checked by [`crate::settings::Common::check`].
pub fn init(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start within one process (tests) keeps the first subscriber.
    let _ = if std::io::stderr().is_terminal() {
        builder.try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    };
}
