//! Counts, for each level, the snapshots that were written and their bytes, and what there was to show in the end.

use std::collections::HashSet;

use processors::rollup::level::Level;
use schemas::rows::{ListColumn, RollupRows, Rows, TextColumn};

/// Metric, bucket, cell.
type Cell = (Vec<u8>, u32, u64);

#[derive(Default)]
struct Counts {
    rows: u64,
    bytes: u64,
    /// What FINAL keeps: with partition and generation.
    kept: HashSet<(Cell, u16, u64)>,
    cells: HashSet<Cell>,
}

/// All levels, in the order of the configuration.
pub(crate) struct Levels {
    levels: Vec<(Level, Counts)>,
    pub(crate) measurements: u64,
}

impl Levels {
    pub(crate) fn new(levels: &[Level]) -> Self {
        Self {
            levels: levels.iter().map(|level| (*level, Counts::default())).collect(),
            measurements: 0,
        }
    }

    /// Adds the rows of one flush.
    pub(crate) fn count(&mut self, rows: &Rows) {
        self.measurements += rows.measurements.ts_ms.len() as u64;
        let rollups = &rows.rollups;
        let metrics = rollups.metric.iter().map(<[u8]>::to_vec);
        for (index, metric) in metrics.enumerate() {
            let (period, resolution) = (rollups.period_seconds[index], rollups.resolution[index]);
            let of_level =
                |(level, _): &&mut (Level, Counts)| (level.period_seconds, level.resolution) == (period, resolution);
            let (_, counts) = self.levels.iter_mut().find(of_level).expect("a row is of some level");
            let cell = (metric, rollups.bucket_seconds[index], rollups.cell[index]);
            counts.rows += 1;
            counts.bytes += row_bytes(rollups, index);
            counts
                .kept
                .insert((cell.clone(), rollups.partition[index], rollups.generation[index]));
            counts.cells.insert(cell);
        }
    }

    pub(crate) fn report(&self, minutes: u32, events: u64) {
        let per_measurement = |count: u64| count as f64 / self.measurements as f64;
        println!(
            "{events} events, {} measurements in {minutes} min of log time; rows for each measurement:",
            self.measurements
        );
        println!("level           flush   written   bytes   a row per event   kept by merges   a row per cell");
        let mut totals = (0, 0, 0, 0);
        for (level, counts) in &self.levels {
            let (kept, cells) = (counts.kept.len() as u64, counts.cells.len() as u64);
            totals = (
                totals.0 + counts.rows,
                totals.1 + counts.bytes,
                totals.2 + kept,
                totals.3 + cells,
            );
            let name = format!("{:>5} s, res {}", level.period_seconds, level.resolution);
            println!(
                "{name}  {:>4} s   {:>7.3}   {:>5.0}   {:>15.3}   {:>14.4}   {:>14.4}",
                level.flush_interval_ms / 1_000,
                per_measurement(counts.rows),
                per_measurement(counts.bytes),
                1.0,
                per_measurement(kept),
                per_measurement(cells)
            );
        }
        println!(
            "all                      {:>7.3}   {:>5.0}   {:>15.3}   {:>14.4}   {:>14.4}",
            per_measurement(totals.0),
            per_measurement(totals.1),
            self.levels.len() as f64,
            per_measurement(totals.2),
            per_measurement(totals.3)
        );
    }
}

/// What a snapshot takes in an INSERT, before compression.
fn row_bytes(rows: &RollupRows, index: usize) -> u64 {
    /// Period, resolution, bucket, cell, partition, generation, version, count, sum, min, max.
    const NUMBERS: usize = 4 + 1 + 4 + 8 + 2 + 8 + 8 + 8 + 3 * 8;
    /// Every text and list has an end.
    const ENDS: usize = 5 * 4;
    let bytes = NUMBERS
        + ENDS
        + text_bytes(&rows.tenant, index)
        + text_bytes(&rows.metric, index)
        + list_bytes(&rows.bin_keys, index)
        + list_bytes(&rows.bin_counts, index)
        + list_bytes(&rows.device_hashes, index);
    bytes as u64
}

fn text_bytes(texts: &TextColumn, index: usize) -> usize {
    length(&texts.ends, index)
}

fn list_bytes<T>(lists: &ListColumn<T>, index: usize) -> usize {
    length(&lists.ends, index) * size_of::<T>()
}

fn length(ends: &[i32], index: usize) -> usize {
    let start = index.checked_sub(1).map_or(0, |before| ends[before]);
    (ends[index] - start) as usize
}
