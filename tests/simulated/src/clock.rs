//! The clock of the simulation: the paused time of the runtime, and a wall clock that may be set.

use std::{
    sync::atomic::{AtomicI64, Ordering::Relaxed},
    time::Duration,
};

use platform::clock::Clock;
use tokio::time::Instant;

/// When every run begins, Unix milliseconds: in the middle of a minute, an hour and a day.
const START_MS: i64 = 1_732_212_345_678;

/// The only clock of a run.
pub(crate) struct SimulatedClock {
    started: Instant,
    skew_ms: AtomicI64,
}

impl SimulatedClock {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            skew_ms: AtomicI64::new(0),
        }
    }

    /// True time, which devices know and servers may not.
    pub(crate) fn true_ms(&self) -> i64 {
        START_MS + i64::try_from(self.started.elapsed().as_millis()).expect("runs are short")
    }

    /// The wall clock of the servers jumps: it is off by so much from now on.
    pub(crate) fn set_skew_ms(&self, skew_ms: i64) {
        self.skew_ms.store(skew_ms, Relaxed);
    }
}

impl Clock for SimulatedClock {
    fn wall_ms(&self) -> i64 {
        self.true_ms() + self.skew_ms.load(Relaxed)
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}
