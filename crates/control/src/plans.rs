//! Plans: what a project may do. They are data; these are the ones that an installation begins with.

use proto::v1::Plan;

/// The plans of a new installation: requests per clock hour (none: no limit) and whether alerts are allowed.
const FIRST: [(&str, Option<u64>, bool); 4] = [
    ("free", Some(100), false),
    ("pro", Some(1_000), true),
    ("scale", Some(10_000), true),
    ("unlimited", None, true),
];

/// When they were decided on, Unix milliseconds: 2026-11-23.
const FIRST_AT_MS: i64 = 1_795_392_000_000;

/// The plan of a project that has none.
pub const DEFAULT: &str = "free";

/// The plan `name` of a new installation.
pub fn first(name: &str) -> Option<Plan> {
    FIRST.iter().find(|(known, ..)| *known == name).map(|&first| whole(first))
}

/// The plan that comes after `known`, if there is one of its name: changed at `now_ms`.
pub fn next(plan: Plan, known: Option<&Plan>, now_ms: i64) -> Plan {
    Plan {
        created_at_ms: known.map_or(now_ms, |known| known.created_at_ms),
        updated_at_ms: now_ms,
        version: known.map_or(1, |known| known.version + 1),
        ..plan
    }
}

/// The plan in a state. Those that were set before plans had versions count as first ones.
pub fn of_state(plan: Plan) -> Plan {
    if plan.version > 0 {
        return plan;
    }
    Plan { created_at_ms: FIRST_AT_MS, updated_at_ms: FIRST_AT_MS, version: 1, ..plan }
}

/// The names of the plans of a new installation.
pub fn names() -> impl Iterator<Item = &'static str> {
    FIRST.iter().map(|(name, ..)| *name)
}

/// What applies where a project's plan is not known at all: the least that a new installation gives.
pub fn smallest() -> Plan {
    whole(FIRST[0])
}

fn whole((name, requests_per_hour, alerts): (&str, Option<u64>, bool)) -> Plan {
    of_state(Plan { name: name.to_owned(), requests_per_hour, alerts, ..Plan::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_follows_another_has_its_birth_and_the_next_version() {
        let first = first("pro").expect("a plan");
        assert_eq!((first.created_at_ms, first.updated_at_ms, first.version), (FIRST_AT_MS, FIRST_AT_MS, 1));
        let wanted = Plan { name: "pro".to_owned(), alerts: true, ..Plan::default() };
        let changed = next(wanted.clone(), Some(&first), 5);
        assert_eq!((changed.created_at_ms, changed.updated_at_ms, changed.version), (FIRST_AT_MS, 5, 2));
        let new = next(wanted.clone(), None, 5);
        assert_eq!((new.created_at_ms, new.updated_at_ms, new.version), (5, 5, 1));
        assert_eq!(of_state(new.clone()), new);
        assert_eq!(of_state(wanted).version, 1, "it was set before plans had versions");
    }
}
