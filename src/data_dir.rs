//! The data folder of `meridian up`: one process at a time, and where everything in it lies.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::{endpoints, failure::Failure};

/// Where everything is kept when nobody says where.
pub(crate) const DATA_DIR_DEFAULT: &str = "./meridian-data";

/// Held by the process that owns the folder; the kernel lets go of it when the process ends, however it ends.
const LOCK_FILE: &str = "meridian.lock";

/// Longer than it takes to look whether a folder has an owner.
const GLANCE_MAX: Duration = Duration::from_millis(500);

/// Whether a process owns this folder now.
pub(crate) fn is_claimed(path: &Path) -> bool {
    let lock = File::open(path.join(LOCK_FILE));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// A data folder that is ours until this is dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Takes the folder over if it exists, and removes the promise of readiness that a killed process left in it.
    ///
    /// # Errors
    /// As [`Self::claim`].
    pub(crate) fn claim_existing(path: &Path) -> Result<Option<Self>, Failure> {
        if path.is_dir() {
            Self::claim(path).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Takes the folder over; creates it if need be.
    ///
    /// # Errors
    /// When another process has it, or it cannot be written.
    pub(crate) fn claim(path: &Path) -> Result<Self, Failure> {
        let unusable = |error: io::Error| {
            let path = path.display();
            Failure::runtime(format!(
                "cannot use the data folder `{path}`: {error}; choose another one with `--data-dir`"
            ))
        };
        fs::create_dir_all(path).map_err(unusable)?;
        // Absolute, so that nothing depends on the working folder from here on.
        let path = fs::canonicalize(path).map_err(unusable)?;
        let lock = File::options()
            .create(true)
            .append(true)
            .open(path.join(LOCK_FILE))
            .map_err(unusable)?;
        // Perhaps somebody only looks whether anybody is here.
        let deadline = Instant::now() + GLANCE_MAX;
        while lock.try_lock().is_err() && Instant::now() < deadline {
            thread::sleep(GLANCE_MAX / 20);
        }
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let path = path.display();
                return Err(Failure::runtime(format!(
                    "the data folder `{path}` is in use by another process: stop that one, or choose another folder with `--data-dir`"
                )));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        match fs::remove_file(path.join(endpoints::FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(error)),
            Ok(()) | Err(_) => {}
        }
        Ok(Self { path, _lock: lock })
    }

    /// The folder itself, where the ClickHouse engine makes its own.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the embedded log lies.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Where readiness is promised.
    pub(crate) fn endpoints(&self) -> PathBuf {
        self.path.join(endpoints::FILE)
    }

    /// Where processors keep their state, as a URL.
    pub(crate) fn checkpoints_url(&self) -> String {
        checkpoints_url(&self.path)
    }
}

/// Where processors keep their state below a data folder, as a URL.
pub(crate) fn checkpoints_url(data_dir: &Path) -> String {
    format!("file:{}", data_dir.join("checkpoints").display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_at_a_time() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("new");
        assert!(DataDir::claim_existing(&folder).unwrap().is_none());
        assert!(!folder.exists(), "looking creates nothing");
        let owner = DataDir::claim(&folder).unwrap();
        let refusal = DataDir::claim(&folder).unwrap_err().to_string();
        assert!(
            refusal.contains("in use by another process") && refusal.contains("--data-dir"),
            "{refusal}"
        );
        assert!(is_claimed(&folder));
        drop(owner);
        assert!(!is_claimed(&folder));
        assert!(DataDir::claim_existing(&folder).unwrap().is_some());
    }

    #[test]
    fn a_promise_of_a_killed_process_is_removed() {
        let scratch = tempfile::tempdir().unwrap();
        let stale = scratch.path().join(endpoints::FILE);
        fs::write(&stale, "{}").unwrap();
        let _owner = DataDir::claim_existing(scratch.path()).unwrap();
        assert!(!stale.exists());
    }
}
