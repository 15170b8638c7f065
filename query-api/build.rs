//! Puts the page into the binary: every file of `web/dist`, also packed where `npm run build` has packed it.
//!
//! Where the page was not built there are no files, and the service says in its place how to build it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("web/dist");
    // The directory is always there, for it holds a file of ours: a missing one would make cargo build for ever.
    println!("cargo::rerun-if-changed=web/dist");
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();
    let mut text = String::from("&[\n");
    for file in files.iter().filter(|file| !is_packed(file)) {
        let Ok(path) = file.strip_prefix(&root) else { continue };
        let packed = |ending: &str| {
            let packed = PathBuf::from(format!("{}.{ending}", file.display()));
            if files.contains(&packed) { format!("Some(include_bytes!({packed:?}))") } else { "None".into() }
        };
        let line = format!(
            "File {{ path: {:?}, plain: include_bytes!({file:?}), brotli: {}, gzip: {} }},",
            format!("/{}", path.display()),
            packed("br"),
            packed("gz"),
        );
        let _ = writeln!(text, "    {line}");
    }
    text.push(']');
    fs::write(PathBuf::from(env::var("OUT_DIR").unwrap_or_default()).join("page.rs"), text)
}

/// The files under `directory`, but not hidden ones.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn is_packed(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending == "br" || ending == "gz")
}
