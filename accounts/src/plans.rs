//! Plans: what a project may do. They are data; these are the ones that an installation begins with.

use proto::v1::Plan;

/// The plans of a new installation: requests per clock hour (none: no limit) and whether alerts are allowed.
const FIRST: [(&str, Option<u64>, bool); 4] = [
    ("free", Some(100), false),
    ("pro", Some(1_000), true),
    ("scale", Some(10_000), true),
    ("unlimited", None, true),
];

/// The plan of a project that has none.
pub const DEFAULT: &str = "free";

/// The plan `name` of a new installation.
pub fn first(name: &str) -> Option<Plan> {
    FIRST.iter().find(|(known, ..)| *known == name).map(|&(name, requests_per_hour, alerts)| Plan {
        name: name.to_owned(),
        requests_per_hour,
        alerts,
    })
}

/// The names of the plans of a new installation.
pub fn names() -> impl Iterator<Item = &'static str> {
    FIRST.iter().map(|(name, ..)| *name)
}

/// What applies where a project's plan is not known at all: the least that a new installation gives.
pub fn smallest() -> Plan {
    let (name, requests_per_hour, alerts) = FIRST[0];
    Plan { name: name.to_owned(), requests_per_hour, alerts }
}
