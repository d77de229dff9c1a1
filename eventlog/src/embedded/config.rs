//! What users may say about the embedded log.

use std::path::PathBuf;

/// Where the embedded log lies and how much it keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedConfig {
    /// Folder; created if absent, used by one process at a time.
    pub data_dir: PathBuf,
    /// Bytes of records kept over all topics. The oldest records go when this is passed, read or not. The folder
    /// takes some 350 MiB more: the journal, and removed records whose space is won back in large pieces.
    pub retention_bytes_max: u64,
    /// How long the first append of a group waits for company before all are made durable together.
    pub linger_ms: u64,
    /// Appends wait while the disk has less than this free, so that what is accepted can be finished.
    pub disk_free_bytes_min: u64,
}

impl EmbeddedConfig {
    /// A log in this folder that keeps up to 8 GiB: a day and a half at 300 events a second of 200 bytes, and no
    /// surprise on a laptop.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            retention_bytes_max: 8 << 30,
            linger_ms: 2,
            disk_free_bytes_min: super::limits::DISK_FREE_BYTES_MIN,
        }
    }
}
