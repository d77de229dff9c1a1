//! The broker's folder: who owns it, and which segments lie in it.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{
    record::{HEADER_BYTES, Record},
    recovery::{Recovery, for_each_record},
};
use crate::{EmbeddedError, limits};

const LOCK_FILE: &str = "meridian.lock";
const SEGMENT_SUFFIX: &str = ".log";

/// One file of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Counts up; names the file.
    pub(crate) number: u64,
    /// Offset of its first message.
    pub(crate) base_offset: u64,
    pub(crate) bytes: u64,
}

/// The folder, ours for as long as this lives. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: Arc<Path>,
    segments: Arc<Mutex<Vec<Segment>>>,
    _lock: Arc<File>,
}

impl Folder {
    /// Takes the folder over; creates it if need be.
    ///
    /// # Errors
    /// When another process has it, or it cannot be used.
    pub(crate) fn open(path: &Path) -> Result<Self, EmbeddedError> {
        let unusable = |source| EmbeddedError::Storage {
            path: path.to_owned(),
            source,
        };
        fs::create_dir_all(path).map_err(unusable)?;
        let lock = File::options().create(true).append(true).open(path.join(LOCK_FILE));
        let lock = lock.map_err(unusable)?;
        wait_for_lock(&lock).map_err(|error| match error {
            TryLockError::WouldBlock => EmbeddedError::DataDirInUse { path: path.to_owned() },
            TryLockError::Error(error) => unusable(error),
        })?;
        let folder = Self {
            path: path.into(),
            segments: Arc::default(),
            _lock: Arc::new(lock),
        };
        folder.find_segments().map_err(unusable)?;
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where retained messages lie.
    pub(crate) fn retained(&self) -> PathBuf {
        self.path.join("retained.log")
    }

    pub(crate) fn segment_path(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:016}{SEGMENT_SUFFIX}"))
    }

    /// The segments, oldest first.
    pub(crate) fn segments(&self) -> std::sync::MutexGuard<'_, Vec<Segment>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of all segments.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.segments().iter().map(|segment| segment.bytes).sum()
    }

    /// Makes the names of new files survive a power cut.
    pub(crate) fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn find_segments(&self) -> io::Result<()> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(SEGMENT_SUFFIX));
            let Some(number) = number.and_then(|digits| digits.parse().ok()) else {
                continue;
            };
            let bytes = entry.metadata()?.len();
            match self.read_base(number)? {
                Some(base_offset) => found.push(Segment {
                    number,
                    base_offset,
                    bytes,
                }),
                None => self.discard(number, "it has no beginning")?,
            }
        }
        found.sort_unstable_by_key(|segment| segment.number);
        *self.segments() = found;
        Ok(())
    }

    fn read_base(&self, number: u64) -> io::Result<Option<u64>> {
        let mut head = [0; HEADER_BYTES + 17];
        let file = File::open(self.segment_path(number))?;
        match file.read_exact_at(&mut head, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        Ok(match Record::read(&head) {
            Ok(Some((Record::Head { next_offset, .. }, _))) => Some(next_offset),
            Ok(_) | Err(_) => None,
        })
    }

    /// A segment is created and begun in one go: one that is not complete at its start was never relied on.
    fn discard(&self, number: u64, why: &str) -> io::Result<()> {
        let path = self.segment_path(number);
        tracing::warn!(path = %path.display(), %why, "removed a file of the MQTT broker that a crash left unfinished");
        fs::remove_file(path)
    }

    /// Reads the state as of the last complete record, and cuts off what follows it.
    ///
    /// # Errors
    /// When a file cannot be read or cut.
    pub(crate) fn recover(&self) -> io::Result<Recovery> {
        loop {
            let Some(last) = self.segments().last().copied() else {
                return Ok(Recovery::default());
            };
            let path = self.segment_path(last.number);
            let bytes = fs::read(&path)?;
            let (recovery, end) = Recovery::read(&bytes);
            if !recovery.has_head() {
                self.discard(last.number, "the state at its start is incomplete")?;
                self.segments().pop();
                continue;
            }
            if end < bytes.len() {
                let cut_bytes = bytes.len() - end;
                tracing::warn!(path = %path.display(), cut_bytes, "cut off what a crash left unfinished at the end of the MQTT broker's log");
                let file = File::options().write(true).open(&path)?;
                file.set_len(end as u64)?;
                file.sync_all()?;
                if let Some(last) = self.segments().last_mut() {
                    last.bytes = end as u64;
                }
            }
            return Ok(recovery);
        }
    }

    /// Reads the file of retained messages, up to its last complete record.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn read_retained(&self) -> io::Result<Vec<u8>> {
        let mut bytes = match fs::read(self.retained()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        let end = for_each_record(&bytes, |_| {});
        bytes.truncate(end);
        Ok(bytes)
    }
}

/// A child that its parent has just forked holds the parent's locks until it runs a program of its own, so a lock that
/// is not free at once is asked for again, for a moment.
fn wait_for_lock(lock: &File) -> Result<(), TryLockError> {
    let until = Instant::now() + limits::MQTT_LOCK_WAIT_MAX;
    loop {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(Duration::from_millis(10)),
            outcome => return outcome,
        }
    }
}
