//! How many events a second one core turns from log records into rows, without I/O, and where the time goes.
//!
//! Reference in the same run: a plain loop that decodes with serde, indexes with h3o and adds up one level in a hash
//! map: what one would write by hand for a tenth of the work. Run: `cargo xtask bench processing`.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark reports by printing, and may fail loudly"
)]

use std::{collections::HashMap, fs, hint::black_box, sync::Arc};

use eventlog::{PartitionId, RecordBatch, RecordBatchBuilder, TopicPartition};
use processors::task::{Due, Parameters, Task};
use schemas::{
    DeliveryMark, Event, Metric, Motion, Position, Reading, Receipt,
    record::{self, EVENTS_TOPIC},
    rows::{Rows, TABLE_COUNT},
};

const EVENTS: usize = 1_000_000;
const BATCH: usize = 500;
/// About one second of one core.
const FLUSH_EVERY: usize = 250_000;
const ROUNDS: usize = 5;
const START_MS: i64 = 1_790_000_000_000;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    for fleet in [
        Fleet {
            devices: 20_000,
            interval_ms: 1_000,
            moving_percent: 60,
        },
        // Few reports in a cell and minute: the hardest for rollups.
        Fleet {
            devices: 20_000,
            interval_ms: 10_000,
            moving_percent: 60,
        },
        Fleet {
            devices: 20_000,
            interval_ms: 10_000,
            moving_percent: 5,
        },
    ] {
        report(&fleet);
    }
}

struct Fleet {
    devices: usize,
    interval_ms: i64,
    moving_percent: usize,
}

fn report(fleet: &Fleet) {
    let batches = fleet.records();
    let bytes: usize = batches.iter().map(RecordBatch::byte_count).sum();
    println!(
        "\n{EVENTS} events of {} bytes with 2 metrics, {} devices every {} s, {} % moving; median of {ROUNDS}",
        bytes / EVENTS,
        fleet.devices,
        fleet.interval_ms / 1_000,
        fleet.moving_percent
    );
    let reference = measure("reference: serde + h3o + one level in a hash map", None, || {
        by_hand(&batches)
    });
    measure("decode only", Some(reference), || {
        for record in batches.iter().flat_map(RecordBatch::iter) {
            black_box(record::decode(record.value).unwrap());
        }
    });
    let mut one_level = Parameters::default();
    one_level.rollup.levels.truncate(1);
    measure("task, 1 rollup level", Some(reference), || {
        run_task(&batches, &one_level, FLUSH_EVERY)
    });
    let full = Parameters::default();
    measure("task, 9 rollup levels", Some(reference), || {
        run_task(&batches, &full, FLUSH_EVERY)
    });
    let [measurements, snapshots, ..] = run_task(&batches, &full, FLUSH_EVERY);
    println!(
        "  rows: {measurements} measurements, {snapshots} snapshots in {} flushes",
        EVENTS / FLUSH_EVERY
    );
}

/// Runs `work` several times and prints its median rate, beside the reference's if there is one.
///
/// With a name on the command line only what contains it runs: for a profiler.
fn measure<T>(name: &str, reference_ns: Option<f64>, mut work: impl FnMut() -> T) -> f64 {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
        return f64::NAN;
    }
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start_ns = thread_cpu_ns();
            black_box(work());
            (thread_cpu_ns() - start_ns) as f64 / EVENTS as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let median = times[ROUNDS / 2];
    let ratio = reference_ns.map_or(String::new(), |reference| {
        format!("{:5.2}x the reference's rate", reference / median)
    });
    println!(
        "  {name:<50} {median:7.0} ns/event {:9.0} events/s, at best {:9.0}  {ratio}",
        1e9 / median,
        1e9 / times[0],
    );
    median
}

/// CPU time of this thread: a busy machine then slows the run, not the result.
fn thread_cpu_ns() -> u64 {
    let statistics = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    statistics.split_whitespace().next().unwrap().parse().unwrap()
}

/// Applies all records and collects what is due after every `flush_every` events, as the runner does after so many rows.
/// A level is due when its interval has passed, where one flush stands for one second.
fn run_task(batches: &[RecordBatch], parameters: &Parameters, flush_every: usize) -> [usize; TABLE_COUNT] {
    let mut task = Task::new(partition(), 0, 0, parameters);
    let (mut totals, mut flushes) = ([0; TABLE_COUNT], 0u64);
    for (index, batch) in batches.iter().enumerate() {
        task.apply(batch);
        if ((index + 1) * BATCH).is_multiple_of(flush_every) {
            flushes += 1;
            let due = |interval_ms: u64| (flushes * 1_000).is_multiple_of(interval_ms);
            let levels = parameters.rollup.levels.iter().enumerate();
            let mask = levels
                .filter(|(_, level)| due(level.flush_interval_ms))
                .fold(0, |mask, (bit, _)| mask | 1 << bit);
            collect(&mut task, Due::Levels(mask), &mut totals);
        }
    }
    collect(&mut task, Due::All, &mut totals);
    totals
}

fn collect(task: &mut Task, due: Due, totals: &mut [usize; TABLE_COUNT]) {
    let mut rows = Rows::default();
    task.collect(due, &mut rows);
    totals
        .iter_mut()
        .zip(rows.counts())
        .for_each(|(total, count)| *total += count);
    black_box(rows);
}

fn by_hand(batches: &[RecordBatch]) -> usize {
    #[derive(serde::Deserialize)]
    struct Wire<'a> {
        tenant: &'a str,
        ts: i64,
        lat: f64,
        lon: f64,
        #[serde(borrow)]
        metrics: HashMap<&'a str, f64>,
    }
    /// Tenant and metric, cell, minute.
    type Key = (String, u64, i64);
    let mut cells: HashMap<Key, (u64, f64, f64, f64)> = HashMap::new();
    for record in batches.iter().flat_map(RecordBatch::iter) {
        let event: Wire<'_> = serde_json::from_slice(record.value).unwrap();
        let cell = h3o::LatLng::new(event.lat, event.lon)
            .unwrap()
            .to_cell(h3o::Resolution::Nine);
        for (metric, value) in event.metrics {
            let key = (format!("{}/{metric}", event.tenant), cell.into(), event.ts / 60_000);
            let sums = cells.entry(key).or_insert((0, 0.0, f64::MAX, f64::MIN));
            *sums = (sums.0 + 1, sums.1 + value, sums.2.min(value), sums.3.max(value));
        }
    }
    cells.len()
}

fn partition() -> TopicPartition {
    TopicPartition {
        topic: Arc::from(EVENTS_TOPIC),
        partition: PartitionId(0),
    }
}

impl Fleet {
    /// Every device reports at its interval, each about its own place; the same records each time.
    fn records(&self) -> Vec<RecordBatch> {
        let mut noise = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move || {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            (noise >> 11) as f64 / (1u64 << 53) as f64
        };
        let mut places: Vec<(f64, f64)> = (0..self.devices)
            .map(|_| (52.3 + random() * 0.4, 13.1 + random() * 0.6))
            .collect();
        let (mut batches, mut value) = (Vec::new(), Vec::new());
        let mut builder = RecordBatchBuilder::new(partition());
        for index in 0..EVENTS {
            let device = index % self.devices;
            let place = &mut places[device];
            if device * 100 < self.moving_percent * self.devices {
                let seconds = self.interval_ms as f64 / 1_000.0;
                place.0 += (random() - 0.5) * 0.0002 * seconds;
                place.1 += (random() - 0.5) * 0.0003 * seconds;
            }
            let now_ms = START_MS + (index as i64 * self.interval_ms) / self.devices as i64;
            let name = format!("device-{device:05}");
            let reading = Reading {
                claimed_ts_ms: Some(now_ms - 500),
                claimed_submilli_ns: 0,
                seq: Some((index / self.devices) as u64),
                position: Position::from_degrees(place.0, place.1),
                motion: Motion {
                    accuracy_m: Some(5.0),
                    ..Motion::default()
                },
                metrics: vec![
                    Metric {
                        name: "temperature".into(),
                        value: (random() * 400.0).round() / 10.0,
                    },
                    Metric {
                        name: "battery".into(),
                        value: (random() * 100.0).round(),
                    },
                ],
                attributes: Vec::new(),
            };
            let receipt = Receipt {
                tenant: "acme",
                device: &name,
                broker: "edge-1",
                received_at_ms: now_ms,
                delivery: DeliveryMark {
                    packet_id: 1,
                    redelivered: false,
                    run: 1,
                    number: 1,
                    index: 0,
                },
                replay: None,
            };
            value.clear();
            record::encode(&Event::new(reading, receipt, 60_000), &mut value);
            builder.push(index as u64, now_ms, record::key("acme", &name).as_bytes(), &value, []);
            if builder.len() == BATCH {
                batches.push(std::mem::replace(&mut builder, RecordBatchBuilder::new(partition())).finish());
            }
        }
        batches
    }
}
