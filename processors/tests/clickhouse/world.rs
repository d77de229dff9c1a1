//! A pipeline over the real engine and a log in memory: it can be killed, lose its checkpoints and the beginning of its
//! log, and what is in the tables is compared with what one task makes of all records that there ever were.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use eventlog::{MemoryLog, PartitionId, RecordBatchBuilder, TopicPartition, TopicSpec};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory};
use platform::{
    clock::SystemClock,
    health::Health,
    shutdown::{Shutdown, ShutdownTrigger},
};
use processors::{
    audit::{AuditStore, CellDifference, Hole, Known, audit, verify},
    checkpoint::CheckpointStore,
    config::{ProcessSettings, Workers},
    pipeline,
    runner::ProcessError,
    sink::{ClickHouseSink, SinkSettings},
    task::{Due, Parameters, Task},
};
use schemas::{
    record::{DEAD_LETTERS_TOPIC, EVENTS_TOPIC},
    rows::Rows,
};

use crate::{fleet::Fleet, rig::Database};

const PARTITIONS: u16 = 2;
const SETTLED_MAX: Duration = Duration::from_secs(60);

pub(crate) fn places() -> Vec<TopicPartition> {
    let place = |topic: &str, partition| TopicPartition {
        topic: topic.into(),
        partition: PartitionId(partition),
    };
    let letters = place(DEAD_LETTERS_TOPIC, 0);
    let events = (0..PARTITIONS).map(|partition| place(EVENTS_TOPIC, partition));
    events.chain([letters]).collect()
}

/// Everything around an instance, and all that was ever in the log.
pub(crate) struct World {
    pub(crate) database: Database,
    log: MemoryLog,
    pub(crate) fleet: Fleet,
    pub(crate) objects: Arc<InMemory>,
    settings: ProcessSettings,
    history: BTreeMap<TopicPartition, Vec<Kept>>,
    pub(crate) group: &'static str,
}

struct Kept {
    offset: u64,
    timestamp_ms: i64,
    key: Vec<u8>,
    value: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
}

pub(crate) struct Running {
    trigger: ShutdownTrigger,
    pub(crate) task: tokio::task::JoinHandle<Result<(), ProcessError>>,
}

impl Running {
    pub(crate) async fn stop(self) {
        self.trigger.request();
        self.task.await.unwrap().unwrap();
    }

    /// As kill -9: nothing more happens here, and what was sent may arrive.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

impl World {
    pub(crate) async fn new(name: &str, seed: u64, change: impl FnOnce(&mut Parameters)) -> Self {
        let log = MemoryLog::new();
        log.ensure_topics(&[
            TopicSpec::new(EVENTS_TOPIC, PARTITIONS),
            TopicSpec::new(DEAD_LETTERS_TOPIC, 1),
        ])
        .unwrap();
        let mut settings = ProcessSettings {
            workers: Workers::Threads(NonZeroUsize::new(2).unwrap()),
            flush_interval: Duration::from_millis(100),
            // Flushes go beyond the ledger for as long as events keep coming.
            checkpoint_interval: Duration::from_secs(600),
            ..ProcessSettings::default()
        };
        for level in &mut settings.parameters.rollup.levels {
            level.flush_interval_ms = 200;
        }
        change(&mut settings.parameters);
        Self {
            database: Database::migrated(name).await,
            fleet: Fleet::new(&log, seed),
            log,
            objects: Arc::default(),
            settings,
            history: BTreeMap::new(),
            group: "meridian",
        }
    }

    pub(crate) fn start(&self) -> Running {
        let (trigger, shutdown) = Shutdown::new();
        let consumer = Box::new(self.log.consumer(pipeline::subscription(self.group)));
        let client = self.database.client.clone();
        let sink = ClickHouseSink::new(SinkSettings::new(client, &self.database.name));
        let store = CheckpointStore::new(self.objects.clone(), "checkpoints");
        let settings = self.settings.clone();
        let task = tokio::spawn(async move {
            let health = Health::new(Arc::new(SystemClock::default()));
            pipeline::run(settings, consumer, sink, store, shutdown, &health).await
        });
        Running { trigger, task }
    }

    /// An owner that runs while devices publish for so long, and is stopped when everything is in the tables.
    pub(crate) async fn lives_for(&mut self, duration: Duration) {
        let running = self.start();
        self.feed_for(duration).await;
        self.settle().await;
        running.stop().await;
    }

    /// Devices publish without a pause that would have everything flushed.
    pub(crate) async fn feed_for(&mut self, duration: Duration) {
        let began = Instant::now();
        while began.elapsed() < duration {
            self.fleet.publish(8);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.remember();
    }

    /// Keeps what is in the log, before it is cut off.
    fn remember(&mut self) {
        for place in places() {
            let kept = self.history.entry(place.clone()).or_default();
            let from = kept.last().map_or(0, |last| last.offset + 1);
            let records = self.log.records(&place).unwrap();
            kept.extend(records.iter().filter(|record| record.offset >= from).map(|record| {
                Kept {
                    offset: record.offset,
                    timestamp_ms: record.timestamp_ms,
                    key: record.key.to_vec(),
                    value: record.value.to_vec(),
                    headers: record
                        .headers()
                        .map(|(name, value)| (name.to_owned(), value.to_vec()))
                        .collect(),
                }
            }));
        }
    }

    fn high(&self, place: &TopicPartition) -> u64 {
        let last = self.history.get(place).and_then(|kept| kept.last());
        last.map_or(0, |last| last.offset + 1)
    }

    pub(crate) async fn number(&self, sql: &str) -> u64 {
        self.database.text(sql).await.parse().unwrap()
    }

    /// Where the books of a partition end.
    async fn books_end(&self, place: &TopicPartition) -> u64 {
        let (topic, partition) = (&place.topic, place.partition.0);
        let of = format!("FROM ledger WHERE topic = '{topic}' AND partition = {partition}");
        self.number(&format!("SELECT if(count() = 0, 0, max(last_offset) + 1) {of}"))
            .await
    }

    /// Everything is in the tables and in the books.
    pub(crate) async fn settle(&mut self) {
        self.remember();
        let began = Instant::now();
        for place in places() {
            while self.books_end(&place).await != self.high(&place) {
                assert!(began.elapsed() < SETTLED_MAX, "{place} is not settled");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    pub(crate) async fn settled_ends(&self) -> BTreeMap<TopicPartition, u64> {
        let mut ends = BTreeMap::new();
        for place in places() {
            let end = self.books_end(&place).await;
            ends.insert(place, end);
        }
        ends
    }

    /// All checkpoints are gone, and the log begins where `cut` says from where the books end.
    pub(crate) async fn lose(&mut self, cut: impl Fn(&TopicPartition, u64) -> u64) {
        self.remember();
        self.objects = Arc::default();
        for place in places() {
            let end = self.books_end(&place).await;
            self.log.truncate_before(&place, cut(&place, end));
        }
    }

    /// All checkpoints are damaged.
    pub(crate) async fn damage(&self) {
        let all: Vec<_> = self.objects.list(None).try_collect().await.unwrap();
        assert!(!all.is_empty());
        for object in all {
            self.objects.put(&object.location, "torn".into()).await.unwrap();
        }
    }

    /// Rows that the dead owner wrote beyond the books.
    pub(crate) async fn assert_there_is_something_to_take_back(&self) {
        let (mut measurements, mut reaching, mut begun) = (0, 0, 0);
        for place in &places()[..usize::from(PARTITIONS)] {
            let (end, partition) = (self.books_end(place).await, place.partition.0);
            let count = |what: &str| format!("SELECT count() FROM {what} AND partition = {partition}");
            let snapshots = format!("rollup_log FINAL WHERE bitAnd(version, 281474976710655) >= {end}");
            measurements += self
                .number(&count(&format!("measurement_log FINAL WHERE offset >= {end}")))
                .await;
            reaching += self
                .number(&count(&format!("{snapshots} AND generation < {end}")))
                .await;
            begun += self
                .number(&count(&format!("{snapshots} AND generation >= {end}")))
                .await;
        }
        assert!(
            measurements > 0 && reaching > 0 && begun > 0,
            "{measurements} measurements, {reaching} snapshots that reach beyond, {begun} that begin there"
        );
    }

    /// What one task makes of all records that there ever were.
    pub(crate) fn expected(&self) -> Rows {
        let mut rows = Rows::default();
        for (place, history) in &self.history {
            let mut task = Task::new(place.clone(), 0, 0, &self.settings.parameters);
            let mut builder = RecordBatchBuilder::new(place.clone());
            for kept in history {
                let headers = kept
                    .headers
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_slice()));
                builder.push(kept.offset, kept.timestamp_ms, &kept.key, &kept.value, headers);
            }
            task.apply(&builder.finish());
            task.collect(Due::All, &mut rows);
        }
        rows
    }

    pub(crate) async fn assert_exact(&self) {
        let expected = self.expected();
        let lines = self
            .database
            .text("SELECT partition, offset, metric, toUnixTimestamp64Milli(ts), toInt64(value), cell FROM measurement_log FINAL")
            .await;
        same("measurements", measurement_lines(&expected), &lines);
        let lines = self
            .database
            .text(
                "SELECT metric, period, res, toUnixTimestamp(bucket), cell, count, toInt64(sum), toInt64(min), \
                 toInt64(max) FROM rollups",
            )
            .await;
        same("rollups", cell_lines(&expected), &lines);
        let sql = "SELECT topic, partition, sum(records), sum(events), sum(duplicates), sum(measurements), \
                   sum(checksum) FROM ledger GROUP BY topic, partition";
        same("books", book_lines(&expected), &self.database.text(sql).await);
        let letters = self.number("SELECT count() FROM dead_letters").await;
        assert_eq!(letters, expected.dead_letters.offset.len() as u64);

        let (holes, differences) = self.audited().await;
        assert!(holes.is_empty(), "{holes:#?}");
        assert!(differences.is_empty(), "{differences:#?}");
    }

    /// What does not add up, and cells that differ from a recount.
    pub(crate) async fn audited(&self) -> (Vec<Hole>, Vec<CellDifference>) {
        let store = AuditStore::new(self.database.client.clone(), &self.database.name);
        let ends = places().into_iter();
        let ends = ends.map(|place| ((place.topic.to_string(), place.partition.0), self.high(&place)));
        let known = Known {
            ends: ends.collect(),
            is_complete: true,
            ..Known::default()
        };
        let report = audit(&store, async || known).await.unwrap();
        let verified = verify(&store, 0, u64::from(u32::MAX)).await.unwrap();
        (report.holes, verified.differences)
    }
}

fn same(what: &str, expected: BTreeSet<String>, found: &str) {
    let found: BTreeSet<String> = found.lines().map(str::to_owned).collect();
    let missing: Vec<_> = expected.difference(&found).take(5).collect();
    let more: Vec<_> = found.difference(&expected).take(5).collect();
    assert!(
        missing.is_empty() && more.is_empty(),
        "{what}: {} expected, {} found\nmissing {missing:#?}\nmore {more:#?}",
        expected.len(),
        found.len()
    );
}

fn texts(column: &schemas::rows::TextColumn) -> Vec<String> {
    let texts = column.iter().map(|text| String::from_utf8(text.to_vec()).unwrap());
    texts.collect()
}

fn measurement_lines(rows: &Rows) -> BTreeSet<String> {
    let rows = &rows.measurements;
    let metrics = texts(&rows.metric);
    let line = |index: usize| {
        format!(
            "{}\t{}\t{}\t{}\t{}\t{}",
            rows.partition[index],
            rows.offset[index],
            metrics[index],
            rows.ts_ms[index],
            rows.value[index] as i64,
            rows.cell[index]
        )
    };
    (0..rows.offset.len()).map(line).collect()
}

fn cell_lines(rows: &Rows) -> BTreeSet<String> {
    let rows = &rows.rollups;
    let metrics = texts(&rows.metric);
    let mut cells: BTreeMap<String, (u64, f64, f64, f64)> = BTreeMap::new();
    for (index, metric) in metrics.iter().enumerate() {
        let key = format!(
            "{}\t{}\t{}\t{}\t{}",
            metric, rows.period_seconds[index], rows.resolution[index], rows.bucket_seconds[index], rows.cell[index]
        );
        let cell = cells.entry(key).or_insert((0, 0.0, f64::INFINITY, f64::NEG_INFINITY));
        *cell = (
            cell.0 + rows.count[index],
            cell.1 + rows.sum[index],
            cell.2.min(rows.min[index]),
            cell.3.max(rows.max[index]),
        );
    }
    let line = |(key, (count, sum, min, max)): (String, (u64, f64, f64, f64))| {
        format!("{key}\t{count}\t{}\t{}\t{}", sum as i64, min as i64, max as i64)
    };
    cells.into_iter().map(line).collect()
}

fn book_lines(rows: &Rows) -> BTreeSet<String> {
    let rows = &rows.ledger;
    let topics = texts(&rows.topic);
    let line = |index: usize| {
        format!(
            "{}\t{}\t{}\t{}\t{}\t{}\t{}",
            topics[index],
            rows.partition[index],
            rows.records[index],
            rows.events[index],
            rows.duplicates[index],
            rows.measurements[index],
            rows.checksum[index]
        )
    };
    (0..rows.records.len()).map(line).collect()
}
