//! Bounds of the embedded log, with their reasons.

use std::time::Duration;

/// Bytes in one chunk. A chunk is read and decoded whole, so a reader in its middle pays for at most this.
pub(super) const CHUNK_BYTES_MAX: usize = 256 << 10;

/// Bytes made durable together: what a common disk writes within some ten milliseconds. More would only add delay.
pub(super) const GROUP_BYTES_MAX: usize = 4 << 20;

/// Bytes that end the wait for company: from here on a larger group wins little.
pub(super) const LINGER_BYTES: usize = 512 << 10;

/// Batches of delivery reports that wait for their reader; then its messages stay in the queue, which fills up.
pub(super) const DELIVERY_BATCHES_MAX: usize = 64;

/// How soon a producer whose reports were not read is looked at again.
pub(super) const DELIVERY_RETRY: Duration = Duration::from_millis(5);

/// How often the writer looks again while the disk is full.
pub(super) const DISK_RETRY: Duration = Duration::from_millis(200);

/// Bytes between two looks at the free space of the disk; far less than the reserve.
pub(super) const DISK_CHECK_BYTES: u64 = 16 << 20;

/// Free space that appends leave: the store needs room for a full journal, and for moving records from one of its
/// files to the next, or it fails for good.
pub(super) const DISK_FREE_BYTES_MIN: u64 = 256 << 20;

/// The store's journal. A crash replays up to this, within a second or two.
pub(super) const JOURNAL_BYTES_MAX: u64 = 128 << 20;

/// The store's write buffer of records.
pub(super) const MEMTABLE_BYTES_MAX: u64 = 32 << 20;

/// Files of records in the store: space of removed records is won back file by file.
pub(super) const RECORD_FILE_BYTES: u64 = 32 << 20;

/// The store's read cache; readers at the end of the log find records in the write buffer.
pub(super) const CACHE_BYTES: u64 = 32 << 20;

/// Pause between two looks at what may be removed.
pub(super) const RETENTION_INTERVAL: Duration = Duration::from_secs(5);

/// Chunks removed in one step, so that neither memory nor the writer's turn at the journal is held for long.
pub(super) const REMOVE_CHUNKS_MAX: usize = 256;

/// How long opening waits for a former owner of the folder that is on its way out.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(3);

const _: () = assert!(
    DISK_CHECK_BYTES + 2 * GROUP_BYTES_MAX as u64 + JOURNAL_BYTES_MAX < DISK_FREE_BYTES_MIN,
    "the reserve outlasts what is written between two looks at the disk"
);
const _: () = assert!(
    LINGER_BYTES < GROUP_BYTES_MAX && CHUNK_BYTES_MAX < GROUP_BYTES_MAX,
    "groups hold chunks"
);
