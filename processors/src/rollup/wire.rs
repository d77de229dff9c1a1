//! Rollups in a checkpoint, version 1. Links are left out: they are found again.

use serde::{Deserialize, Serialize};

use super::{
    RollupParameters, Rollups,
    accumulator::{Accumulator, CellKey, Origin},
    distinct::DistinctDevices,
    sketch::Sketch,
};
use crate::symbols::Symbol;

/// All accumulators of a partition, by level.
#[derive(Debug, Serialize, Deserialize)]
pub struct RollupsV1 {
    parameters: RollupParameters,
    levels: Vec<Vec<AccumulatorV1>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AccumulatorV1 {
    symbol: Symbol,
    bucket_seconds: u32,
    cell: u64,
    generation: u64,
    last_offset: u64,
    touched_ms: i64,
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    bins: Vec<(i16, u32)>,
    device_hashes: Vec<u32>,
}

impl From<&Rollups> for RollupsV1 {
    fn from(rollups: &Rollups) -> Self {
        let level = |store: &super::LevelStore| {
            let mut level: Vec<AccumulatorV1> = store.iter().map(AccumulatorV1::from).collect();
            // By place in the log, so that equal states have equal bytes whatever slots they use.
            level.sort_unstable_by_key(|accumulator| {
                (
                    accumulator.generation,
                    accumulator.symbol,
                    accumulator.bucket_seconds,
                    accumulator.cell,
                )
            });
            level
        };
        Self {
            parameters: rollups.parameters.clone(),
            levels: rollups.stores.iter().map(level).collect(),
        }
    }
}

impl RollupsV1 {
    /// The rollups as they were.
    #[must_use]
    pub fn into_rollups(self, origin: Origin) -> Rollups {
        let mut rollups = Rollups::new(self.parameters, origin);
        for (store, level) in rollups.stores.iter_mut().zip(self.levels) {
            for accumulator in level {
                store.insert(accumulator.into());
            }
        }
        rollups
    }
}

impl From<&Accumulator> for AccumulatorV1 {
    fn from(accumulator: &Accumulator) -> Self {
        Self {
            symbol: accumulator.key.symbol,
            bucket_seconds: accumulator.key.bucket_seconds,
            cell: accumulator.key.cell,
            generation: accumulator.generation,
            last_offset: accumulator.last_offset,
            touched_ms: accumulator.touched_ms,
            count: accumulator.count,
            sum: accumulator.sum,
            min: accumulator.min,
            max: accumulator.max,
            bins: accumulator.sketch.bins().collect(),
            device_hashes: accumulator.devices.hashes().into_owned(),
        }
    }
}

impl From<AccumulatorV1> for Accumulator {
    fn from(wire: AccumulatorV1) -> Self {
        #[cfg(feature = "sabotage")]
        let wire = AccumulatorV1 {
            generation: if platform::sabotage::Rule::GenerationIsRestored.is_broken() {
                wire.last_offset
            } else {
                wire.generation
            },
            ..wire
        };
        Self {
            key: CellKey {
                symbol: wire.symbol,
                bucket_seconds: wire.bucket_seconds,
                cell: wire.cell,
            },
            generation: wire.generation,
            last_offset: wire.last_offset,
            touched_ms: wire.touched_ms,
            dirty: false,
            count: wire.count,
            sum: wire.sum,
            min: wire.min,
            max: wire.max,
            sketch: Sketch::from_bins(wire.bins),
            devices: DistinctDevices::from_hashes(wire.device_hashes),
        }
    }
}
