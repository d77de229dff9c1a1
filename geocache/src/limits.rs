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

/// Positions of devices in one notice, for the same reason.
pub const NOTICE_POSITIONS_MAX: usize = 8_192;

/// Batches waiting to be sent to the shared cache: a few flushes. More are dropped, since a cache that far behind is of no
/// use.
pub const BATCHES_WAITING_MAX: usize = 16;

/// How long the shared cache may take to be reached.
pub const CONNECT_MAX: Duration = Duration::from_secs(1);

/// How long the shared cache may take for one answer: the largest write takes it some 20 ms.
pub const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Pause before a shared cache that did not answer is tried again; what is published meanwhile is dropped.
pub const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// How often each publisher says how far it is, so that those who watch notice what they missed.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// A publisher that said nothing for this long is gone, or cut off and still writing to ClickHouse: what it changes shows
/// late by as much before anybody knows.
pub const PUBLISHER_SILENT_MAX: Duration = Duration::from_secs(4);

/// Publishers that are told apart: a hundred times as many processors as a large deployment has. With more nothing counts
/// as heard.
pub const PUBLISHERS_MAX: usize = 1_024;

/// How long a publisher that ends waits until it has said so: as long as one answer takes. Without it, those who watch
/// read ClickHouse until others have its partitions.
pub const LEAVE_MAX: Duration = Duration::from_secs(2);

/// How often one who watches sends a word to itself, and how long that may take: else the connection is dead.
pub const ECHO_INTERVAL: Duration = Duration::from_secs(1);
/// See [`ECHO_INTERVAL`].
pub const ECHO_MAX: Duration = Duration::from_secs(4);

const _: () = assert!(HEARTBEAT_INTERVAL.as_millis() * 2 < PUBLISHER_SILENT_MAX.as_millis());
const _: () = assert!(ECHO_INTERVAL.as_millis() * 2 < ECHO_MAX.as_millis());
