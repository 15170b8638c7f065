//! A disk under ClickHouse that fails when told to: a small library in C, preloaded into its front, stands between the
//! engine and the system. It is compiled by `cc` for each campaign.

use super::schedule::Disk;
use crate::Result;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

const SOURCE: &str = include_str!("failing_disk.c");

/// A directory whose files fail when told to.
pub struct FailingDisk {
    library: PathBuf,
    flag: PathBuf,
    under: PathBuf,
}

impl FailingDisk {
    /// Makes the library in `directory`, for files in `under`.
    pub fn new(directory: &Path, under: &Path) -> Result<Self> {
        let source = directory.join("failing_disk.c");
        let library = directory.join("failing_disk.so");
        fs::write(&source, SOURCE)?;
        let made = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-Wall", "-o"])
            .args([&library, &source])
            .output()
            .map_err(|error| format!("cc, the C compiler, cannot be run: {error}"))?;
        if !made.status.success() {
            return Err(format!("failing_disk.c: {}", String::from_utf8_lossy(&made.stderr)).into());
        }
        Ok(Self { library, flag: directory.join("failing"), under: under.to_owned() })
    }

    /// What the process must have in its environment.
    pub fn environment(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        vec![
            ("LD_PRELOAD".to_owned(), text(&self.library)),
            ("FAILING_DISK".to_owned(), text(&self.under)),
            ("FAILING_DISK_FLAG".to_owned(), text(&self.flag)),
        ]
    }

    /// Fails from now on; none: works again.
    pub fn set(&self, how: Option<Disk>) -> Result<()> {
        let word = match how {
            Some(Disk::Full) => "full",
            Some(Disk::NoRename) => "no-rename",
            None => {
                return match fs::remove_file(&self.flag) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
                    _ => Ok(()),
                };
            }
        };
        Ok(fs::write(&self.flag, word)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_no_room_and_no_rename_only_where_and_when_it_is_told_to() -> Result<()> {
        let name = format!("tidemark-failing-disk-{}", uuid::Uuid::new_v4().simple());
        let directory = std::env::temp_dir().join(name);
        let under = directory.join("data");
        fs::create_dir_all(&under)?;
        fs::write(under.join("a"), "x")?;
        let disk = FailingDisk::new(&directory, &under)?;
        let run = |script: String| -> Result<bool> {
            let mut python = Command::new("python3");
            python.args(["-c", &format!("import os; {script}")]).envs(disk.environment());
            Ok(python.output()?.status.success())
        };
        let room = |path: &Path| format!("assert os.statvfs('{}').f_bavail > 0", path.display());
        let rename = |from: &str, to: &str| {
            format!("os.rename('{}', '{}')", under.join(from).display(), under.join(to).display())
        };
        assert!(run(room(&under))?);
        disk.set(Some(Disk::Full))?;
        assert!(!run(room(&under))?, "a full disk has no room");
        assert!(run(room(&directory))?);
        assert!(run(rename("a", "b"))?);
        disk.set(Some(Disk::NoRename))?;
        assert!(run(room(&under))?);
        assert!(!run(rename("b", "c"))?, "nothing can be renamed");
        disk.set(None)?;
        assert!(run(rename("b", "c"))?);
        fs::remove_dir_all(&directory)?;
        Ok(())
    }
}
