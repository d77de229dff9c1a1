//! `[process]`, `[devices]`, `[dedupe]` and `[rollup]`: how partitions are processed.

use std::{num::NonZeroUsize, ops::RangeInclusive, time::Duration};

use platform::config::{Field, Section};
use processors::{
    config::{ProcessSettings, Workers},
    dedupe::recent::RecentLimits,
    device::table::DeviceLimits,
    limits as process_limits,
    rollup::{
        RollupParameters,
        level::{Level, LevelError},
    },
    task::Parameters,
};

use super::limits;

/// Flushes and checkpoints.
const INTERVAL: RangeInclusive<Duration> = process_limits::INTERVAL_MIN..=process_limits::INTERVAL_MAX;

/// Reads how partitions are processed.
pub(super) fn read(root: &Section<'_>) -> ProcessSettings {
    let process = root.section("process");
    let (devices, dedupe) = (root.section("devices"), root.section("dedupe"));
    let rollup = root.section("rollup");
    let workers = process.optional("workers").and_then(|field| {
        let count = field.integer(1..=process_limits::WORKERS_MAX as u64);
        NonZeroUsize::new(count_of(count))
    });
    let faults_before = root.fault_count();
    let base_field = rollup.required("base_resolution");
    let base_resolution = base_field.integer(0..=15);
    let parameters = Parameters {
        base_resolution: u8::try_from(base_resolution).expect("the range was checked"),
        rollup: RollupParameters {
            levels: rollup.sections("levels").iter().map(read_level).collect(),
            linger_ms: milliseconds(&rollup.required("linger"), limits::MEMORY_AGE),
            accumulators_max: count_of(rollup.required("cells_max").integer(limits::MEMORY_COUNT)),
        },
        devices: DeviceLimits {
            count_max: count_of(devices.required("count_max").integer(limits::MEMORY_COUNT)),
            age_ms: milliseconds(&devices.required("age_max"), limits::MEMORY_AGE),
        },
        identities: RecentLimits {
            count_max: count_of(dedupe.required("count_max").integer(limits::MEMORY_COUNT)),
            age_ms: milliseconds(&dedupe.required("age_max"), limits::MEMORY_AGE),
        },
        allowed_lateness_ms: milliseconds(&process.required("allowed_lateness"), limits::LATENESS),
    };
    if root.fault_count() == faults_before
        && let Err(error) = parameters.validate()
    {
        match error {
            // Whoever wrote the one is told of the one.
            LevelError::Resolution { resolution, base } if base != Parameters::default().base_resolution => {
                let why = format!(
                    "is {base}, coarser than the rollup level at resolution {resolution}; set `[[rollup.levels]]` too"
                );
                base_field.fault(why);
            }
            error => rollup.fault("levels", format!("do not fit together: {error}")),
        }
    }
    ProcessSettings {
        parameters,
        flush_interval: process.required("flush_interval").duration(INTERVAL),
        checkpoint_interval: process.required("checkpoint_interval").duration(INTERVAL),
        workers: workers.map_or_else(Workers::for_this_machine, Workers::Threads),
        ..ProcessSettings::default()
    }
}

fn read_level(section: &Section<'_>) -> Level {
    let period = section.required("period");
    let length = period.duration(Duration::from_secs(1)..=Duration::from_secs(86_400));
    if length.subsec_nanos() != 0 {
        period.fault("is not a whole number of seconds");
    }
    let resolution = section.required("res").integer(0..=15);
    Level {
        period_seconds: u32::try_from(length.as_secs()).expect("the range was checked"),
        resolution: u8::try_from(resolution).expect("the range was checked"),
        flush_interval_ms: u64::try_from(section.required("flush_interval").duration(INTERVAL).as_millis())
            .expect("the range was checked"),
    }
}

fn milliseconds(field: &Field<'_>, range: RangeInclusive<Duration>) -> i64 {
    i64::try_from(field.duration(range).as_millis()).expect("ranges of durations are far below this")
}

fn count_of(number: u64) -> usize {
    usize::try_from(number).expect("ranges of counts fit into memory")
}
