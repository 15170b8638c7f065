//! `rebuild redis`.

use super::{Failure, Lines};
use crate::settings::Settings;
use accounts::control_log::ControlWriter;
use accounts::rebuild::{Progress, rebuild};
use std::time::Instant;

/// Fills Redis anew; ends when it is filled.
pub async fn run(settings: &Settings, writer: &ControlWriter) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut lines = Lines::new();
    let entities = rebuild(&settings.common, writer, |progress| {
        lines.print(|| match progress {
            Progress::Removed(entities) => format!("{entities} entities taken out of Redis"),
            Progress::Filled(done, all) => format!("{done} of {all} entities put back"),
        });
    })
    .await?;
    println!("Redis is filled: {entities} entities in {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}
