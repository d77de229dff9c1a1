//! Every bound of this crate, with its reason.

use std::time::Duration;

/// Open requests at shutdown get this long: pages are made in memory.
pub const DRAIN_MAX: Duration = Duration::from_secs(1);

/// How often the start page asks again: it shows health, and a person looks at it.
pub const REFRESH_SECONDS: u32 = 5;

/// Taps at once: people looking on. Each reads the log for itself.
pub const TAPS_MAX: usize = 8;
