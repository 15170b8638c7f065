//! `rebuild redis`.

use super::{Failure, ProgressPrinter};
use crate::settings::Settings;
use control::control_log::ControlWriter;
use control::rebuild::{Progress, rebuild};
use std::time::Instant;

/// Rebuilds the Redis projection; returns when it is complete.
pub async fn run(settings: &Settings, writer: &ControlWriter) -> Result<(), Failure> {
    let started = Instant::now();
    let mut printer = ProgressPrinter::new();
    let entities = rebuild(&settings.connections, &settings.common.namespace, writer, |progress| {
        printer.print(|| match progress {
            Progress::Removed(entities) => format!("removed {entities} entities from Redis"),
            Progress::Filled(done, all) => format!("restored {done} of {all} entities"),
        });
    })
    .await?;
    println!("Redis rebuilt: {entities} entities in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}
