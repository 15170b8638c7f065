//! The README beside this folder names a test for each promise; each must be there, as a test. The mutants beside it, which
//! these tests are to notice, must fit the code as it is.

use e2e::Result;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Of each line of a table, the files in its last column with the names that follow them.
fn named(readme: &str) -> Vec<(String, String)> {
    let mut named = Vec::new();
    let rows = readme.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promise |"));
    for row in rows {
        let column = row.trim_end_matches(['|', ' ']).rsplit_once(" | ").map_or("", |(_, column)| column);
        let mut file = "";
        for word in column.split('`').skip(1).step_by(2) {
            if word.ends_with(".rs") {
                file = word;
            } else {
                named.push((file.to_owned(), word.to_owned()));
            }
        }
    }
    named
}

/// Whether `source` has a function of this name under an attribute that makes it a test.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let is_it = |line: &str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ")
            .and_then(|rest| rest.strip_prefix(name))
            .is_some_and(|rest| rest.starts_with('('))
    };
    let place = lines.iter().position(|line| is_it(line));
    place.is_some_and(|place| {
        let attributes = lines[..place].iter().rev().take_while(|line| line.starts_with("#["));
        attributes.into_iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

#[test]
fn every_test_that_the_readme_names_is_there() -> Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = named(&fs::read_to_string(here.join("README.md"))?);
    let mut sources = BTreeMap::new();
    let mut missing = Vec::new();
    for (file, test) in &named {
        if !sources.contains_key(file) {
            let path = here.join("..").join(file);
            let source = fs::read_to_string(&path).map_err(|error| format!("{file}: {error}"))?;
            sources.insert(file, source);
        }
        if !sources.get(file).is_some_and(|source| has_test(source, test)) {
            missing.push(format!("{file} {test}"));
        }
    }
    assert!(missing.is_empty(), "not there: {missing:#?}");
    assert!(named.len() > 50, "the tables were not read");
    Ok(())
}

#[test]
fn every_mutant_can_be_applied() -> Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut applied = 0;
    for entry in fs::read_dir(here.join("mutants"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "patch") {
            let git = Command::new("git")
                .arg("apply")
                .arg("--check")
                .arg(&path)
                .current_dir(here.join(".."))
                .output()?;
            let told = String::from_utf8_lossy(&git.stderr);
            assert!(git.status.success(), "make {} anew: {told}", path.display());
            applied += 1;
        }
    }
    assert!(applied >= 9, "the mutants were not found");
    Ok(())
}

#[test]
fn a_name_without_its_test_is_found() {
    let readme =
        "| promise | test |\n|---|---|\n| it works, `a` too | `x/y.rs` `one`, `two`; `z.rs` `three` |\n";
    let pair = |file: &str, test: &str| (file.to_owned(), test.to_owned());
    assert_eq!(named(readme), [pair("x/y.rs", "one"), pair("x/y.rs", "two"), pair("z.rs", "three")]);
    let source = "fn helper() {}\n\n#[tokio::test(flavor = \"multi_thread\")]\nasync fn one() {}\n#[test]\n#[ignore]\nfn two() {}";
    assert!(has_test(source, "one") && has_test(source, "two"));
    assert!(!has_test(source, "helper") && !has_test(source, "on") && !has_test(source, "three"));
}
