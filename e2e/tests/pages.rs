//! The pages of `docs/` say what is so.

use e2e::{Result, process};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

#[test]
fn the_page_of_settings_is_what_the_services_say_with_help() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let binary = process::binary("gateway")?;
    let directory = binary.parent().ok_or("the binaries are in a directory")?;
    let output = Command::new(root.join("deploy/settings-page")).arg(directory).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout)?;
    let page = std::fs::read_to_string(root.join("docs/settings.md"))?;
    assert!(page == printed, "docs/settings.md is old: deploy/settings-page > docs/settings.md");
    Ok(())
}

/// The codes that a service's `code` function names.
fn codes(source: &str) -> BTreeSet<String> {
    let body = source.split_once("pub fn code(").map_or("", |(_, rest)| rest);
    let body = body.split("\n    }\n").next().unwrap_or_default();
    let words = body.split('"').skip(1).step_by(2);
    words.map(str::to_owned).collect()
}

#[test]
fn every_error_code_is_answered_on_the_page_of_troubleshooting() {
    let page = include_str!("../../docs/troubleshooting.md");
    let services =
        [include_str!("../../gateway/src/error.rs"), include_str!("../../query-api/src/error.rs")].map(codes);
    let faults = include_str!("../../gateway/src/fault.rs");
    let mut found: BTreeSet<String> = services.iter().flatten().cloned().collect();
    assert!(services.iter().all(|codes| codes.len() > 10), "the sources' form has changed");
    let faults = faults.lines().filter_map(|line| line.trim().split_once(" = \"")?.1.strip_suffix("\","));
    let of_fields: BTreeSet<String> = faults.map(str::to_owned).collect();
    assert!(of_fields.len() > 8, "the sources' form has changed: {of_fields:?}");
    found.extend(of_fields);
    for code in found {
        assert!(page.contains(&format!("`{code}`")), "docs/troubleshooting.md lacks {code}");
    }
}
