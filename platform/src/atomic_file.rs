//! Files whose presence is a promise: they appear complete or not at all, and go when their owner goes.
//!
//! Must never leave a half-written file under the final name, whatever crashes.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Why a file could not be put in place.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`: {source}; check that the folder exists and may be written", path.display())]
pub struct AtomicFileError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Replaces the file's content in one step: readers see all of the old content or all of the new one, and the new one
/// survives a power cut once this returns. Within a process a file has one writer at a time.
///
/// # Errors
/// When the folder is missing or cannot be written. The old content is then untouched.
pub fn write(path: &Path, content: &[u8]) -> Result<(), AtomicFileError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let scratch = scratch_path(path);
    let result = write_scratch(&scratch, content).and_then(|()| {
        fs::rename(&scratch, path).map_err(|source| AtomicFileError {
            action: "move a new file to",
            path: path.to_path_buf(),
            source,
        })
    });
    if result.is_err() {
        // The first error is the one to report; a scratch file that stays behind harms nobody.
        let _ = fs::remove_file(&scratch);
        return result;
    }
    // Without this the rename itself can be lost in a power cut.
    File::open(folder)
        .and_then(|opened| opened.sync_all())
        .map_err(|source| AtomicFileError {
            action: "make durable the folder",
            path: folder.to_path_buf(),
            source,
        })
}

/// A file that exists as long as this value does.
#[derive(Debug)]
#[must_use = "the file is removed when this is dropped"]
pub struct PublishedFile {
    path: PathBuf,
}

impl PublishedFile {
    /// Writes the file in one step and owns it from then on.
    ///
    /// # Errors
    /// As [`write()`].
    pub fn publish(path: impl Into<PathBuf>, content: &[u8]) -> Result<Self, AtomicFileError> {
        let path = path.into();
        write(&path, content)?;
        Ok(Self { path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PublishedFile {
    fn drop(&mut self) {
        match fs::remove_file(&self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "cannot remove published file");
            }
        }
    }
}

/// The scratch file lies in the same folder, since a rename does not cross file systems, and carries the process id,
/// so that two processes never write into the same one.
fn scratch_path(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}

fn write_scratch(scratch: &Path, content: &[u8]) -> Result<(), AtomicFileError> {
    let write_all = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(scratch)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write_all().map_err(|source| AtomicFileError {
        action: "write",
        path: scratch.to_path_buf(),
        source,
    })
}

#[cfg(test)]
mod tests;
