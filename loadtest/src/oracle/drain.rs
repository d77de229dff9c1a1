//! Waiting until everything that was published has arrived, or nothing more arrives.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use platform::shutdown::Shutdown;
use tokio::time::Instant;

use super::{cells::Level, store::Store};
use crate::{LoadtestError, limits::DRAIN_POLL_INTERVAL, publisher::PublishError};

/// How much must have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainGoal {
    /// Measurements.
    pub rows: u64,
    /// New dead letters.
    pub dead_letters: u64,
}

/// What has arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Arrived {
    rows: u64,
    dead_letters: u64,
    levels: BTreeMap<(u32, u8), u64>,
}

impl Arrived {
    fn reaches(&self, goal: DrainGoal) -> bool {
        let level_is_full = |level: &Level| {
            let count = self.levels.get(&(level.period_seconds, level.resolution));
            count.copied().unwrap_or(0) >= goal.rows
        };
        self.rows >= goal.rows && self.dead_letters >= goal.dead_letters && Level::ALL.iter().all(level_is_full)
    }
}

/// Waits until the goal is reached, or until nothing has changed for `patience` (usually
/// [`crate::limits::DRAIN_STALL_MAX`]): what is missing then shows in the verdict. Returns how long it took.
///
/// # Errors
/// When ClickHouse does not answer for that long, or at shutdown.
pub async fn drain(
    store: &Store,
    goal: DrainGoal,
    known_letters: &HashSet<String>,
    patience: Duration,
    shutdown: &Shutdown,
) -> Result<Duration, LoadtestError> {
    let started = Instant::now();
    let mut last_change = started;
    let mut last = Arrived::default();
    loop {
        match look(store, known_letters).await {
            Ok(now) => {
                if now.reaches(goal) {
                    return Ok(started.elapsed());
                }
                if now != last {
                    (last, last_change) = (now, Instant::now());
                }
            }
            Err(error) if last_change.elapsed() >= patience => return Err(error),
            Err(error) => tracing::warn!(%error, "cannot look how far the pipeline is, will try again"),
        }
        if last_change.elapsed() >= patience {
            return Ok(started.elapsed());
        }
        tokio::select! {
            biased;
            () = shutdown.requested() => return Err(PublishError::Shutdown.into()),
            () = tokio::time::sleep(DRAIN_POLL_INTERVAL) => {}
        }
    }
}

async fn look(store: &Store, known_letters: &HashSet<String>) -> Result<Arrived, LoadtestError> {
    let rows = store.row_count().await?;
    let letters = store.dead_letter_ids().await?;
    Ok(Arrived {
        rows,
        dead_letters: letters.difference(known_letters).count() as u64,
        levels: store.level_counts().await?,
    })
}
