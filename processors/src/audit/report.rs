//! What an audit has found, for people and for programs.

use std::{collections::BTreeMap, fmt};

use schemas::timestamp::show_bucket;
use serde::Serialize;

use super::{Known, store::LedgerRow};

/// What does not add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HoleKind {
    /// Messages of a broker: received is not acknowledged + dead-lettered + returned + in flight.
    Received,
    /// Records of a partition that no task has counted.
    Records,
    /// More or fewer measurements than the task made.
    Measurements,
    /// As many measurements as the task made, but not the same.
    Contents,
    /// Rows of records that no task was given.
    Beyond,
    /// More or fewer dead letters than the tasks made.
    DeadLetters,
    /// A rollup level does not count what the measurements hold.
    Rollups,
}

/// One place where it does not add up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hole {
    /// What does not add up.
    pub kind: HoleKind,
    /// Broker; or topic and partition, with level and bucket where it is a rollup's.
    pub place: String,
    /// First and last offset concerned, where it is known.
    pub offsets: Option<(u64, u64)>,
    /// What there should be.
    pub expected: u64,
    /// What there is.
    pub found: u64,
}

impl fmt::Display for Hole {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            place, expected, found, ..
        } = self;
        write!(formatter, "{place}")?;
        if let Some((first, last)) = self.offsets {
            write!(formatter, ", offsets {first} to {last}")?;
        }
        match self.kind {
            HoleKind::Received => write!(formatter, ": {expected} messages received, and {found} accounted for"),
            HoleKind::Records => write!(formatter, ": {expected} records, and {found} processed"),
            HoleKind::Measurements => write!(formatter, ": {expected} measurements made, and {found} in the table"),
            HoleKind::Contents => write!(
                formatter,
                ": {expected} measurements, but not those that were made (checksum {found:016x})"
            ),
            HoleKind::Beyond => write!(
                formatter,
                ": rows up to offset {found}, and only {expected} records were ever processed"
            ),
            HoleKind::DeadLetters => write!(formatter, ": {expected} dead letters made, and {found} in the table"),
            HoleKind::Rollups => write!(formatter, ": {expected} measurements, and {found} counted"),
        }
    }
}

/// The books of one partition, all chunks together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Books {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: u16,
    /// Oldest offset in the log, if it could be asked.
    pub log_low: Option<u64>,
    /// Offset after the newest record, if the log or its reader could be asked.
    pub log_end: Option<u64>,
    /// First offset in the books.
    pub from: u64,
    /// Offset after the last one in the books.
    pub to: u64,
    /// Records in the books.
    pub records: u64,
    /// Events counted.
    pub events: u64,
    /// Events left out since they were counted before.
    pub duplicates: u64,
    /// Dead letters made.
    pub dead_letters: u64,
    /// Measurements made.
    pub measurements: u64,
    /// Of these, how many are in the table.
    pub found: u64,
    /// Records read and not inserted, if a processor could be asked.
    pub buffered: Option<u64>,
}

/// A rollup level, all partitions together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LevelState {
    /// Seconds.
    pub period: u32,
    /// H3 resolution.
    pub resolution: u8,
    /// Buckets that hold less than the measurements since the level was added later than these.
    pub incomplete_buckets: u64,
    /// Holes: buckets, or cells of buckets that are still being filled.
    pub hole_count: u64,
}

impl LevelState {
    pub(super) fn new((period, resolution): (u32, u8)) -> Self {
        Self {
            period,
            resolution,
            incomplete_buckets: 0,
            hole_count: 0,
        }
    }
}

/// What an audit has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// By topic and partition.
    pub partitions: Vec<Books>,
    /// By period and resolution.
    pub levels: Vec<LevelState>,
    /// Where it does not add up; empty when all is well.
    pub holes: Vec<Hole>,
    /// What could not be judged, and why.
    pub notices: Vec<String>,
}

impl Report {
    pub(super) fn new(ledger: &[LedgerRow]) -> Self {
        let mut partitions: BTreeMap<(&str, u16), Books> = BTreeMap::new();
        for row in ledger {
            let books = partitions.entry((&row.topic, row.partition)).or_insert_with(|| Books {
                topic: row.topic.clone(),
                partition: row.partition,
                from: row.first_offset,
                ..Books::default()
            });
            books.to = row.last_offset + 1;
            books.records += row.records;
            books.events += row.events;
            books.duplicates += row.duplicates;
            books.dead_letters += row.dead_letters;
            books.measurements += row.measurements;
        }
        Self {
            partitions: partitions.into_values().collect(),
            ..Self::default()
        }
    }

    /// Adds what is known of the log.
    pub(super) fn show(&mut self, known: &Known) {
        for books in &mut self.partitions {
            let key = (books.topic.clone(), books.partition);
            books.log_low = known.lows.get(&key).copied();
            books.log_end = known.ends.get(&key).copied();
            books.buffered = known.buffered.get(&key).copied();
        }
    }
}

/// A cell whose rollup is not what the measurements say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellDifference {
    /// Seconds.
    pub period: u32,
    /// H3 resolution.
    pub resolution: u8,
    /// Owner.
    pub tenant: String,
    /// Metric.
    pub metric: String,
    /// Start of the bucket, Unix seconds.
    pub bucket: u32,
    /// H3 cell, 0 without position.
    pub cell: u64,
    /// Log partition of the events.
    pub partition: u16,
    /// Count, sum, smallest, largest value and devices by the measurements.
    pub expected: (u64, f64, f64, f64, u64),
    /// The same by the rollup.
    pub found: (u64, f64, f64, f64, u64),
}

impl fmt::Display for CellDifference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = |(count, sum, min, max, devices): (u64, f64, f64, f64, u64)| {
            format!("count {count}, sum {sum}, min {min}, max {max}, devices {devices}")
        };
        write!(
            formatter,
            "tenant `{}`, metric `{}`, period {}, res {}, bucket {}, cell {:x}, partition {}: expected {}; found {}",
            self.tenant,
            self.metric,
            self.period,
            self.resolution,
            show_bucket(self.bucket),
            self.cell,
            self.partition,
            values(self.expected),
            values(self.found),
        )
    }
}

/// What a recount has found in one level.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifiedLevel {
    /// Seconds.
    pub period: u32,
    /// H3 resolution.
    pub resolution: u8,
    /// Snapshots that lie in the range.
    pub snapshots: u64,
    /// Cells that are not what the measurements say.
    pub differing: u64,
}

/// What a recount has found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Verification {
    /// By period and resolution.
    pub levels: Vec<VerifiedLevel>,
    /// The first of them.
    pub differences: Vec<CellDifference>,
}

impl Verification {
    /// Cells that differ, all levels together.
    #[must_use]
    pub fn differing_count(&self) -> u64 {
        self.levels.iter().map(|level| level.differing).sum()
    }
}
