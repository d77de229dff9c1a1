//! What a task did with the records of its partition, counted in chunks of offsets: the books that `meridian audit`
//! compares with the tables.
//!
//! Counts are absolute and follow from the log alone, so a row that is written again is the same row. They are collected
//! only together with everything that they count, and inserted after it. Must never count what a task did not do, nor
//! read a clock.

use eventlog::TopicPartition;
use schemas::rows::LedgerRows;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    limits::LEDGER_CHUNK_RECORDS,
    rollup::{accumulator::Origin, level::Level},
};

/// Odd numbers without pattern: multiplying by them loses nothing, and spreads low bits over high ones. The audit uses
/// the same in SQL.
pub const CHECKSUM_FACTORS: [u64; 5] = [
    0x9e37_79b9_7f4a_7c15,
    0xbf58_476d_1ce4_e5b9,
    0x94d0_49bb_1331_11eb,
    0xd6e8_feb8_6659_fd93,
    0xa076_1d64_78bd_642f,
];

/// Everything that a measurement's number in the checksum follows from.
#[derive(Clone, Copy, Debug)]
pub struct Checked<'row> {
    /// Offset of the event.
    pub offset: u64,
    /// Hash of `tenant/device`, the lower half of XXH3.
    pub device_hash: u32,
    /// Metric name.
    pub metric: &'row str,
    /// Event time, Unix milliseconds.
    pub ts_ms: i64,
    /// Value.
    pub value: f64,
    /// H3 cell; 0 where unknown.
    pub cell: u64,
}

impl Checked<'_> {
    /// A number that changes with everything that the row says. Their sum does not depend on the order of rows.
    #[must_use]
    pub fn number(&self) -> u64 {
        let [of_offset, of_device, of_time, of_cell, of_all] = CHECKSUM_FACTORS;
        let mixed = self.value.to_bits()
            ^ xxh3_64(self.metric.as_bytes())
            ^ self.offset.wrapping_mul(of_offset)
            ^ u64::from(self.device_hash).wrapping_mul(of_device)
            ^ (self.ts_ms as u64).wrapping_mul(of_time)
            ^ self.cell.wrapping_mul(of_cell);
        let spread = mixed.wrapping_mul(of_all);
        spread ^ (spread >> 32)
    }
}

/// Counts of the records of one chunk, as far as they have come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Of its records.
    pub first_offset: u64,
    /// Of its records.
    pub last_offset: u64,
    /// Applied.
    pub records: u64,
    /// That counted.
    pub events: u64,
    /// Counted before.
    pub duplicates: u64,
    /// Refused.
    pub dead_letters: u64,
    /// Rows made.
    pub measurements: u64,
    /// Of events; none yet: 0 to 0.
    pub ts_min_ms: i64,
    /// See `ts_min_ms`.
    pub ts_max_ms: i64,
    /// Sum of [`Checked::number`] over the rows.
    pub checksum: u64,
}

/// A rollup level, and from which offset on it has everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelSince {
    /// Length of its buckets.
    pub period_seconds: u32,
    /// Of its cells.
    pub resolution: u8,
    /// The offset.
    pub since: u64,
}

/// The ledger in a checkpoint, version 1. Everything closed was written before.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct LedgerV1 {
    current: Option<Chunk>,
    levels: Vec<LevelSince>,
}

/// The books of one partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    current: Option<Chunk>,
    /// Chunks that are complete and were not collected yet: few, since checkpoints are frequent.
    closed: Vec<Chunk>,
    dirty: bool,
    levels: Vec<LevelSince>,
}

impl Ledger {
    /// Empty books; rollup levels, if the partition has any, begin at `since`.
    pub(super) fn new(levels: &[Level], since: u64) -> Self {
        let mut ledger = Self::default();
        ledger.change_levels(levels, since);
        ledger
    }

    /// Books that go on after a chunk that was written before.
    pub(super) fn after(last: Option<Chunk>, levels: Vec<LevelSince>) -> Self {
        Self {
            current: last,
            levels,
            ..Self::default()
        }
    }

    /// The record at this offset was applied.
    pub(super) fn record(&mut self, offset: u64) {
        let chunk_of = |offset: u64| offset / LEDGER_CHUNK_RECORDS;
        if self
            .current
            .as_ref()
            .is_none_or(|chunk| chunk_of(chunk.first_offset) != chunk_of(offset))
        {
            let next = Chunk {
                first_offset: offset,
                ..Chunk::default()
            };
            self.closed.extend(self.current.replace(next));
        }
        self.dirty = true;
        let chunk = self.chunk();
        chunk.last_offset = offset;
        chunk.records += 1;
    }

    /// The record was an event that counts.
    pub(super) fn event(&mut self, ts_ms: i64) {
        let chunk = self.chunk();
        if chunk.events == 0 {
            (chunk.ts_min_ms, chunk.ts_max_ms) = (ts_ms, ts_ms);
        }
        chunk.events += 1;
        chunk.ts_min_ms = chunk.ts_min_ms.min(ts_ms);
        chunk.ts_max_ms = chunk.ts_max_ms.max(ts_ms);
    }

    /// It made these measurements, with this sum of their numbers.
    pub(super) fn measurements(&mut self, count: u64, checksum: u64) {
        let chunk = self.chunk();
        chunk.measurements += count;
        chunk.checksum = chunk.checksum.wrapping_add(checksum);
    }

    /// The record was counted before.
    pub(super) fn duplicate(&mut self) {
        self.chunk().duplicates += 1;
    }

    /// The record became a row of `dead_letter_log`.
    pub(super) fn dead_letter(&mut self) {
        self.chunk().dead_letters += 1;
    }

    fn chunk(&mut self) -> &mut Chunk {
        self.current.as_mut().expect("a record comes before what became of it")
    }

    /// Other levels are in force from an offset on. Those that stay keep what they have.
    pub(super) fn change_levels(&mut self, levels: &[Level], from_offset: u64) {
        let before = std::mem::take(&mut self.levels);
        let since = |level: &Level| {
            let is_it =
                |old: &&LevelSince| (old.period_seconds, old.resolution) == (level.period_seconds, level.resolution);
            before.iter().find(is_it).map_or(from_offset, |old| old.since)
        };
        self.levels = levels
            .iter()
            .map(|level| LevelSince {
                period_seconds: level.period_seconds,
                resolution: level.resolution,
                since: since(level),
            })
            .collect();
    }

    /// True when counts have changed since they were last collected.
    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Moves out the rows of all chunks that have changed.
    pub(super) fn collect(&mut self, topic_partition: &TopicPartition, origin: Origin, rows: &mut LedgerRows) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        for chunk in self.closed.drain(..).chain(self.current.clone()) {
            rows.topic.push(&*topic_partition.topic);
            rows.partition.push(topic_partition.partition.0);
            rows.chunk.push(chunk.first_offset / LEDGER_CHUNK_RECORDS);
            rows.version.push(origin.version(chunk.last_offset));
            rows.first_offset.push(chunk.first_offset);
            rows.last_offset.push(chunk.last_offset);
            rows.records.push(chunk.records);
            rows.events.push(chunk.events);
            rows.duplicates.push(chunk.duplicates);
            rows.dead_letters.push(chunk.dead_letters);
            rows.measurements.push(chunk.measurements);
            rows.ts_min_ms.push(chunk.ts_min_ms);
            rows.ts_max_ms.push(chunk.ts_max_ms);
            rows.checksum.push(chunk.checksum);
            rows.level_periods
                .push(self.levels.iter().map(|level| level.period_seconds));
            rows.level_resolutions
                .push(self.levels.iter().map(|level| level.resolution));
            rows.level_sinces.push(self.levels.iter().map(|level| level.since));
        }
    }

    /// For a checkpoint, after everything was collected.
    pub(super) fn to_wire(&self) -> LedgerV1 {
        LedgerV1 {
            current: self.current.clone(),
            levels: self.levels.clone(),
        }
    }
}

impl From<LedgerV1> for Ledger {
    fn from(wire: LedgerV1) -> Self {
        Self {
            current: wire.current,
            levels: wire.levels,
            ..Self::default()
        }
    }
}
