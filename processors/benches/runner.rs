//! How many events a second one instance processes, from the log to encoded rows, with durable checkpoints; and how
//! long a checkpoint takes.
//!
//! The log is in memory and the sink throws encoded rows away, so this measures our own work alone. Run:
//! `cargo bench -p processors --bench runner`.
//!
//! Must never be read as the speed of the product: the log and ClickHouse have their own.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark reports on standard output"
)]

use std::{
    convert::Infallible,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use eventlog::{MemoryLog, Message, PartitionId, Producer, ProducerLimits, Token, TopicPartition, TopicSpec};
use platform::{clock::SystemClock, health::Health, shutdown::Shutdown};
use processors::{
    checkpoint::{Checkpoint, CheckpointNumber, CheckpointStore},
    config::{ProcessSettings, Workers},
    pipeline,
    runner::RowSink,
};
use schemas::{
    Event, Metric, Motion, Position,
    arrow::{TableBatches, encode_tables},
    record::{self, DEAD_LETTERS_TOPIC, EVENTS_TOPIC},
    rows::Rows,
};

const EVENTS: u32 = 1_000_000;
const PARTITIONS: u16 = 8;
const DEVICES: u32 = 10_000;
const GROUP: &str = "bench";

/// Encodes as the real one does, and counts rows.
struct EncodingSink(Arc<AtomicUsize>);

impl RowSink for EncodingSink {
    type Encoded = TableBatches;
    type Error = Infallible;

    fn encode(&self, rows: Rows) -> TableBatches {
        self.0.fetch_add(rows.counts().iter().sum(), Ordering::Relaxed);
        TableBatches::from_rows(rows).unwrap()
    }

    async fn insert(&self, batches: Vec<TableBatches>) -> Result<(), Infallible> {
        std::hint::black_box(encode_tables(&batches).unwrap());
        Ok(())
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        for workers in [1, 2, 4] {
            process(workers).await;
        }
        checkpoints().await;
    });
}

/// A fleet that reports every ten seconds, two metrics each, from places that stay.
fn filled_log() -> MemoryLog {
    let log = MemoryLog::new();
    let topics = [
        TopicSpec::new(EVENTS_TOPIC, PARTITIONS),
        TopicSpec::new(DEAD_LETTERS_TOPIC, 1),
    ];
    log.ensure_topics(&topics).unwrap();
    let (producer, mut reports) = log.producer(ProducerLimits::default());
    for index in 0..EVENTS {
        let number = index % DEVICES;
        let device = format!("device-{number}");
        let now_ms = 1_732_212_345_000 + i64::from(index / (DEVICES / 10)) * 1_000;
        let metric = |name: &'static str, value: f64| Metric {
            name: name.into(),
            value,
        };
        let event = Event {
            tenant: "acme".into(),
            device: device.as_str().into(),
            ts_ms: now_ms,
            device_ts_ms: None,
            ts_submilli_ns: 0,
            seq: Some(u64::from(index)),
            position: Position::from_degrees(
                52.0 + f64::from(number % 100) * 0.005,
                13.0 + f64::from(number / 100) * 0.005,
            ),
            motion: Motion::default(),
            metrics: [
                metric("temperature", 20.0 + f64::from(index % 97) * 0.1),
                metric("humidity", 40.0 + f64::from(index % 89) * 0.1),
            ]
            .into_iter()
            .collect(),
            attributes: Vec::new(),
            received_at_ms: now_ms,
            broker: "edge-1".into(),
            ts_assigned: false,
            delivery: None,
            replay_of: None,
        };
        let mut value = Vec::new();
        record::encode(&event, &mut value);
        let message = Message {
            topic: EVENTS_TOPIC.into(),
            key: record::key("acme", &device).into(),
            value: value.into(),
            headers: Vec::new(),
            timestamp_ms: now_ms,
            token: Token(u64::from(index)),
        };
        assert!(producer.send(message).is_ok());
        while reports.try_recv().is_ok() {}
    }
    log
}

async fn process(workers: usize) {
    let log = filled_log();
    let folder = tempfile::tempdir().unwrap();
    let store = CheckpointStore::open(&format!("file:{}", folder.path().display())).unwrap();
    let settings = ProcessSettings {
        workers: Workers::Threads(NonZeroUsize::new(workers).unwrap()),
        ..ProcessSettings::default()
    };
    let consumer = Box::new(log.consumer(pipeline::subscription(GROUP)));
    let row_count = Arc::new(AtomicUsize::new(0));
    let sink = EncodingSink(row_count.clone());
    let (trigger, shutdown) = Shutdown::new();
    let health = Health::new(Arc::new(SystemClock::new()));
    let started = Instant::now();
    let task = tokio::spawn(async move { pipeline::run(settings, consumer, sink, store, shutdown, &health).await });
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let committed = (0..PARTITIONS).filter_map(|partition| log.committed(GROUP, &place(partition)));
        if committed.sum::<u64>() == u64::from(EVENTS) {
            break;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    trigger.request();
    task.await.unwrap().unwrap();
    let per_second = f64::from(EVENTS) / seconds;
    let rows_per_event = row_count.load(Ordering::Relaxed) as f64 / f64::from(EVENTS);
    println!(
        "{workers} workers: {per_second:.0} events/s until all is committed, {rows_per_event:.2} rows an event, {seconds:.2} s"
    );
}

async fn checkpoints() {
    for state_bytes in [10_000, 1_000_000, 10_000_000] {
        let folder = tempfile::tempdir_in(".").unwrap();
        let store = CheckpointStore::open(&format!("file:{}", folder.path().display())).unwrap();
        let mut number = CheckpointNumber(1);
        let rounds = 20;
        let (mut encode, mut put, mut frame_bytes) = (Duration::ZERO, Duration::ZERO, 0);
        for round in 0..rounds {
            let state = (0..state_bytes)
                .map(|index| (index * 7 / (round + 3) % 61) as u8)
                .collect();
            let checkpoint = Checkpoint {
                offset: 1,
                reach: None,
                incarnation: 0,
                state,
            };
            let started = Instant::now();
            let frame = checkpoint.encode();
            encode += started.elapsed();
            frame_bytes = frame.len();
            let started = Instant::now();
            store.put(&place(0), number, frame).await.unwrap();
            put += started.elapsed();
            number = number.next();
        }
        let average = |total: Duration| total.as_secs_f64() * 1_000.0 / f64::from(rounds as u32);
        println!(
            "checkpoint of {state_bytes} bytes: encode {:.2} ms, frame {frame_bytes} bytes, durable put {:.2} ms",
            average(encode),
            average(put)
        );
    }
}

fn place(partition: u16) -> TopicPartition {
    TopicPartition {
        topic: EVENTS_TOPIC.into(),
        partition: PartitionId(partition),
    }
}
