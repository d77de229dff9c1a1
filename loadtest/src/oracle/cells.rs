//! Rollup cells worked out from measurements, in the most literal way: group, sort, look.

use h3o::{CellIndex, Resolution};

use super::{
    rows::{Names, Row},
    verdict::Difference,
};
use crate::limits::{DEVICES_EXACT_MAX, DEVICES_TOLERANCE, QUANTILE_TOLERANCE, SUM_TOLERANCE};

/// One level of the rollups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Length of a bucket in seconds.
    pub period_seconds: u32,
    /// H3 resolution.
    pub resolution: u8,
}

impl Level {
    /// All levels that users are promised.
    pub const ALL: [Self; 9] = {
        let (periods, resolutions) = ([60, 3_600, 86_400], [9, 7, 5]);
        let mut levels = [Self {
            period_seconds: 0,
            resolution: 0,
        }; 9];
        let mut index = 0;
        while index < levels.len() {
            levels[index] = Self {
                period_seconds: periods[index / 3],
                resolution: resolutions[index % 3],
            };
            index += 1;
        }
        levels
    };

    /// For messages.
    #[must_use]
    pub fn name(self) -> String {
        format!("period {} s, res {}", self.period_seconds, self.resolution)
    }
}

/// Which cell: metric, start of the bucket in Unix seconds, H3 cell.
pub type CellKey = (u32, u32, u64);

/// A cell as `rollups` shows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShownCell {
    /// Which one.
    pub key: CellKey,
    /// Number of measurements.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// The mean.
    pub avg: f64,
    /// At the shares of [`QUANTILES`].
    pub quantiles: [f64; 3],
    /// Distinct devices.
    pub devices: u64,
}

/// Shares and names of the quantiles.
pub const QUANTILES: [(f64, &str); 3] = [(0.5, "p50"), (0.9, "p90"), (0.99, "p99")];

/// A cell as it must be.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedCell {
    /// Which one.
    pub key: CellKey,
    /// All values, rising.
    pub values: Vec<f64>,
    /// Distinct devices.
    pub devices: u64,
}

/// The cells of a level, in the order of their keys.
#[must_use]
pub fn expected_cells(rows: &[Row], level: Level) -> Vec<ExpectedCell> {
    let mut keyed: Vec<(CellKey, u32, f64)> = rows
        .iter()
        .map(|row| (key_of(row, level), row.device, row.value()))
        .collect();
    keyed.sort_unstable_by_key(|(key, device, _)| (*key, *device));
    let groups = keyed.chunk_by(|left, right| left.0 == right.0);
    let cell = |group: &[(CellKey, u32, f64)]| {
        let mut values: Vec<f64> = group.iter().map(|(_, _, value)| *value).collect();
        values.sort_by(f64::total_cmp);
        ExpectedCell {
            key: group[0].0,
            values,
            devices: group.chunk_by(|left, right| left.1 == right.1).count() as u64,
        }
    };
    groups.map(cell).collect()
}

fn key_of(row: &Row, level: Level) -> CellKey {
    let seconds = row.ts_ms.div_euclid(1000);
    let bucket = seconds - seconds.rem_euclid(i64::from(level.period_seconds));
    let bucket = u32::try_from(bucket).expect("event times lie between 1970 and 2106");
    (row.metric, bucket, parent(row.cell, level.resolution))
}

fn parent(cell: u64, resolution: u8) -> u64 {
    if cell == 0 {
        return 0;
    }
    let index = CellIndex::try_from(cell).expect("rows hold valid cells or 0");
    let resolution = Resolution::try_from(resolution).expect("levels have valid resolutions");
    index.parent(resolution).map_or(0, u64::from)
}

/// Compares the cells of a level. Both must be in the order of their keys. `report` gets every difference.
pub fn compare_cells(
    level: Level,
    expected: &[ExpectedCell],
    shown: &[ShownCell],
    names: &Names,
    report: &mut impl FnMut(Difference),
) {
    let describe = |key: CellKey| {
        let (metric, bucket, cell) = key;
        format!(
            "{}, metric `{}`, bucket {bucket}, cell {cell:x}",
            level.name(),
            names.text(metric)
        )
    };
    let (mut expected, mut shown) = (expected.iter().peekable(), shown.iter().peekable());
    loop {
        let order = match (expected.peek(), shown.peek()) {
            (None, None) => return,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(wanted), Some(found)) => wanted.key.cmp(&found.key),
        };
        let wanted = if order.is_le() { expected.next() } else { None };
        let found = if order.is_ge() { shown.next() } else { None };
        match (wanted, found) {
            (Some(wanted), Some(found)) => {
                if let Some(fault) = fault_of(wanted, found) {
                    report(Difference::new("cell", describe(wanted.key), fault));
                }
            }
            (Some(wanted), None) => {
                let detail = format!("missing, should count {}", wanted.values.len());
                report(Difference::new("cell", describe(wanted.key), detail));
            }
            (None, Some(found)) => {
                let detail = format!("should not exist, counts {}", found.count);
                report(Difference::new("cell", describe(found.key), detail));
            }
            (None, None) => return,
        }
    }
}

/// The first thing that is wrong with a cell.
fn fault_of(expected: &ExpectedCell, shown: &ShownCell) -> Option<String> {
    let values = &expected.values;
    let count = values.len() as u64;
    let differs = |name: &str, wanted: f64, found: f64| Some(format!("{name} is {found}, should be {wanted}"));
    if shown.count != count {
        return Some(format!("count is {}, should be {count}", shown.count));
    }
    let sum: f64 = values.iter().sum();
    let magnitude: f64 = values.iter().map(|value| value.abs()).sum();
    // Written so that NaN is a fault.
    let is_near = |found: f64, wanted: f64, allowance: f64| (found - wanted).abs() <= allowance;
    if !is_near(shown.sum, sum, magnitude * SUM_TOLERANCE) {
        return differs("sum", sum, shown.sum);
    }
    let (min, max) = (*values.first()?, *values.last()?);
    if shown.min != min {
        return differs("min", min, shown.min);
    }
    if shown.max != max {
        return differs("max", max, shown.max);
    }
    let mean = sum / count as f64;
    if !is_near(shown.avg, mean, magnitude / count as f64 * SUM_TOLERANCE) {
        return differs("avg", mean, shown.avg);
    }
    for ((share, name), found) in QUANTILES.into_iter().zip(shown.quantiles) {
        let (low, high) = quantile_bounds(values, share);
        if !(low..=high).contains(&found) {
            return Some(format!("{name} is {found}, should be from {low} to {high}"));
        }
    }
    let allowance = if expected.devices <= DEVICES_EXACT_MAX {
        0.0
    } else {
        expected.devices as f64 * DEVICES_TOLERANCE
    };
    if !is_near(shown.devices as f64, expected.devices as f64, allowance) {
        return differs("devices", expected.devices as f64, shown.devices as f64);
    }
    None
}

/// Any value between the two neighbours of the exact rank will do, each with the promised relative error.
fn quantile_bounds(values: &[f64], share: f64) -> (f64, f64) {
    let rank = share * (values.len() - 1) as f64;
    let (below, above) = (values[rank.floor() as usize], values[rank.ceil() as usize]);
    // A hair more than promised, for the last digits of the bins' own arithmetic.
    let tolerance = QUANTILE_TOLERANCE + SUM_TOLERANCE;
    (below - below.abs() * tolerance, above + above.abs() * tolerance)
}
