//! What the snapshots of one bucket should be: pure, from what there is, what tasks hold, and the measurements.
//!
//! Every measurement has one owner. That is the accumulator which a task goes on filling, from its generation on; else the
//! snapshot that covers its offset; else a new one that begins with it. A snapshot which cannot be one of a task, since it
//! does not begin with an event of its cell or overlaps another, owns nothing and is withdrawn.

use std::collections::BTreeMap;

use schemas::rows::RollupRows;

use super::{
    live::{CellOf, LivePartition},
    store::{Measurement, Snapshot},
};
use crate::{
    rollup::{
        accumulator::{Accumulator, CellKey, Origin, Sample},
        level::Level,
        sketch::bin_key,
    },
    symbols::{Symbol, Symbols},
};

/// Tenant, metric and bucket: what both streams are ordered by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bucket {
    pub(super) tenant: String,
    pub(super) metric: String,
    pub(super) bucket_seconds: u32,
}

/// What is done about a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Corrected,
    Created,
    Withdrawn,
}

/// A snapshot to be written.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) kind: Kind,
    pub(super) partition: u16,
    pub(super) cell: u64,
    pub(super) count_before: u64,
    pub(super) version_before: u64,
    pub(super) version: u64,
    pub(super) accumulator: Accumulator,
}

impl PartialEq for Change {
    fn eq(&self, other: &Self) -> bool {
        let place = |change: &Self| (change.kind, change.partition, change.cell, change.version);
        place(self) == place(other) && self.accumulator.generation == other.accumulator.generation
    }
}

impl Change {
    /// Writes the row.
    pub(super) fn write(&self, (period_seconds, resolution): (u32, u8), bucket: &Bucket, rows: &mut RollupRows) {
        let mut symbols = Symbols::default();
        let symbol = symbols.intern(&bucket.tenant, &bucket.metric);
        let origin = Origin::of_version(self.partition, self.version);
        let accumulator = Accumulator {
            key: CellKey {
                symbol,
                ..self.accumulator.key
            },
            last_offset: Origin::offset_of(self.version),
            ..self.accumulator.clone()
        };
        let level = Level {
            period_seconds,
            resolution,
            flush_interval_ms: 0,
        };
        accumulator.write(&level, &symbols, origin, rows);
    }
}

/// One that measurements are given to.
#[derive(Debug)]
struct Owner {
    generation: u64,
    /// Last offset that it owns; a live one owns all from its generation on.
    last: u64,
    is_live: bool,
    /// A task has written it since the checkpoint: it is right, or will be.
    is_hot: bool,
    accumulator: Accumulator,
}

/// One cell in one partition.
#[derive(Debug, Default)]
struct Cell {
    snapshots: Vec<Snapshot>,
    /// By generation.
    owners: Vec<Owner>,
    live: Option<u64>,
    is_decided: bool,
}

/// All cells of one bucket.
pub(super) struct BucketPlan<'a> {
    level: (u32, u8),
    bucket: Bucket,
    partitions: &'a BTreeMap<u16, LivePartition>,
    cells: BTreeMap<(u16, u64), Cell>,
    parents: Level,
}

impl<'a> BucketPlan<'a> {
    pub(super) fn new(level: (u32, u8), bucket: Bucket, partitions: &'a BTreeMap<u16, LivePartition>) -> Self {
        Self {
            level,
            bucket,
            partitions,
            cells: BTreeMap::new(),
            parents: Level {
                period_seconds: level.0,
                resolution: level.1,
                flush_interval_ms: 0,
            },
        }
    }

    /// Takes in a snapshot that is there. All of them come before the first measurement.
    pub(super) fn snapshot(&mut self, snapshot: Snapshot) {
        let key = (snapshot.partition, snapshot.cell);
        self.cells.entry(key).or_default().snapshots.push(snapshot);
    }

    /// All snapshots are known.
    pub(super) fn decide_owners(&mut self) {
        let keys: Vec<(u16, u64)> = self.cells.keys().copied().collect();
        for key in keys {
            self.decide(key);
        }
    }

    fn decide(&mut self, (partition, cell): (u16, u64)) {
        let Some(of_partition) = self.partitions.get(&partition) else {
            return;
        };
        let live = of_partition.generation(CellOf {
            tenant: &self.bucket.tenant,
            metric: &self.bucket.metric,
            level: self.level,
            bucket_seconds: self.bucket.bucket_seconds,
            cell,
        });
        let key = self.key_of(cell);
        let entry = self.cells.entry((partition, cell)).or_default();
        (entry.live, entry.is_decided) = (live, true);
        let end = of_partition.next_offset();
        let mut covered: Option<u64> = None;
        for snapshot in &entry.snapshots {
            let (generation, last) = (snapshot.generation, Origin::offset_of(snapshot.version));
            let is_live = live == Some(generation);
            let is_possible = snapshot.is_genuine == 1 && snapshot.count > 0 && generation < end;
            let is_free = covered.is_none_or(|covered| generation > covered);
            let is_before_live = live.is_none_or(|live| generation < live);
            if is_live || !(is_possible && is_free && is_before_live) {
                continue;
            }
            // It ends before the live one begins, whatever its version says.
            let last = live.map_or(last, |live| last.min(live - 1));
            covered = Some(last);
            entry.owners.push(Owner::new(key, generation, last));
        }
        if let Some(generation) = live {
            let written = entry
                .snapshots
                .iter()
                .find(|snapshot| snapshot.generation == generation);
            let is_hot = written.is_some_and(|snapshot| Origin::offset_of(snapshot.version) >= end);
            entry.owners.push(Owner {
                is_live: true,
                is_hot,
                ..Owner::new(key, generation, u64::MAX)
            });
        }
    }

    fn key_of(&self, cell: u64) -> CellKey {
        CellKey {
            symbol: Symbol(0),
            bucket_seconds: self.bucket.bucket_seconds,
            cell,
        }
    }

    /// Counts a measurement. They come by partition, in the order of the log.
    pub(super) fn measurement(&mut self, measurement: &Measurement) {
        // From before the base resolution was raised for this level: no task ever counted it here.
        let Some(cell) = self.parents.cell(measurement.cell) else {
            return;
        };
        let place = (measurement.partition, cell);
        if !self.cells.get(&place).is_some_and(|cell| cell.is_decided) {
            self.decide(place);
        }
        let key = self.key_of(place.1);
        let Some(cell) = self.cells.get_mut(&place) else { return };
        cell.owner(measurement.offset, key).add(measurement);
    }

    /// What is to be changed, and how many snapshots are as they should be.
    pub(super) fn finish(self) -> (Vec<Change>, u64) {
        let (mut changes, mut unchanged) = (Vec::new(), 0);
        for ((partition, cell), entry) in self.cells {
            let Some(of_partition) = self.partitions.get(&partition) else {
                continue;
            };
            let origin = Origin {
                partition,
                incarnation: of_partition.incarnation(),
            };
            let change = |kind, before: Option<&Snapshot>, accumulator: Accumulator| Change {
                kind,
                partition,
                cell,
                count_before: before.map_or(0, |before| before.count),
                version_before: before.map_or(0, |before| before.version),
                version: origin
                    .version(accumulator.last_offset)
                    .max(before.map_or(0, |before| before.version)),
                accumulator,
            };
            let find = |generation| {
                entry
                    .snapshots
                    .iter()
                    .find(|snapshot| snapshot.generation == generation)
            };
            for owner in &entry.owners {
                let before = find(owner.generation);
                let is_right = match before {
                    _ if owner.is_hot => true,
                    Some(before) => before.says(&owner.accumulator),
                    None => owner.accumulator.count == 0,
                };
                if is_right {
                    unchanged += u64::from(before.is_some());
                    continue;
                }
                let kind = match before {
                    Some(_) if owner.accumulator.count == 0 => Kind::Withdrawn,
                    Some(before) if before.count > 0 => Kind::Corrected,
                    Some(_) | None => Kind::Created,
                };
                changes.push(change(kind, before, owner.accumulator.clone()));
            }
            for snapshot in &entry.snapshots {
                let is_owner = entry.owners.iter().any(|owner| owner.generation == snapshot.generation);
                // What begins at or after the checkpoint is the task's own business; but nothing of a task ends before it
                // begins.
                let is_newer = snapshot.generation >= of_partition.next_offset();
                let is_of_a_task = Origin::offset_of(snapshot.version) >= snapshot.generation;
                if is_owner || snapshot.count == 0 || is_newer && is_of_a_task {
                    continue;
                }
                let mut nothing = Accumulator::new(
                    CellKey {
                        symbol: Symbol(0),
                        bucket_seconds: self.bucket.bucket_seconds,
                        cell,
                    },
                    snapshot.generation,
                );
                if is_newer {
                    // Whatever a task writes there one day must win.
                    nothing.last_offset = 0;
                }
                changes.push(change(Kind::Withdrawn, Some(snapshot), nothing));
            }
        }
        (changes, unchanged)
    }
}

impl Cell {
    /// Who owns the event at an offset.
    fn owner(&mut self, offset: u64, key: CellKey) -> &mut Owner {
        let after = self.owners.partition_point(|owner| owner.generation <= offset);
        let covering = after.checked_sub(1).filter(|index| offset <= self.owners[*index].last);
        let index = covering.unwrap_or_else(|| {
            // Up to whoever comes next. A task would have gone on with it as well.
            let last = self.owners.get(after).map_or(u64::MAX, |next| next.generation - 1);
            self.owners.insert(after, Owner::new(key, offset, last));
            after
        });
        &mut self.owners[index]
    }
}

impl Owner {
    fn new(key: CellKey, generation: u64, last: u64) -> Self {
        Self {
            generation,
            last,
            is_live: false,
            is_hot: false,
            accumulator: Accumulator::new(key, generation),
        }
    }

    fn add(&mut self, measurement: &Measurement) {
        debug_assert!(
            self.is_live || measurement.offset <= self.last,
            "nobody owns what it does not cover"
        );
        self.accumulator.add(&Sample {
            value: measurement.value,
            bin_key: bin_key(measurement.value),
            offset: measurement.offset,
            log_clock_ms: 0,
            new_device: Some(measurement.device_hash),
        });
    }
}

impl Snapshot {
    /// It says what the accumulator holds, bit for bit.
    fn says(&self, accumulator: &Accumulator) -> bool {
        let numbers = |count: u64, sum: f64, min: f64, max: f64| (count, sum.to_bits(), min.to_bits(), max.to_bits());
        let bins = self.bin_keys.iter().copied().zip(self.bin_counts.iter().copied());
        if accumulator.count == 0 {
            return self.count == 0;
        }
        numbers(self.count, self.sum, self.min, self.max)
            == numbers(accumulator.count, accumulator.sum, accumulator.min, accumulator.max)
            && bins.eq(accumulator.sketch.bins().map(|(key, count)| (key, u64::from(count))))
            && self.device_hashes == *accumulator.devices.hashes()
    }
}

#[cfg(test)]
mod tests;
