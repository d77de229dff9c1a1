//! The rollups of one partition: accumulators for every level, filled event by event, written as absolute snapshots.
//!
//! A measurement touches one cell of every level. To find them by one look-up instead of one for each level, the
//! finest cell of a metric has a *link*: the slots of all its accumulators. Accumulators lie all over the memory, and
//! waiting for it is what costs most, so measurements are *staged* and then added many at a time, level by level: the
//! processor fetches the next ones while it adds. Every accumulator still gets its measurements one by one in the order
//! of the log, so how they were staged is never seen. Nothing here reads a clock: what is evicted, and when, follows
//! from offsets and the log clock alone.

pub mod accumulator;
pub mod distinct;
pub mod level;
pub mod sketch;
pub mod wire;

mod store;

#[cfg(test)]
mod tests;

use hashbrown::HashMap;
use schemas::rows::RollupRows;

use self::{
    accumulator::{Accumulator, CellKey, Origin, Sample},
    distinct::DistinctDevices,
    level::{LEVELS_MAX, Level},
    store::LevelStore,
};
use crate::{
    limits::FETCHED_TOGETHER,
    symbols::{Symbol, Symbols},
};

/// Measurements staged at most: enough for the processor to fetch ahead, few enough that they stay in its cache.
const STAGED_MAX: usize = 512;

/// What shapes which accumulators live.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RollupParameters {
    /// The levels, in the order of the configuration.
    pub levels: Vec<Level>,
    /// How long an accumulator lives after its bucket has ended and nothing was added, by the log clock.
    pub linger_ms: i64,
    /// Accumulators of a partition, all levels together; beyond it the least recently touched are evicted.
    pub accumulators_max: usize,
}

/// The slots of the accumulators that one finest cell feeds, and the devices already counted in all of them.
#[derive(Clone, Debug)]
struct Link {
    slots: [u32; LEVELS_MAX],
    touched_ms: i64,
    last_offset: u64,
    devices: DistinctDevices,
}

/// One measurement with everything that places it.
#[derive(Clone, Copy, Debug)]
pub struct Measurement {
    /// Tenant and metric.
    pub symbol: Symbol,
    /// Event time, Unix seconds.
    pub ts_seconds: u32,
    /// H3 cell at the base resolution; 0 where unknown.
    pub cell: u64,
    /// Hash of the device.
    pub device_hash: u32,
    /// Value.
    pub value: f64,
    /// Offset of the event.
    pub offset: u64,
    /// Log clock, Unix milliseconds.
    pub log_clock_ms: i64,
}

/// All accumulators of one partition.
#[derive(Clone, Debug)]
pub struct Rollups {
    parameters: RollupParameters,
    shortest_period_seconds: u32,
    origin: Origin,
    links: HashMap<CellKey, Link, foldhash::fast::FixedState>,
    stores: Vec<LevelStore>,
    /// Measurements not added yet.
    staged: Vec<Measurement>,
    /// The first of them, with their accumulators found: one slot in the `touching` of every store.
    samples: Vec<Sample>,
    /// Snapshots of evicted accumulators that were not written yet.
    evicted: RollupRows,
}

impl Rollups {
    /// Empty rollups.
    #[must_use]
    pub fn new(parameters: RollupParameters, origin: Origin) -> Self {
        let shortest = parameters.levels.iter().map(|level| level.period_seconds).min();
        Self {
            shortest_period_seconds: shortest.expect("validated levels are not empty"),
            stores: parameters.levels.iter().map(|_| LevelStore::default()).collect(),
            parameters,
            origin,
            links: HashMap::default(),
            staged: Vec::new(),
            samples: Vec::new(),
            evicted: RollupRows::default(),
        }
    }

    /// Adds one measurement to every level, now or when more have come.
    pub fn add(&mut self, measurement: Measurement, symbols: &Symbols) {
        self.staged.push(measurement);
        if self.staged.len() == STAGED_MAX {
            self.settle(symbols);
        }
    }

    /// Adds what is staged.
    fn settle(&mut self, symbols: &Symbols) {
        let staged = std::mem::take(&mut self.staged);
        for measurements in staged.chunks(FETCHED_TOGETHER) {
            let links = measurements
                .iter()
                .map(|measurement| self.links.get(&self.link_key(measurement)));
            std::hint::black_box(links.fold(0, |all, link| all ^ link.map_or(0, |link| link.last_offset)));
            for measurement in measurements {
                self.find_accumulators(measurement, symbols);
            }
        }
        self.apply_samples();
        self.staged = staged;
        self.staged.clear();
    }

    fn link_key(&self, measurement: &Measurement) -> CellKey {
        CellKey {
            symbol: measurement.symbol,
            bucket_seconds: measurement.ts_seconds - measurement.ts_seconds % self.shortest_period_seconds,
            cell: measurement.cell,
        }
    }

    fn find_accumulators(&mut self, measurement: &Measurement, symbols: &Symbols) {
        // For every measurement, whether or not it needs room: links are not in checkpoints, so what is evicted when must
        // not depend on them.
        self.make_room(symbols);
        let key = self.link_key(measurement);
        if !self.links.contains_key(&key) {
            let link = self.new_link(key, measurement.offset);
            self.links.insert(key, link);
        }
        let link = self.links.get_mut(&key).expect("it was put there");
        link.touched_ms = measurement.log_clock_ms;
        link.last_offset = measurement.offset;
        for (store, slot) in self.stores.iter_mut().zip(link.slots) {
            store.touching.push(slot);
        }
        let is_new_device = !link.devices.contains(measurement.device_hash);
        if is_new_device {
            link.devices.insert(measurement.device_hash);
        }
        self.samples.push(Sample {
            value: measurement.value,
            bin_key: sketch::bin_key(measurement.value),
            offset: measurement.offset,
            log_clock_ms: measurement.log_clock_ms,
            new_device: is_new_device.then_some(measurement.device_hash),
        });
    }

    fn new_link(&mut self, key: CellKey, offset: u64) -> Link {
        let mut slots = [0; LEVELS_MAX];
        for ((slot, level), store) in slots.iter_mut().zip(&self.parameters.levels).zip(&mut self.stores) {
            let key = CellKey {
                bucket_seconds: level.bucket(key.bucket_seconds),
                cell: level.cell(key.cell).expect("places are indexed as finely as any level"),
                ..key
            };
            *slot = store.slot(key, offset);
        }
        Link {
            slots,
            touched_ms: 0,
            last_offset: 0,
            devices: DistinctDevices::default(),
        }
    }

    /// Makes sure that accumulators of all levels can be added.
    fn make_room(&mut self, symbols: &Symbols) {
        if self.accumulator_count() + self.parameters.levels.len() > self.parameters.accumulators_max {
            self.apply_samples();
            self.evict_least_recent(symbols);
        }
    }

    fn apply_samples(&mut self) {
        self.stores.iter_mut().for_each(|store| store.add(&self.samples));
        self.samples.clear();
    }

    /// Evicts what has been idle for long enough, by the log clock.
    pub fn evict_idle(&mut self, log_clock_ms: i64, symbols: &Symbols) {
        self.settle(symbols);
        let linger_ms = self.parameters.linger_ms;
        let link_period_ms = i64::from(self.shortest_period_seconds) * 1_000;
        // A link goes no later than any of its accumulators: their buckets end with or after its own, and they are
        // touched whenever it is.
        self.links.retain(|key, link| {
            let bucket_end_ms = i64::from(key.bucket_seconds) * 1_000 + link_period_ms;
            log_clock_ms - link.touched_ms.max(bucket_end_ms) < linger_ms
        });
        for (level, store) in self.parameters.levels.iter().zip(&mut self.stores) {
            store.evict(
                |accumulator| log_clock_ms - accumulator.idle_since_ms(level) >= linger_ms,
                |accumulator| accumulator.write(level, symbols, self.origin, &mut self.evicted),
            );
        }
    }

    /// Evicts the less recently touched half, by offset.
    fn evict_least_recent(&mut self, symbols: &Symbols) {
        let mut offsets: Vec<u64> = self
            .stores
            .iter()
            .flat_map(LevelStore::iter)
            .map(|accumulator| accumulator.last_offset)
            .collect();
        let middle = offsets.len() / 2;
        let threshold = *offsets.select_nth_unstable(middle).1;
        self.links.retain(|_, link| link.last_offset > threshold);
        for (level, store) in self.parameters.levels.iter().zip(&mut self.stores) {
            store.evict(
                |accumulator| accumulator.last_offset <= threshold,
                |accumulator| accumulator.write(level, symbols, self.origin, &mut self.evicted),
            );
        }
    }

    /// Moves out the snapshots of changed accumulators of the levels in `mask` (bit by level index), and of all that
    /// were evicted.
    pub fn collect(&mut self, mask: u32, symbols: &Symbols, rows: &mut RollupRows) {
        self.settle(symbols);
        rows.append(&mut self.evicted);
        for (index, (level, store)) in self.parameters.levels.iter().zip(&mut self.stores).enumerate() {
            if mask & (1 << index) != 0 {
                store.drain_dirty(|accumulator| accumulator.write(level, symbols, self.origin, rows));
            }
        }
    }

    /// True when something has changed since it was last collected.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        !self.staged.is_empty() || !self.evicted.count.is_empty() || self.stores.iter().any(LevelStore::has_dirty)
    }

    /// The levels in force.
    #[must_use]
    pub fn levels(&self) -> &[Level] {
        &self.parameters.levels
    }

    /// Every live accumulator with its level.
    pub fn accumulators(&self) -> impl Iterator<Item = (&Level, &Accumulator)> {
        let levels = self.parameters.levels.iter().zip(&self.stores);
        levels.flat_map(|(level, store)| store.iter().map(move |accumulator| (level, accumulator)))
    }

    /// Live accumulators, all levels together.
    #[must_use]
    pub fn accumulator_count(&self) -> usize {
        self.stores.iter().map(LevelStore::len).sum()
    }

    /// The symbols that live accumulators and links use.
    pub fn symbols_in_use(&self) -> impl Iterator<Item = Symbol> {
        // Links need no look: their accumulators outlive them.
        self.stores
            .iter()
            .flat_map(LevelStore::iter)
            .map(|accumulator| accumulator.key.symbol)
    }

    /// Puts new parameters in force. Accumulators of levels that stay go on; those of others end here.
    pub fn change_parameters(&mut self, parameters: RollupParameters) {
        debug_assert!(
            !self.has_pending(),
            "parameters change at checkpoints, after everything was collected"
        );
        let mut replacement = Self::new(parameters, self.origin);
        for (level, store) in replacement.parameters.levels.iter().zip(&mut replacement.stores) {
            let same = |old: &Level| (old.period_seconds, old.resolution) == (level.period_seconds, level.resolution);
            if let Some(index) = self.parameters.levels.iter().position(same) {
                *store = std::mem::take(&mut self.stores[index]);
            }
        }
        *self = replacement;
    }
}
