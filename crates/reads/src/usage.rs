//! Usage of a project, as the gateways reported it, and notices about unusual usage.

pub mod notices;
pub mod table;
