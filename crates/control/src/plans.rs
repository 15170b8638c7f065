//! Built-in plans: those of a new installation. Operators change plans and create others at run time.

use proto::v1::Plan;

/// Name, hourly request limit (none: no limit) and whether alerts are allowed.
const BUILT_IN: [(&str, Option<u64>, bool); 4] = [
    ("free", Some(100), false),
    ("pro", Some(1_000), true),
    ("scale", Some(10_000), true),
    ("unlimited", None, true),
];

/// Creation time of the built-in plans, Unix milliseconds: 2026-11-23.
const BUILT_IN_AT_MS: i64 = 1_795_392_000_000;

/// Plan of a project that has none.
pub const DEFAULT: &str = "free";

/// Returns the built-in plan `name`.
pub fn built_in(name: &str) -> Option<Plan> {
    BUILT_IN.iter().find(|(known, ..)| *known == name).map(|&built_in| to_plan(built_in))
}

/// Returns `plan` as the version after `current`, or as the first version if there is none; changed at `now_ms`.
pub fn next_version(plan: Plan, current: Option<&Plan>, now_ms: i64) -> Plan {
    Plan {
        created_at_ms: current.map_or(now_ms, |current| current.created_at_ms),
        updated_at_ms: now_ms,
        version: current.map_or(1, |current| current.version + 1),
        ..plan
    }
}

/// Returns a stored plan with its version and times. Plans stored before plans had versions count as version 1.
pub fn with_version(plan: Plan) -> Plan {
    if plan.version > 0 {
        return plan;
    }
    Plan { created_at_ms: BUILT_IN_AT_MS, updated_at_ms: BUILT_IN_AT_MS, version: 1, ..plan }
}

/// Returns the names of the built-in plans.
pub fn built_in_names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, ..)| *name)
}

/// Returns the plan that applies to a project whose plan does not exist: the built-in one with the lowest limits.
pub fn smallest() -> Plan {
    to_plan(BUILT_IN[0])
}

fn to_plan((name, requests_per_hour, alerts): (&str, Option<u64>, bool)) -> Plan {
    with_version(Plan { name: name.to_owned(), requests_per_hour, alerts, ..Plan::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_version_keeps_the_creation_time() {
        let first = built_in("pro").expect("a built-in plan");
        assert_eq!(
            (first.created_at_ms, first.updated_at_ms, first.version),
            (BUILT_IN_AT_MS, BUILT_IN_AT_MS, 1)
        );
        let unversioned = Plan { name: "pro".to_owned(), alerts: true, ..Plan::default() };
        let changed = next_version(unversioned.clone(), Some(&first), 5);
        assert_eq!((changed.created_at_ms, changed.updated_at_ms, changed.version), (BUILT_IN_AT_MS, 5, 2));
        let new = next_version(unversioned.clone(), None, 5);
        assert_eq!((new.created_at_ms, new.updated_at_ms, new.version), (5, 5, 1));
        assert_eq!(with_version(new.clone()), new);
        assert_eq!(with_version(unversioned).version, 1, "stored before plans had versions");
    }
}
