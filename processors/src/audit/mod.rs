//! The audit: whether what the tasks say they did is what ClickHouse holds, exactly and while the pipeline runs.
//!
//! A row of the ledger is written only after everything it counts. So the ledger is read first; then whatever lies below
//! its positions must be in the other tables, and what lies beyond is not judged. Must never write anything.
//!
//! Three comparisons, from cheap to thorough: measurements and dead letters with the ledger, chunk by chunk; the sum of
//! every bucket of every rollup level with the measurements; and, where a bucket is still being filled or when asked to,
//! cell by cell.

mod compare;
mod report;
mod store;

pub use report::{Books, CellDifference, Hole, HoleKind, LevelState, Report, Verification, VerifiedLevel};
pub(crate) use store::offsets_sql;
pub use store::{AuditError, AuditStore, Window};

use std::collections::BTreeMap;

use schemas::record::{DEAD_LETTERS_TOPIC, EVENTS_TOPIC};

use self::store::{LedgerRow, Positions};

/// What is known of the log and of the processors beside ClickHouse.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Offset by topic and partition from which on nothing can have been processed: the end of the log.
    pub ends: BTreeMap<(String, u16), u64>,
    /// Oldest offset in the log, by topic and partition.
    pub lows: BTreeMap<(String, u16), u64>,
    /// Records that tasks have and that are not inserted yet.
    pub buffered: BTreeMap<(String, u16), u64>,
    /// `ends` has every partition that there is: rows of any other partition are a hole.
    pub is_complete: bool,
}

/// Compares the ledger with all tables. `known` is asked after the tables were read for what lies beyond the ledger: what
/// they hold must have been handed to a task by then.
///
/// # Errors
/// When ClickHouse does not answer.
pub async fn audit(store: &AuditStore, known: impl AsyncFnOnce() -> Known) -> Result<Report, AuditError> {
    let ledger = store.ledger().await?;
    let events = Positions::of(&ledger, EVENTS_TOPIC);
    let letters = Positions::of(&ledger, DEAD_LETTERS_TOPIC);
    let horizons = store.horizons().await?;
    let mut report = Report::new(&ledger);
    compare::continuity(&ledger, &mut report);

    let counted = store.measurements(&events).await?;
    let rollup_ends = store.rollup_ends().await?;
    let known = known().await;
    compare::measurements(&ledger, &counted, horizons.measurements_ms(), &mut report);
    compare::beyond(&events, &counted, &rollup_ends, &known, &mut report);
    report.show(&known);

    let found = store.dead_letters(&events, &letters).await?;
    compare::dead_letters(&ledger, &found, horizons.dead_letters_expire, &mut report);
    rollups(store, &ledger, &events, horizons.buckets_seconds(), &mut report).await?;
    Ok(report)
}

/// Where the measurements are not those that the tasks made: what a rebuild from them would make permanent.
///
/// # Errors
/// When ClickHouse does not answer.
pub async fn measurement_holes(store: &AuditStore) -> Result<Vec<Hole>, AuditError> {
    let ledger = store.ledger().await?;
    let counted = store.measurements(&Positions::of(&ledger, EVENTS_TOPIC)).await?;
    let mut report = Report::new(&ledger);
    compare::measurements(
        &ledger,
        &counted,
        store.horizons().await?.measurements_ms(),
        &mut report,
    );
    Ok(report.holes)
}

/// Every level against the measurements.
async fn rollups(
    store: &AuditStore,
    ledger: &[LedgerRow],
    positions: &Positions,
    horizon_seconds: u64,
    report: &mut Report,
) -> Result<(), AuditError> {
    let levels = compare::levels(ledger);
    let mut periods: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    for (period, resolution) in levels.keys() {
        periods.entry(*period).or_default().push(*resolution);
    }
    for (period, resolutions) in periods {
        let differing = store.buckets(positions, period, &resolutions, horizon_seconds).await?;
        compare::notice_limit(period, &differing, report);
        for resolution in resolutions {
            let level = (period, resolution);
            let mut state = LevelState::new(level);
            let hot = compare::buckets(level, &levels[&level], &differing, &mut state, &mut report.holes);
            if !hot.is_empty() {
                let window = Window::Buckets(hot);
                let (count, cells) = store.cells(positions, level, &window).await?;
                compare::cells(&levels[&level], count, &cells, &mut state, &mut report.holes);
            }
            report.levels.push(state);
        }
    }
    Ok(())
}

/// Recounts the rollups of a range of time from the measurements, cell by cell. Whole buckets are compared: the range is
/// widened to them.
///
/// # Errors
/// When ClickHouse does not answer.
pub async fn verify(store: &AuditStore, from_seconds: u64, to_seconds: u64) -> Result<Verification, AuditError> {
    let ledger = store.ledger().await?;
    let positions = Positions::of(&ledger, EVENTS_TOPIC);
    let horizon = store.horizons().await?.buckets_seconds();
    let mut verification = Verification::default();
    for (period, resolution) in compare::levels(&ledger).into_keys() {
        let window = Window::range(from_seconds, to_seconds, period).not_before(horizon);
        let (count, cells) = store.cells(&positions, (period, resolution), &window).await?;
        verification.levels.push(VerifiedLevel {
            period,
            resolution,
            snapshots: store.snapshot_count((period, resolution), &window).await?,
            differing: count,
        });
        let cells = cells.into_iter().map(|cell| cell.difference((period, resolution)));
        verification.differences.extend(cells);
    }
    Ok(verification)
}
