//! Ranges of what can be configured, where the crates that use the values do not name them themselves.

use std::{ops::RangeInclusive, time::Duration};

/// Longest drain at a shutdown: whoever started the process ends it by force at about this time.
pub(super) const DRAIN: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(300);

/// A clock further ahead than a day is wrong, however patient one is.
pub(super) const FUTURE_SKEW: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(86_400);

/// Messages on their way for each connection: memory for their bookkeeping is some 256 bytes each.
pub(super) const WINDOW_MESSAGES: RangeInclusive<u64> = 1..=1_000_000;

/// Bytes on their way for each connection.
pub(super) const WINDOW_BYTES: RangeInclusive<u64> = (256 << 10)..=(8 << 30);

/// Ages of what is kept: from a minute (tests) to what anybody keeps.
pub(super) const AGE: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(100 * 366 * 86_400);

/// Ages of what is kept in memory: a week would already be long, a year is a slip.
pub(super) const MEMORY_AGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(366 * 86_400);

/// Entries kept in memory for each partition: at some 400 bytes each the upper end is 40 GB.
pub(super) const MEMORY_COUNT: RangeInclusive<u64> = 16..=100_000_000;

/// Copies of a topic.
pub(super) const REPLICATION: RangeInclusive<u64> = 1..=100;

/// Lateness taken off the watermark.
pub(super) const LATENESS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(86_400);

/// Bytes of the embedded log: below, the store's own files are larger than what they hold.
pub(super) const LOG_BYTES: RangeInclusive<u64> = (256 << 20)..=(1 << 50);

/// Free space left on the disk: below, the store may fail for good when the disk fills up.
pub(super) const DISK_FREE_BYTES: RangeInclusive<u64> = (256 << 20)..=(1 << 50);

/// Wait for company in the embedded log: more only delays acknowledgements.
pub(super) const LOG_LINGER: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(1);

/// Sessions at brokers: what MQTT can express in seconds.
pub(super) const SESSION_EXPIRY: RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(u32::MAX as u64 - 1);

/// Requests in a second, at once, or connections: more than any client needs, and a slip is no more than that.
pub(super) const REQUESTS: RangeInclusive<u64> = 1..=1_000_000;
