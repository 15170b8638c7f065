//! A disk under ClickHouse that can be made to fail. A small C library, preloaded into the ClickHouse front,
//! intercepts the engine's system calls; `cc` compiles it for each use.

use crate::error::Result;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

const SOURCE: &str = include_str!("failing_disk.c");

/// Failure of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFault {
    /// No space is left.
    Full,
    /// Files can be written but not renamed: an insert stops between its token and its data.
    NoRename,
}

/// A directory whose files can be made to fail.
pub struct FailingDisk {
    library: PathBuf,
    flag: PathBuf,
    root: PathBuf,
}

impl FailingDisk {
    /// Compiles the library into `directory`; it affects files below `root`.
    pub fn new(directory: &Path, root: &Path) -> Result<Self> {
        let source = directory.join("failing_disk.c");
        let library = directory.join("failing_disk.so");
        fs::write(&source, SOURCE)?;
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-Wall", "-o"])
            .args([&library, &source])
            .output()
            .map_err(|error| format!("cannot run the C compiler `cc`: {error}"))?;
        if !compiled.status.success() {
            return Err(format!("failing_disk.c: {}", String::from_utf8_lossy(&compiled.stderr)).into());
        }
        Ok(Self { library, flag: directory.join("failing"), root: root.to_owned() })
    }

    /// Environment variables for the process that uses the disk.
    pub fn environment(&self) -> HashMap<String, String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        HashMap::from([
            ("LD_PRELOAD".to_owned(), text(&self.library)),
            ("FAILING_DISK".to_owned(), text(&self.root)),
            ("FAILING_DISK_FLAG".to_owned(), text(&self.flag)),
        ])
    }

    /// Makes the disk fail from now on, or work again.
    pub fn set(&self, fault: Option<DiskFault>) -> Result<()> {
        let flag = match fault {
            Some(DiskFault::Full) => "full",
            Some(DiskFault::NoRename) => "no-rename",
            None => {
                return match fs::remove_file(&self.flag) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
                    _ => Ok(()),
                };
            }
        };
        Ok(fs::write(&self.flag, flag)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_fails_only_below_its_root_and_while_set() -> Result<()> {
        let name = format!("tidemark-failing-disk-{}", uuid::Uuid::new_v4().simple());
        let directory = std::env::temp_dir().join(name);
        let root = directory.join("data");
        fs::create_dir_all(&root)?;
        fs::write(root.join("a"), "x")?;
        let disk = FailingDisk::new(&directory, &root)?;
        let run = |script: String| -> Result<bool> {
            let mut python = Command::new("python3");
            python.args(["-c", &format!("import os; {script}")]).envs(disk.environment());
            Ok(python.output()?.status.success())
        };
        let has_space = |path: &Path| format!("assert os.statvfs('{}').f_bavail > 0", path.display());
        let rename = |from: &str, to: &str| {
            format!("os.rename('{}', '{}')", root.join(from).display(), root.join(to).display())
        };
        assert!(run(has_space(&root))?);
        disk.set(Some(DiskFault::Full))?;
        assert!(!run(has_space(&root))?, "a full disk reports free space");
        assert!(run(has_space(&directory))?);
        assert!(run(rename("a", "b"))?);
        disk.set(Some(DiskFault::NoRename))?;
        assert!(run(has_space(&root))?);
        assert!(!run(rename("b", "c"))?, "a rename succeeded");
        disk.set(None)?;
        assert!(run(rename("b", "c"))?);
        fs::remove_dir_all(&directory)?;
        Ok(())
    }
}
