//! What commands that compare stores must know of deletions.

use super::Failure;
use super::compare::Projects;
use crate::deletion::ledger::Ledger;
use crate::generation::Generator;
use accounts::control_log;

/// The deletions as the control log has them now.
pub async fn recorded(generator: &Generator) -> Result<Ledger, Failure> {
    let (events, _) = control_log::snapshot(&generator.brokers, &generator.topics).await?;
    Ok(Ledger::of(&events)?)
}

/// Of a removed project, what came late goes late: it says nothing about a store.
pub fn leave_out_removed(ledger: &Ledger, stores: [&mut Projects; 2]) {
    let removed = ledger.removed_projects();
    for projects in stores {
        projects.retain(|project, _| !removed.contains(project.as_str()));
    }
}
