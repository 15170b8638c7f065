//! Checks `e2e/README.md`, which names tests for each promise, and the patches in `e2e/mutants`, which those
//! tests must detect: every named test exists, and every patch applies to the current code.

use crate::support::repository;
use e2e::Result;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// Returns the files in the last column of the README's tables, each with the test names that follow it.
fn cited_tests(readme: &str) -> Vec<(String, String)> {
    let mut cited = Vec::new();
    let rows = readme.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promise |"));
    for row in rows {
        let column = row.trim_end_matches(['|', ' ']).rsplit_once(" | ").map_or("", |(_, column)| column);
        let mut file = "";
        for word in column.split('`').skip(1).step_by(2) {
            if word.ends_with(".rs") {
                file = word;
            } else {
                cited.push((file.to_owned(), word.to_owned()));
            }
        }
    }
    cited
}

/// Reports whether `source` has a function of this name with a test attribute.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let is_definition = |line: &str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ")
            .and_then(|rest| rest.strip_prefix(name))
            .is_some_and(|rest| rest.starts_with('('))
    };
    let position = lines.iter().position(|line| is_definition(line));
    position.is_some_and(|position| {
        let attributes = lines[..position].iter().rev().take_while(|line| line.starts_with("#["));
        attributes.into_iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

#[test]
fn every_test_that_the_readme_cites_exists() -> Result<()> {
    let cited = cited_tests(&fs::read_to_string(repository().join("e2e/README.md"))?);
    let mut sources = BTreeMap::new();
    let mut missing = Vec::new();
    for (file, test) in &cited {
        if !sources.contains_key(file) {
            let source = fs::read_to_string(repository().join(file));
            sources.insert(file, source.map_err(|error| format!("e2e/README.md cites {file}: {error}"))?);
        }
        if !sources.get(file).is_some_and(|source| has_test(source, test)) {
            missing.push(format!("{file} {test}"));
        }
    }
    assert!(missing.is_empty(), "e2e/README.md cites tests that do not exist: {missing:#?}");
    assert!(cited.len() > 50, "cannot parse the tables of e2e/README.md any more");
    Ok(())
}

#[test]
fn every_mutant_applies() -> Result<()> {
    let mut applied = 0;
    for entry in fs::read_dir(repository().join("e2e/mutants"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "patch") {
            let git = Command::new("git")
                .args(["apply", "--check"])
                .arg(path.canonicalize()?)
                .current_dir(repository())
                .output()?;
            let stderr = String::from_utf8_lossy(&git.stderr);
            assert!(git.status.success(), "{} does not apply; update it: {stderr}", path.display());
            applied += 1;
        }
    }
    assert!(applied >= 9, "only {applied} patches in e2e/mutants");
    Ok(())
}

#[test]
fn cited_name_without_a_test_is_found() {
    let readme =
        "| promise | test |\n|---|---|\n| it works, `a` too | `x/y.rs` `one`, `two`; `z.rs` `three` |\n";
    let pair = |file: &str, test: &str| (file.to_owned(), test.to_owned());
    assert_eq!(cited_tests(readme), [pair("x/y.rs", "one"), pair("x/y.rs", "two"), pair("z.rs", "three")]);
    let source = "fn helper() {}\n\n#[tokio::test(flavor = \"multi_thread\")]\nasync fn one() {}\n#[test]\n#[ignore]\nfn two() {}";
    assert!(has_test(source, "one") && has_test(source, "two"));
    assert!(!has_test(source, "helper") && !has_test(source, "on") && !has_test(source, "three"));
}
