//! Deletions, as far as the commands that compare stores need them.

use super::Failure;
use super::compare::Projects;
use crate::deletion::ledger::DeletionLedger;
use crate::generation::GenerationManager;
use control::control_log;

/// Reads the deletions from the control log.
pub async fn recorded(manager: &GenerationManager) -> Result<DeletionLedger, Failure> {
    let (events, _) = control_log::snapshot(&manager.brokers, &manager.topics).await?;
    Ok(DeletionLedger::from_events(&events)?)
}

/// Removes deleted projects from both stores. Their late records are erased only now and then, so a difference there says
/// nothing about a store.
pub fn exclude_deleted_projects(ledger: &DeletionLedger, stores: [&mut Projects; 2]) {
    let deleted = ledger.deleted_projects();
    for projects in stores {
        projects.retain(|project, _| !deleted.contains(project.as_str()));
    }
}
