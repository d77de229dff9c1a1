//! Rules of the product that can be broken one at a time, to see whether the simulation notices. Only there with the feature
//! `sabotage`, which no product is built with, and only for the thread that asks for it.

use std::cell::Cell;

use tokio::time::Instant;

/// A rule, named by what holds while it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A message is acknowledged after it was stored, not when it is received.
    AcknowledgeStored,
    /// A message is acknowledged when the log has confirmed it, not when it was sent there.
    AcknowledgeConfirmed,
    /// An acknowledgement goes to the connection that its message came on.
    AcknowledgeOnOwnConnection,
    /// Rows are inserted before the checkpoint that follows them is written.
    InsertBeforeCheckpoint,
    /// Accumulators are evicted by the log clock.
    EvictByLogClock,
    /// No row of a record beyond the reach of a checkpoint is written before the next one.
    ReachBoundsRows,
    /// A checkpoint brings the generation of every accumulator back.
    GenerationIsRestored,
    /// A later snapshot has a higher version.
    VersionRises,
    /// A snapshot has all of its accumulator, not what came since the last one.
    SnapshotsAreAbsolute,
    /// A checkpoint brings back which events were counted.
    IdentitiesAreRestored,
    /// A level is said to be whole only when all of it was collected.
    WholeIsCollected,
}

impl Rule {
    /// All of them, in the order of an event's path.
    pub const ALL: [Self; 11] = [
        Self::AcknowledgeStored,
        Self::AcknowledgeConfirmed,
        Self::AcknowledgeOnOwnConnection,
        Self::InsertBeforeCheckpoint,
        Self::EvictByLogClock,
        Self::ReachBoundsRows,
        Self::GenerationIsRestored,
        Self::VersionRises,
        Self::SnapshotsAreAbsolute,
        Self::IdentitiesAreRestored,
        Self::WholeIsCollected,
    ];

    /// True when this thread breaks it.
    #[must_use]
    pub fn is_broken(self) -> bool {
        BROKEN.get() == Some(self)
    }
}

thread_local! {
    static BROKEN: Cell<Option<Rule>> = const { Cell::new(None) };
    static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// From now on this thread breaks this rule, or none.
pub fn break_rule(rule: Option<Rule>) {
    BROKEN.set(rule);
    SINCE.set(None);
}

/// What a task that looks at the wall clock takes for the log clock.
#[must_use]
pub fn wall_clock_or(log_clock_ms: i64) -> i64 {
    if !Rule::EvictByLogClock.is_broken() {
        return log_clock_ms;
    }
    let since = SINCE.get().unwrap_or_else(Instant::now);
    SINCE.set(Some(since));
    // A fixed moment of the simulation and what has passed since; the same scale as the log clock.
    log_clock_ms.saturating_add(i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX))
}
