//! One cell being filled: everything its row says, and nothing else.

use schemas::rows::RollupRows;

use super::{distinct::DistinctDevices, level::Level, sketch::Sketch};
use crate::symbols::{Symbol, Symbols};

/// Which cell of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CellKey {
    /// Tenant and metric.
    pub symbol: Symbol,
    /// Start of the bucket, Unix seconds.
    pub bucket_seconds: u32,
    /// H3 cell at the level's resolution; 0 where unknown.
    pub cell: u64,
}

/// One measurement on its way into the accumulators.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Value.
    pub value: f64,
    /// Its bin.
    pub bin_key: i16,
    /// Offset of its event.
    pub offset: u64,
    /// Log clock at its event, Unix milliseconds.
    pub log_clock_ms: i64,
    /// Hash of its device, unless that is counted already.
    pub new_device: Option<u32>,
}

/// Absolute values of one cell, one partition, one generation. There are very many, and each is two cache lines.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub struct Accumulator {
    /// Which cell.
    pub key: CellKey,
    /// Offset of the first event in it.
    pub generation: u64,
    /// Offset of the last event in it.
    pub last_offset: u64,
    /// Log clock at that event, Unix milliseconds.
    pub touched_ms: i64,
    /// Changed since it was last written.
    pub dirty: bool,
    /// Number of measurements.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Their minimum.
    pub min: f64,
    /// Their maximum.
    pub max: f64,
    /// Their distribution.
    pub sketch: Sketch,
    /// Who reported them.
    pub devices: DistinctDevices,
}

const _: () = assert!(size_of::<Option<Accumulator>>() == 128);

impl Accumulator {
    /// An empty accumulator for an event about to be added.
    #[must_use]
    pub fn new(key: CellKey, generation: u64) -> Self {
        Self {
            key,
            generation,
            last_offset: generation,
            touched_ms: i64::MIN,
            dirty: false,
            count: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            sketch: Sketch::default(),
            devices: DistinctDevices::default(),
        }
    }

    /// Folds a measurement in.
    pub fn add(&mut self, sample: &Sample) {
        self.last_offset = sample.offset;
        self.touched_ms = sample.log_clock_ms;
        self.count += 1;
        self.sum += sample.value;
        self.min = self.min.min(sample.value);
        self.max = self.max.max(sample.value);
        self.sketch.add(sample.bin_key);
        if let Some(hash) = sample.new_device {
            self.devices.insert(hash);
        }
    }

    /// Reads everything that [`Self::add`] will change, to have it fetched. The result means nothing.
    #[must_use]
    pub fn peek(&self, sample: &Sample) -> u64 {
        self.count ^ self.sketch.peek(sample.bin_key)
    }

    /// Log clock at which nobody is expected to add any more, before lingering.
    #[must_use]
    pub fn idle_since_ms(&self, level: &Level) -> i64 {
        let bucket_end_seconds = i64::from(self.key.bucket_seconds) + i64::from(level.period_seconds);
        self.touched_ms.max(bucket_end_seconds * 1_000)
    }

    /// Writes the row.
    pub fn write(&self, level: &Level, symbols: &Symbols, origin: Origin, rows: &mut RollupRows) {
        let (tenant, metric) = symbols.names(self.key.symbol);
        rows.tenant.push(tenant);
        rows.metric.push(metric);
        rows.period_seconds.push(level.period_seconds);
        rows.resolution.push(level.resolution);
        rows.bucket_seconds.push(self.key.bucket_seconds);
        rows.cell.push(self.key.cell);
        rows.partition.push(origin.partition);
        rows.generation.push(self.generation);
        let last_offset = self.last_offset;
        #[cfg(feature = "sabotage")]
        let last_offset = if platform::sabotage::Rule::VersionRises.is_broken() {
            self.generation
        } else {
            last_offset
        };
        rows.version.push(origin.version(last_offset));
        rows.count.push(self.count);
        rows.sum.push(self.sum);
        rows.min.push(self.min);
        rows.max.push(self.max);
        rows.bin_keys.push(self.sketch.bins().map(|bin| bin.0));
        rows.bin_counts.push(self.sketch.bins().map(|bin| u64::from(bin.1)));
        rows.device_hashes.push(self.devices.hashes().iter().copied());
    }
}

/// Where rows come from: the partition, and how often its state was begun anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Log partition.
    pub partition: u16,
    /// 0, and one more each time that the state of the partition was lost and rebuilt.
    pub incarnation: u16,
}

impl Origin {
    /// Bits of a version below the incarnation: offsets up to 2.8e14.
    const OFFSET_BITS: u32 = 48;

    /// Where a row of this version came from.
    #[must_use]
    pub fn of_version(partition: u16, version: u64) -> Self {
        Self {
            partition,
            incarnation: (version >> Self::OFFSET_BITS) as u16,
        }
    }

    /// The lowest version of an incarnation.
    #[must_use]
    pub fn first_version(incarnation: u16) -> u64 {
        u64::from(incarnation) << Self::OFFSET_BITS
    }

    /// The offset in a version.
    #[must_use]
    pub fn offset_of(version: u64) -> u64 {
        version & ((1 << Self::OFFSET_BITS) - 1)
    }

    /// The version of a snapshot: rises with the offset, and rows of a later incarnation win over earlier ones.
    #[must_use]
    pub fn version(self, offset: u64) -> u64 {
        debug_assert!(offset >> Self::OFFSET_BITS == 0, "offsets stay below 2^48");
        u64::from(self.incarnation) << Self::OFFSET_BITS | offset
    }
}
