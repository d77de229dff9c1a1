//! Every bound of this crate, with its reason.

use std::time::Duration;

/// How long after its end a bucket is kept, and told with its values: late events are mostly late by seconds. What comes
/// later is only told to have changed.
pub const RECENT_SECONDS: u32 = 120;

/// Snapshots held in process at most: 64 MiB, or ten times what the largest map shows.
pub const SNAPSHOTS_HELD_MAX: usize = 600_000;

/// Batches between a publisher and one who watches: some 16 flushes. Whoever is slower reads
/// ClickHouse again.
pub const NOTICES_WAITING_MAX: usize = 16;

/// Snapshots in one notice: larger batches are cut, so that no message grows beyond half a MiB.
pub const NOTICE_SNAPSHOTS_MAX: usize = 8_192;

/// Pause before a cache that did not answer is tried again.
pub const RETRY_PAUSE: Duration = Duration::from_millis(500);
