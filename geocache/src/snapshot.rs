//! A snapshot: the absolute values of one hexagon, as one accumulator of one log partition holds them.
//!
//! Pure values. Must never be added up twice: of one accumulator only the newest version counts.

use std::sync::Arc;

/// A bucket of one level: what snapshots are grouped by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Start of the bucket, Unix seconds. First, so that places sort by age.
    pub bucket_seconds: u32,
    /// Length of the bucket, in seconds.
    pub period_seconds: u32,
    /// H3 resolution.
    pub resolution: u8,
    /// Owner of the devices.
    pub tenant: Arc<str>,
    /// Name of the metric.
    pub metric: Arc<str>,
}

impl Place {
    /// End of the bucket, Unix seconds.
    #[must_use]
    pub fn end_seconds(&self) -> u32 {
        self.bucket_seconds.saturating_add(self.period_seconds)
    }
}

/// What a hexagon holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Values {
    /// Number of measurements; 0 where they were withdrawn.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Their minimum.
    pub min: f64,
    /// Their maximum.
    pub max: f64,
}

impl Values {
    /// Of no measurement at all.
    pub const NONE: Self = Self {
        count: 0,
        sum: 0.0,
        min: f64::INFINITY,
        max: f64::NEG_INFINITY,
    };

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if other.count == 0 {
            return self;
        }
        Self {
            count: self.count + other.count,
            sum: self.sum + other.sum,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }
}

/// Which accumulator a snapshot is of. The generation is the offset of an event, which has one tenant: so nobody else has
/// the same in one cell of one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    /// Log partition.
    pub partition: u16,
    /// Offset of the first event in it.
    pub generation: u64,
}

/// Absolute values of a hexagon, of one accumulator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Snapshot {
    /// H3 cell.
    pub cell: u64,
    /// Which accumulator.
    pub source: Source,
    /// Rises with every event that it counts.
    pub version: u64,
    /// What it holds.
    pub values: Values,
}
