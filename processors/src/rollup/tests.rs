//! Rollups against a plain recount, with evictions, restarts and changed parameters in between.

use std::collections::BTreeMap;

use proptest::prelude::*;
use schemas::rows::RollupRows;

use super::{Measurement, RollupParameters, Rollups, accumulator::Origin, level::Level, wire::RollupsV1};
use crate::symbols::Symbols;

const ORIGIN: Origin = Origin {
    partition: 3,
    incarnation: 0,
};

fn parameters(linger_ms: i64, accumulators_max: usize) -> RollupParameters {
    let level = |period_seconds, resolution| Level {
        period_seconds,
        resolution,
        flush_interval_ms: 1_000,
    };
    let levels = [60, 3_600, 86_400]
        .into_iter()
        .flat_map(|period| [9, 7, 5].map(|res| level(period, res)))
        .collect();
    RollupParameters {
        levels,
        linger_ms,
        accumulators_max,
    }
}

fn cell(index: u8) -> u64 {
    if index == 0 {
        return 0;
    }
    let at = h3o::LatLng::new(52.5, 13.4 + f64::from(index) * 0.004).expect("a place");
    at.to_cell(h3o::Resolution::Nine).into()
}

/// Tenant, metric, period, resolution, bucket, cell.
type Cell = (String, String, u32, u8, u32, u64);
/// Count, sum, devices.
type Content = (u64, f64, u64);

/// What the view makes of the rows: the newest version of each generation, added up over generations.
fn view(rows: &RollupRows) -> BTreeMap<Cell, Content> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("names are text");
    let mut newest: BTreeMap<(Cell, u64), (u64, usize)> = BTreeMap::new();
    for (index, (tenant, metric)) in rows.tenant.iter().zip(rows.metric.iter()).enumerate() {
        let cell = (
            text(tenant),
            text(metric),
            rows.period_seconds[index],
            rows.resolution[index],
            rows.bucket_seconds[index],
            rows.cell[index],
        );
        let entry = newest.entry((cell, rows.generation[index])).or_default();
        if rows.version[index] >= entry.0 {
            *entry = (rows.version[index], index);
        }
    }
    let mut cells: BTreeMap<Cell, Content> = BTreeMap::new();
    let mut devices: BTreeMap<Cell, std::collections::BTreeSet<u32>> = BTreeMap::new();
    for ((cell, _), (_, index)) in newest {
        let start = index.checked_sub(1).map_or(0, |before| rows.device_hashes.ends[before]) as usize;
        let hashes = &rows.device_hashes.items[start..rows.device_hashes.ends[index] as usize];
        devices.entry(cell.clone()).or_default().extend(hashes);
        let content = cells.entry(cell).or_default();
        content.0 += rows.count[index];
        content.1 += rows.sum[index];
    }
    for (cell, content) in &mut cells {
        content.2 = devices[cell].len() as u64;
    }
    cells
}

/// The same from the measurements alone.
fn recount(measurements: &[Measurement], symbols: &Symbols, levels: &[Level]) -> BTreeMap<Cell, Content> {
    let mut cells: BTreeMap<Cell, (Content, std::collections::BTreeSet<u32>)> = BTreeMap::new();
    for measurement in measurements {
        let (tenant, metric) = symbols.names(measurement.symbol);
        for level in levels {
            let key = (
                tenant.to_owned(),
                metric.to_owned(),
                level.period_seconds,
                level.resolution,
                level.bucket(measurement.ts_seconds),
                level.cell(measurement.cell).unwrap(),
            );
            let (content, devices) = cells.entry(key).or_default();
            content.0 += 1;
            content.1 += measurement.value;
            devices.insert(measurement.device_hash);
        }
    }
    cells
        .into_iter()
        .map(|(cell, (content, devices))| (cell, (content.0, content.1, devices.len() as u64)))
        .collect()
}

#[derive(Clone, Debug)]
enum Step {
    Add {
        metric: u8,
        minutes: u16,
        cell: u8,
        device: u8,
        value: i16,
        clock_step_ms: u32,
    },
    Flush {
        mask: u32,
    },
    Restart,
}

fn any_step() -> impl Strategy<Value = Step> {
    let add = (0..3u8, 0..200u16, 0..6u8, 0..9u8, -50..50i16, 0..40_000u32).prop_map(
        |(metric, minutes, cell, device, value, clock_step_ms)| Step::Add {
            metric,
            minutes,
            cell,
            device,
            value,
            clock_step_ms,
        },
    );
    prop_oneof![20 => add, 2 => (0..512u32).prop_map(|mask| Step::Flush { mask }), 1 => Just(Step::Restart)]
}

proptest! {
    /// Late data, evictions by time and by number, flushes of any levels, and crashes: every cell equals a recount.
    #[test]
    fn whatever_happens_every_cell_equals_a_recount(
        steps in proptest::collection::vec(any_step(), 1..300),
        linger_ms in 1_000..200_000i64, accumulators_max in 20..2_000usize,
    ) {
        let mut symbols = Symbols::default();
        let names = ["speed", "noise", "heat"].map(|metric| symbols.intern("acme", metric));
        let parameters = parameters(linger_ms, accumulators_max);
        let levels = parameters.levels.clone();
        let mut rollups = Rollups::new(parameters, ORIGIN);
        let (mut rows, mut measurements) = (RollupRows::default(), Vec::new());
        let (mut clock_ms, mut saved, mut replay_from) = (0i64, rollups.clone(), 0);
        // Some are added one by one, some many at a time.
        let is_swept = |measurement: &Measurement| measurement.offset.is_multiple_of(7);
        for step in steps {
            match step {
                Step::Add { metric, minutes, cell: index, device, value, clock_step_ms } => {
                    clock_ms += i64::from(clock_step_ms);
                    let measurement = Measurement {
                        symbol: names[usize::from(metric)], ts_seconds: u32::from(minutes) * 60 + 7, cell: cell(index),
                        device_hash: u32::from(device), value: f64::from(value), offset: measurements.len() as u64,
                        log_clock_ms: clock_ms,
                    };
                    rollups.add(measurement, &symbols);
                    if is_swept(&measurement) {
                        rollups.evict_idle(clock_ms, &symbols);
                    }
                    prop_assert!(rollups.accumulator_count() <= accumulators_max.max(levels.len()));
                    measurements.push(measurement);
                }
                Step::Flush { mask } => {
                    rollups.collect(mask, &symbols, &mut rows);
                    if mask % 3 == 0 {
                        rollups.collect(u32::MAX, &symbols, &mut rows);
                        saved = RollupsV1::from(&rollups).into_rollups(ORIGIN);
                        replay_from = measurements.len();
                    }
                }
                // A crash loses what was not saved, not what was written; the log gives the rest again.
                Step::Restart => {
                    rollups = saved.clone();
                    for measurement in &measurements[replay_from..] {
                        rollups.add(*measurement, &symbols);
                        if is_swept(measurement) {
                            rollups.evict_idle(measurement.log_clock_ms, &symbols);
                        }
                    }
                }
            }
        }
        rollups.collect(u32::MAX, &symbols, &mut rows);
        prop_assert_eq!(view(&rows), recount(&measurements, &symbols, &levels));
        prop_assert!(!rollups.has_pending());
    }
}

#[test]
fn only_levels_that_are_due_are_written() {
    let mut symbols = Symbols::default();
    let symbol = symbols.intern("acme", "speed");
    let mut rollups = Rollups::new(parameters(1_000, 1_000), ORIGIN);
    let measurement = Measurement {
        symbol,
        ts_seconds: 61,
        cell: cell(1),
        device_hash: 1,
        value: 2.5,
        offset: 9,
        log_clock_ms: 0,
    };
    rollups.add(measurement, &symbols);
    let mut rows = RollupRows::default();
    rollups.collect(0b101, &symbols, &mut rows);
    assert_eq!((rows.period_seconds, rows.resolution), (vec![60, 60], vec![9, 5]));
    assert_eq!(
        (rows.generation, rows.version, rows.bucket_seconds),
        (vec![9, 9], vec![9, 9], vec![60, 60])
    );
    assert!(rollups.has_pending());
}

#[test]
fn a_later_incarnation_wins_over_any_offset() {
    let later = Origin {
        incarnation: 1,
        ..ORIGIN
    };
    assert!(later.version(0) > ORIGIN.version((1 << 48) - 1));
}
