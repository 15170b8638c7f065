//! Compiles the web page into the binary: all files of `web/dist`, with the compressed variants of `npm run
//! build`.
//!
//! If the page was not built there are no files, and the service shows instructions for building it instead.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("web/dist");
    // The repository contains a file in this directory: if it were missing, cargo would run this script on
    // every build.
    println!("cargo::rerun-if-changed=web/dist");
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();
    let mut text = String::from("&[\n");
    for file in files.iter().filter(|file| !is_compressed(file)) {
        let Ok(path) = file.strip_prefix(&root) else { continue };
        let compressed = |extension: &str| {
            let variant = PathBuf::from(format!("{}.{extension}", file.display()));
            if files.contains(&variant) {
                format!("Some(include_bytes!({variant:?}))")
            } else {
                "None".into()
            }
        };
        let line = format!(
            "File {{ path: {:?}, plain: include_bytes!({file:?}), brotli: {}, gzip: {} }},",
            format!("/{}", path.display()),
            compressed("br"),
            compressed("gz"),
        );
        let _ = writeln!(text, "    {line}");
    }
    text.push(']');
    fs::write(PathBuf::from(env::var("OUT_DIR").unwrap_or_default()).join("page.rs"), text)
}

/// Adds the files under `directory`, except for hidden ones.
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

fn is_compressed(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "br" || extension == "gz")
}
