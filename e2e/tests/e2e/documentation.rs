//! Pages in `docs/` that must agree with the services.

use crate::support::repository;
use e2e::{Result, process};
use std::collections::BTreeSet;
use std::process::Command;

#[test]
fn settings_page_equals_the_help_of_the_services() -> Result<()> {
    let binary = process::binary("gateway")?;
    let directory = binary.parent().ok_or("the binary has no parent directory")?;
    let output = Command::new(repository().join("deploy/settings-page")).arg(directory).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let generated = String::from_utf8(output.stdout)?;
    let page = std::fs::read_to_string(repository().join("docs/settings.md"))?;
    assert!(page == generated, "docs/settings.md is outdated: run deploy/settings-page > docs/settings.md");
    Ok(())
}

/// Returns the codes in a module: names of `wire_enum!` variants and string literals in the function `code`.
fn codes(source: &str) -> BTreeSet<String> {
    let variants = source.lines().filter_map(|line| line.trim().split_once(" = \"")?.1.strip_suffix("\","));
    let body = source.split_once("pub fn code(").map_or("", |(_, rest)| rest);
    let body = body.split("\n    }\n").next().unwrap_or_default();
    variants.chain(body.split('"').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[test]
fn troubleshooting_page_covers_every_error_code() {
    let page = include_str!("../../../docs/troubleshooting.md");
    let services =
        [include_str!("../../../gateway/src/error.rs"), include_str!("../../../query-api/src/error.rs")]
            .map(codes);
    assert!(services.iter().all(|codes| codes.len() > 10), "cannot parse the error modules any more");
    let details = codes(include_str!("../../../gateway/src/fault.rs"));
    assert!(details.len() > 8, "cannot parse gateway/src/fault.rs any more: {details:?}");
    for code in services.iter().flatten().chain(&details) {
        assert!(page.contains(&format!("`{code}`")), "docs/troubleshooting.md lacks {code}");
    }
}
