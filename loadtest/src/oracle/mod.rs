//! The oracles: independent answers to what must be stored, compared with what is.
//!
//! One works out every measurement and every rollup cell from what was published and acknowledged; the other lets
//! ClickHouse recount its own measurements with its own H3 functions. Neither may use the code that it checks.

mod cells;
mod dead_letters;
mod drain;
mod event;
mod rows;
mod store;
mod verdict;

#[cfg(test)]
mod tests;

pub use cells::{CellKey, ExpectedCell, Level, QUANTILES, ShownCell, compare_cells, expected_cells};
pub use dead_letters::{SentPoison, StoredLetter, compare_dead_letters};
pub use drain::{DrainGoal, drain};
pub use event::{Identity, Promise, SentEvent};
pub use rows::{Expectation, Names, Row, RowFindings, compare_rows};
pub use store::{ClickHouseAddress, Store};
pub use verdict::{DeadLetterCounts, Difference, Latencies, LevelCounts, PublishedCounts, RowCounts, Verdict};

use crate::LoadtestError;

/// Compares all levels of the rollups with the rows that should be stored, in both ways.
///
/// # Errors
/// When ClickHouse does not answer.
pub async fn check_levels(
    store: &Store,
    expected: &[Row],
    names: &mut Names,
    verdict: &mut Verdict,
) -> Result<(), LoadtestError> {
    let measurement_counts = store.level_counts().await?;
    for level in Level::ALL {
        let wanted = expected_cells(expected, level);
        let shown = store.cells(level, names).await?;
        let mut differences = Vec::new();
        compare_cells(level, &wanted, &shown, names, &mut |difference| {
            differences.push(difference);
        });
        let (recount_differing, recount_differences) = store.recount(level).await?;
        verdict.levels.push(LevelCounts {
            cells_expected: wanted.len() as u64,
            cells_stored: shown.len() as u64,
            differ_from_published: differences.len() as u64,
            differ_from_recount: recount_differing,
            measurements: measurement_counts
                .get(&(level.period_seconds, level.resolution))
                .copied()
                .unwrap_or(0),
            ..LevelCounts::of(level)
        });
        verdict.add_differences(differences);
        verdict.add_differences(recount_differences);
    }
    Ok(())
}
