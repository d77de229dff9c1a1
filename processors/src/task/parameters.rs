//! What shapes a task's state. It travels inside checkpoints, so that a crash never mixes two configurations.

use serde::{Deserialize, Serialize};

use crate::{
    dedupe::recent::RecentLimits,
    device::table::DeviceLimits,
    rollup::{
        RollupParameters,
        level::{self, Level, LevelError},
    },
};

/// Parameters of the tasks of one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// H3 resolution at which positions are indexed.
    pub base_resolution: u8,
    /// Rollup levels and how long their accumulators live.
    pub rollup: RollupParameters,
    /// Devices known.
    pub devices: DeviceLimits,
    /// Identities of events without `seq`.
    pub identities: RecentLimits,
    /// Taken off the watermark, in milliseconds.
    pub allowed_lateness_ms: i64,
}

impl Parameters {
    /// Checks that the parameters fit together.
    ///
    /// # Errors
    /// The first fault found.
    pub fn validate(&self) -> Result<(), LevelError> {
        level::validate(&self.rollup.levels, self.base_resolution)
    }
}

impl Default for Parameters {
    fn default() -> Self {
        let level = |period_seconds, resolution, flush_interval_ms| Level {
            period_seconds,
            resolution,
            flush_interval_ms,
        };
        let by_period = |(period_seconds, flush_interval_ms)| {
            [9, 7, 5].map(|resolution| level(period_seconds, resolution, flush_interval_ms))
        };
        Self {
            base_resolution: 9,
            rollup: RollupParameters {
                // Minutes are watched live; an hour or a day looks no different ten seconds later.
                levels: [(60, 1_000), (3_600, 5_000), (86_400, 10_000)]
                    .into_iter()
                    .flat_map(by_period)
                    .collect(),
                // Longer than devices, brokers and retries usually delay; later events just open a new generation.
                linger_ms: 120_000,
                // About 100 MB a partition at 400 bytes each.
                accumulators_max: 250_000,
            },
            // About 100 MB a partition at 400 bytes each.
            devices: DeviceLimits {
                count_max: 250_000,
                age_ms: 7 * 86_400_000,
            },
            // At most 5 MB a partition; half of it is known for sure.
            identities: RecentLimits {
                count_max: 262_144,
                age_ms: 86_400_000,
            },
            allowed_lateness_ms: 10_000,
        }
    }
}
