//! Every bound of this crate, with its reason. Never a number for one user's deployment: those are configuration.

use std::time::Duration;

/// Bytes of keys, values and headers in one [`crate::RecordBatch`]: large enough that the cost of handing a batch over
/// vanishes per record, small enough that a batch of a slow reader is no burden.
pub const BATCH_BYTES_MAX: usize = 1 << 20;

/// Records in one [`crate::RecordBatch`]: small records reach this before the byte bound, and a reader that handles a
/// batch in one go must not hold its thread for longer than a few milliseconds.
pub const BATCH_RECORDS_MAX: usize = 8192;

/// How long a group waits for a member to let revoked partitions go. Shorter than [`SESSION_TIMEOUT`], so that a slow
/// member loses the partitions it was asked for and not its whole membership.
pub const REVOCATION_WAIT: Duration = Duration::from_secs(10);

/// After this long without a sign of life a member counts as dead and others take over: the pause that the kill of a
/// processor costs. Brokers refuse less than 6 s by default, and a busy machine may well be silent for a few.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(15);

/// Partitions of one topic: the partition number travels as `u16`, and more on one node only cost memory.
pub const PARTITIONS_MAX: u16 = 4096;

/// Bytes of one record by default: an event is at most 256 KiB on the way in, and a dead letter wraps it with headers.
pub const MESSAGE_BYTES_MAX: u32 = 1 << 20;

const _: () = assert!(
    REVOCATION_WAIT.as_secs() < SESSION_TIMEOUT.as_secs(),
    "a member that waits out a revocation must still be alive to its group"
);
const _: () = assert!(
    BATCH_BYTES_MAX >= MESSAGE_BYTES_MAX as usize,
    "every record fits into a batch"
);
