//! How many rows and bytes each rollup level writes for a measurement, and what the engine writes to disk for them.
//!
//! The demo fleet, grown to 20,000 devices that report every 10 s, goes through the tasks of all partitions in the time of
//! the log: every second what is due by the default intervals is collected, and each partition writes a checkpoint every
//! 10 s, before which everything is collected, as the runner does. Rows are counted, so the first table is the same on
//! every machine. References in the same run: one row for each measurement and level, which a table that adds per event
//! would write, and one row for each cell and bucket, which nobody can go below who shows them all.
//!
//! The same flushes go into the embedded engine, first all rollups and then all measurements, so that the engine can say
//! how many bytes it wrote for each, merges included. Run: `cargo xtask bench write_amplification [minutes of log time]`.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark reports by printing, and may fail loudly"
)]

mod engine;
mod levels;
mod traffic;

use std::sync::Arc;

use eventlog::{PartitionId, TopicPartition};
use processors::task::{Due, Parameters, Task};
use schemas::{record::EVENTS_TOPIC, rows::Rows};

use self::{levels::Levels, traffic::Traffic};

const MINUTES_DEFAULT: u32 = 5;
/// As in the default configuration.
const PARTITIONS: u16 = 12;
/// As in the default configuration: `process.checkpoint_interval`.
const CHECKPOINT_EVERY_SECONDS: u64 = 10;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let given = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let minutes = given.map_or(MINUTES_DEFAULT, |text| text.parse().expect("minutes of log time"));
    let parameters = Parameters::default();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut engine = runtime.block_on(engine::Engine::start());

    let mut levels = Levels::new(&parameters.rollup.levels);
    let mut measurements = Vec::new();
    let events = drive(minutes, &parameters, |rows| {
        levels.count(&rows);
        let [of_measurements, of_rollups] = engine::split(rows);
        measurements.push(of_measurements);
        runtime.block_on(engine.insert(of_rollups));
    });
    levels.report(minutes, events);
    let rollups = runtime.block_on(engine.settle("rollup_log"));
    for encoded in measurements {
        runtime.block_on(engine.insert(encoded));
    }
    let measurements = runtime.block_on(engine.settle("measurement_log"));
    engine::report(&measurements, &rollups, levels.measurements);
    runtime.block_on(engine.stop());
}

/// Lets the fleet pass through the tasks and hands over the rows of each flush; returns the number of events.
fn drive(minutes: u32, parameters: &Parameters, mut flush: impl FnMut(Rows)) -> u64 {
    let mut tasks: Vec<Task> = (0..PARTITIONS)
        .map(|partition| Task::new(place(partition), 0, 0, parameters))
        .collect();
    let mut traffic = Traffic::new(minutes, PARTITIONS);
    let mut second = 0;
    while let Some(batches) = traffic.next_second() {
        second += 1;
        let mask = due_levels(parameters, second);
        let mut rows = Rows::default();
        for (index, (task, batch)) in tasks.iter_mut().zip(&batches).enumerate() {
            task.apply(batch);
            // Partitions take turns with their checkpoints.
            if (second + index as u64).is_multiple_of(CHECKPOINT_EVERY_SECONDS) {
                task.collect(Due::All, &mut rows);
                std::hint::black_box(task.checkpoint());
            } else {
                task.collect(Due::Levels(mask), &mut rows);
            }
        }
        flush(rows);
    }
    let mut rows = Rows::default();
    tasks.iter_mut().for_each(|task| task.collect(Due::All, &mut rows));
    flush(rows);
    traffic.event_count()
}

fn due_levels(parameters: &Parameters, second: u64) -> u32 {
    let levels = parameters.rollup.levels.iter().enumerate();
    let due = levels.filter(|(_, level)| (second * 1_000).is_multiple_of(level.flush_interval_ms));
    due.fold(0, |mask, (bit, _)| mask | 1 << bit)
}

fn place(partition: u16) -> TopicPartition {
    TopicPartition {
        topic: Arc::from(EVENTS_TOPIC),
        partition: PartitionId(partition),
    }
}
