//! Which rollups are kept: period, resolution, and how often their cells are written.

use h3o::{CellIndex, Resolution};
use serde::{Deserialize, Serialize};

/// Levels at most: links hold one slot for each.
pub const LEVELS_MAX: usize = 16;

/// One rollup level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Level {
    /// Length of a bucket, in seconds.
    pub period_seconds: u32,
    /// H3 resolution of its cells, at most the base resolution.
    pub resolution: u8,
    /// How long a changed cell may wait to be written, in milliseconds. Shapes no state.
    pub flush_interval_ms: u64,
}

impl Level {
    /// Start of the bucket that holds a time, both in Unix seconds.
    #[must_use]
    pub fn bucket(&self, seconds: u32) -> u32 {
        seconds - seconds % self.period_seconds
    }

    /// The cell of this level around a base cell; 0 stays 0. None when the base cell is coarser than the level.
    #[must_use]
    pub fn cell(&self, base: u64) -> Option<u64> {
        if base == 0 {
            return Some(0);
        }
        let cell = CellIndex::try_from(base).ok()?;
        let resolution = Resolution::try_from(self.resolution).ok()?;
        Some(cell.parent(resolution)?.into())
    }
}

/// Why levels cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LevelError {
    /// None, or too many.
    #[error("between 1 and {LEVELS_MAX} rollup levels are needed, not {0}")]
    Count(usize),
    /// A period of zero, of more than a day, or that does not divide a day: buckets would drift against dates.
    #[error("a rollup period must divide a day, which {0} s does not")]
    Period(u32),
    /// Periods do not nest.
    #[error("a rollup period must be a multiple of the shortest one: {longer} s is none of {shortest} s")]
    Nesting {
        /// The period.
        longer: u32,
        /// The shortest of all.
        shortest: u32,
    },
    /// Finer than positions are indexed.
    #[error("rollup resolution {resolution} is finer than the base resolution {base}")]
    Resolution {
        /// Of the level.
        resolution: u8,
        /// Of the index.
        base: u8,
    },
    /// Twice the same.
    #[error("rollup level {period} s at resolution {resolution} is there twice")]
    Twice {
        /// Period in seconds.
        period: u32,
        /// Resolution.
        resolution: u8,
    },
}

/// Checks that levels fit together.
///
/// # Errors
/// The first fault found.
pub fn validate(levels: &[Level], base_resolution: u8) -> Result<(), LevelError> {
    const DAY: u32 = 86_400;
    if levels.is_empty() || levels.len() > LEVELS_MAX {
        return Err(LevelError::Count(levels.len()));
    }
    if let Some(level) = levels
        .iter()
        .find(|level| level.period_seconds == 0 || !DAY.is_multiple_of(level.period_seconds))
    {
        return Err(LevelError::Period(level.period_seconds));
    }
    let shortest = levels
        .iter()
        .map(|level| level.period_seconds)
        .min()
        .expect("there is one");
    for (index, level) in levels.iter().enumerate() {
        if !level.period_seconds.is_multiple_of(shortest) {
            return Err(LevelError::Nesting {
                longer: level.period_seconds,
                shortest,
            });
        }
        if level.resolution > base_resolution {
            return Err(LevelError::Resolution {
                resolution: level.resolution,
                base: base_resolution,
            });
        }
        let same = |other: &Level| (other.period_seconds, other.resolution) == (level.period_seconds, level.resolution);
        if levels[..index].iter().any(same) {
            return Err(LevelError::Twice {
                period: level.period_seconds,
                resolution: level.resolution,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(period_seconds: u32, resolution: u8) -> Level {
        Level {
            period_seconds,
            resolution,
            flush_interval_ms: 1_000,
        }
    }

    #[test]
    fn levels_that_do_not_fit_together_are_refused() {
        let check = |levels: &[Level]| validate(levels, 9);
        assert_eq!(check(&[level(60, 9), level(3_600, 7), level(86_400, 5)]), Ok(()));
        assert_eq!(check(&[]), Err(LevelError::Count(0)));
        assert_eq!(check(&[level(0, 9)]), Err(LevelError::Period(0)));
        assert_eq!(check(&[level(7, 9)]), Err(LevelError::Period(7)));
        assert_eq!(
            check(&[level(60, 9), level(90, 9)]),
            Err(LevelError::Nesting {
                longer: 90,
                shortest: 60
            })
        );
        assert_eq!(
            check(&[level(60, 10)]),
            Err(LevelError::Resolution {
                resolution: 10,
                base: 9
            })
        );
        assert_eq!(
            check(&[level(60, 9), level(60, 9)]),
            Err(LevelError::Twice {
                period: 60,
                resolution: 9
            })
        );
    }
}
