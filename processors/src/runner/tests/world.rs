//! Everything around an instance, in memory: the log, the tables, the checkpoints. Shared by instances, and outlives
//! their crashes.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    num::NonZeroUsize,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use eventlog::{
    Consumer, ConsumerEvent, Header, LogError, MemoryLog, Message, PartitionId, Producer, ProducerLimits, Token,
    TopicPartition, TopicSpec, memory::MemoryProducer,
};
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, memory::InMemory, path::Path,
};
use platform::{
    clock::ManualClock,
    health::Health,
    shutdown::{Shutdown, ShutdownTrigger},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemas::{
    DeadLetter, Event, Metric, Motion, Position, Reason, Stage, record,
    record::{DEAD_LETTERS_TOPIC, EVENTS_TOPIC},
    rows::Rows,
};

use crate::{
    checkpoint::{Checkpoint, CheckpointStore},
    config::{ProcessSettings, Workers},
    pipeline,
    runner::{ProcessError, RowSink},
    task::{Due, Parameters, Task},
};

pub(super) const GROUP: &str = "meridian";
pub(super) const PARTITIONS: u16 = 3;
const START_MS: i64 = 1_732_212_345_000;

/// What ClickHouse would hold. Keys as in the tables; values as text, so that NaN equals NaN.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tables {
    /// By partition, offset, metric.
    pub(super) measurements: BTreeMap<(u16, u64, String), String>,
    /// By everything up to the generation; the newest version.
    pub(super) rollups: BTreeMap<(String, u16, u64), (u64, String)>,
    pub(super) devices: BTreeMap<(String, u16), (u64, String)>,
    pub(super) dead_letters: BTreeSet<(String, u16, u64)>,
}

fn texts(column: &schemas::rows::TextColumn) -> Vec<String> {
    column
        .iter()
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect()
}

impl Tables {
    /// Replaces by key, as the tables do; equal versions must be equal rows.
    pub(super) fn insert(&mut self, rows: &Rows) {
        let m = &rows.measurements;
        let (metrics, devices) = (texts(&m.metric), texts(&m.device));
        for index in 0..m.offset.len() {
            let key = (m.partition[index], m.offset[index], metrics[index].clone());
            let row = format!(
                "{} {} {:?} {}",
                devices[index], m.ts_ms[index], m.value[index], m.cell[index]
            );
            let before = self.measurements.insert(key, row.clone());
            assert!(before.is_none_or(|before| before == row), "a measurement changed");
        }
        let r = &rows.rollups;
        let (tenants, metrics) = (texts(&r.tenant), texts(&r.metric));
        for index in 0..r.count.len() {
            let (period, resolution) = (r.period_seconds[index], r.resolution[index]);
            let (bucket, cell) = (r.bucket_seconds[index], r.cell[index]);
            let name = format!(
                "{} {} {period} {resolution} {bucket} {cell}",
                tenants[index], metrics[index]
            );
            let key = (name, r.partition[index], r.generation[index]);
            let row = format!(
                "{} {:?} {:?} {:?}",
                r.count[index], r.sum[index], r.min[index], r.max[index]
            );
            replace(&mut self.rollups, key, r.version[index], row);
        }
        let d = &rows.devices;
        let (tenants, devices) = (texts(&d.tenant), texts(&d.device));
        for index in 0..d.ts_ms.len() {
            let key = (format!("{}/{}", tenants[index], devices[index]), d.partition[index]);
            let row = format!("{} {}", d.ts_ms[index], d.latitude_e7[index]);
            replace(&mut self.devices, key, d.version[index], row);
        }
        let l = &rows.dead_letters;
        for (index, id) in texts(&l.id).into_iter().enumerate() {
            self.dead_letters.insert((id, l.partition[index], l.offset[index]));
        }
    }

    /// Sum of `count` over the cells of each level.
    pub(super) fn counts_by_level(&self) -> BTreeMap<(String, String), u64> {
        let mut counts = BTreeMap::new();
        for ((name, ..), (_, row)) in &self.rollups {
            let mut words = name.split(' ').skip(2).map(str::to_owned);
            let level = (words.next().unwrap(), words.next().unwrap());
            let count: u64 = row.split(' ').next().unwrap().parse().unwrap();
            *counts.entry(level).or_default() += count;
        }
        counts
    }
}

fn replace<K: Ord + std::fmt::Debug>(table: &mut BTreeMap<K, (u64, String)>, key: K, version: u64, row: String) {
    if let Some((before, same)) = table.get(&key) {
        assert!(
            version != *before || row == *same,
            "two rows of one version at {key:?}: {row} and {same}"
        );
        if version < *before {
            return;
        }
    }
    table.insert(key, (version, row));
}

/// Faults of the sink that tests set at any time.
#[derive(Clone, Debug, Default)]
pub(super) struct SinkFaults {
    /// Inserts wait while this is set.
    pub(super) is_down: bool,
    /// Longest latency of an insert.
    pub(super) latency_ms_max: u64,
}

/// One insert.
#[derive(Clone, Debug, Default)]
pub(super) struct Insert {
    pub(super) measurement_count: usize,
    /// Periods of the rollup rows, in seconds.
    pub(super) periods: BTreeSet<u32>,
}

/// Everything that instances share.
#[derive(Clone)]
pub(super) struct World {
    pub(super) log: MemoryLog,
    pub(super) tables: Arc<Mutex<Tables>>,
    pub(super) faults: Arc<Mutex<SinkFaults>>,
    pub(super) objects: Arc<WatchedStore>,
    pub(super) settings: ProcessSettings,
    producer: Arc<Mutex<Feed>>,
    /// What was inserted, for those who count.
    pub(super) inserts: Arc<Mutex<Vec<Insert>>>,
}

struct Feed {
    producer: MemoryProducer,
    reports: tokio::sync::mpsc::Receiver<Vec<eventlog::Delivery>>,
    random: ChaCha8Rng,
    now_ms: i64,
    count: u64,
    metric_count: usize,
}

pub(super) fn place(partition: u16) -> TopicPartition {
    TopicPartition {
        topic: EVENTS_TOPIC.into(),
        partition: PartitionId(partition),
    }
}

fn all_places() -> Vec<TopicPartition> {
    let letters = TopicPartition {
        topic: DEAD_LETTERS_TOPIC.into(),
        partition: PartitionId(0),
    };
    (0..PARTITIONS).map(place).chain([letters]).collect()
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let log = MemoryLog::new();
        log.ensure_topics(&[
            TopicSpec::new(EVENTS_TOPIC, PARTITIONS),
            TopicSpec::new(DEAD_LETTERS_TOPIC, 1),
        ])
        .unwrap();
        let (producer, reports) = log.producer(ProducerLimits::default());
        let feed = Feed {
            producer,
            reports,
            random: ChaCha8Rng::seed_from_u64(seed),
            now_ms: START_MS,
            count: 0,
            metric_count: 1,
        };
        let tables = Arc::new(Mutex::new(Tables::default()));
        let mut parameters = Parameters::default();
        // Short lives of few accumulators: generations begin all the time.
        parameters.rollup.linger_ms = 5_000;
        parameters.rollup.accumulators_max = 40;
        parameters.devices.count_max = 6;
        Self {
            faults: Arc::default(),
            objects: Arc::new(WatchedStore::new(&log, &tables, &parameters)),
            log,
            tables,
            settings: ProcessSettings {
                parameters,
                checkpoint_interval: Duration::from_secs(3),
                workers: Workers::Runtime(NonZeroUsize::new(2).unwrap()),
                ..ProcessSettings::default()
            },
            producer: Arc::new(Mutex::new(feed)),
            inserts: Arc::default(),
        }
    }

    /// Appends events of some devices: with gaps, late ones, duplicates, poison, and dead letters.
    pub(super) fn feed(&self, count: usize) {
        let mut feed = self.producer.lock().unwrap();
        for _ in 0..count {
            feed.append_one();
        }
        while feed.reports.try_recv().is_ok() {}
    }

    /// Events have so many metrics from now on.
    pub(super) fn set_metric_count(&self, metric_count: usize) {
        self.producer.lock().unwrap().metric_count = metric_count;
    }

    /// Loses every checkpoint.
    pub(super) fn lose_checkpoints(&mut self) {
        self.objects = Arc::new(WatchedStore::new(&self.log, &self.tables, &self.settings.parameters));
    }

    pub(super) fn store(&self) -> CheckpointStore {
        CheckpointStore::new(self.objects.clone(), "checkpoints")
    }

    pub(super) fn sink(&self) -> WatchedSink {
        WatchedSink(self.clone())
    }

    pub(super) fn consumer(&self) -> WatchedConsumer {
        WatchedConsumer {
            inner: Box::new(self.log.consumer(pipeline::subscription(GROUP))),
            world: self.clone(),
            is_deaf: Arc::default(),
        }
    }

    /// An instance, until it is told to stop.
    pub(super) fn instance(&self, shutdown: Shutdown) -> impl Future<Output = Result<(), ProcessError>> + Send + use<> {
        self.instance_with(Box::new(self.consumer()), shutdown)
    }

    pub(super) fn instance_with(
        &self,
        consumer: Box<dyn Consumer>,
        shutdown: Shutdown,
    ) -> impl Future<Output = Result<(), ProcessError>> + Send + use<> {
        let (settings, sink, store) = (self.settings.clone(), self.sink(), self.store());
        async move {
            let health = Health::new(Arc::new(ManualClock::at(START_MS)));
            pipeline::run(settings, consumer, sink, store, shutdown, &health).await
        }
    }

    /// A running instance.
    pub(super) fn start(&self) -> Running {
        let (trigger, shutdown) = Shutdown::new();
        let task = tokio::spawn(self.instance(shutdown));
        Running { trigger, task }
    }

    /// What the tables must hold in the end: every partition from its first record to its last, in one go.
    pub(super) fn expected(&self) -> Tables {
        let mut tables = Tables::default();
        for place in all_places() {
            tables.insert(&replay(&self.log, &self.settings.parameters, &place, u64::MAX));
        }
        tables
    }

    /// Everything is in the tables, checkpointed and committed.
    pub(super) fn assert_complete(&self) {
        let (expected, tables) = (self.expected(), self.tables.lock().unwrap().clone());
        assert_eq!(tables.measurements, expected.measurements);
        assert_eq!(tables.rollups, expected.rollups);
        assert_eq!(tables.devices, expected.devices);
        assert_eq!(tables.dead_letters, expected.dead_letters);
        for count in tables.counts_by_level().into_values() {
            assert_eq!(
                count,
                tables.measurements.len() as u64,
                "every level counts every measurement once"
            );
        }
        for place in all_places() {
            let high = self.high(&place);
            if high > 0 {
                assert_eq!(self.log.committed(GROUP, &place), Some(high), "{place}");
            }
        }
    }

    pub(super) fn high(&self, place: &TopicPartition) -> u64 {
        let records = self.log.records(place).unwrap();
        records.next_offset().unwrap_or(0)
    }
}

pub(super) struct Running {
    pub(super) trigger: ShutdownTrigger,
    pub(super) task: tokio::task::JoinHandle<Result<(), ProcessError>>,
}

impl Running {
    pub(super) async fn stop(self) {
        self.trigger.request();
        self.task.await.unwrap().unwrap();
    }

    /// As kill -9: nothing more happens.
    pub(super) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// Rows of a partition's records below `end`, as a single task makes them.
fn replay(log: &MemoryLog, parameters: &Parameters, place: &TopicPartition, end: u64) -> Rows {
    let records = log.records(place).unwrap();
    let mut builder = eventlog::RecordBatchBuilder::new(place.clone());
    for record in records.iter().filter(|record| record.offset < end) {
        builder.push(
            record.offset,
            record.timestamp_ms,
            record.key,
            record.value,
            record.headers(),
        );
    }
    let mut task = Task::new(place.clone(), 0, 0, parameters);
    let mut rows = Rows::default();
    task.apply(&builder.finish());
    task.collect(Due::All, &mut rows);
    rows
}

impl Feed {
    fn append_one(&mut self) {
        self.now_ms += self.random.random_range(0..400);
        self.count += 1;
        let device = format!("device-{}", self.random.random_range(0..12));
        let late_ms = if self.random.random_bool(0.1) {
            self.random.random_range(0..200_000)
        } else {
            0
        };
        let event = Event {
            tenant: "acme".into(),
            device: device.as_str().into(),
            ts_ms: self.now_ms - late_ms,
            device_ts_ms: None,
            seq: Some(self.count),
            position: Position::from_degrees(self.random.random_range(-1.0..1.0), 13.0),
            motion: Motion::default(),
            metrics: (0..self.metric_count)
                .map(|index| Metric {
                    name: format!("metric_{index}").into(),
                    value: self.random.random_range(-20.0..40.0),
                })
                .collect(),
            attributes: Vec::new(),
            received_at_ms: self.now_ms,
            broker: "edge-1".into(),
            ts_assigned: false,
            delivery: None,
        };
        let mut value = Vec::new();
        record::encode(&event, &mut value);
        let key = record::key("acme", &device);
        match self.random.random_range(0..20) {
            0 => self.send(EVENTS_TOPIC, &key, b"no event".to_vec(), Vec::new()),
            1 => self.append_dead_letter(),
            2 => {
                self.send(EVENTS_TOPIC, &key, value.clone(), Vec::new());
                self.send(EVENTS_TOPIC, &key, value, Vec::new());
            }
            _ => self.send(EVENTS_TOPIC, &key, value, Vec::new()),
        }
    }

    fn append_dead_letter(&mut self) {
        let id = format!("letter-{}", self.count);
        let letter = DeadLetter {
            id: id.as_str().into(),
            reason: Reason::InvalidTopic,
            detail: "made by a test".into(),
            stage: Stage::Ingest,
            topic: "telemetry/acme".into(),
            broker: "edge-1".into(),
            received_at_ms: self.now_ms,
            packet_id: 0,
            redelivered: false,
            payload: b"refused".into(),
        };
        let headers = letter.headers().into_iter().map(|(name, value)| Header {
            name,
            value: value.into(),
        });
        self.send(DEAD_LETTERS_TOPIC, "", letter.payload.to_vec(), headers.collect());
    }

    fn send(&mut self, topic: &str, key: &str, value: Vec<u8>, headers: Vec<Header>) {
        let message = Message {
            topic: topic.into(),
            key: key.to_owned().into(),
            value: value.into(),
            headers,
            timestamp_ms: self.now_ms,
            token: Token(self.count),
        };
        assert!(self.producer.send(message).is_ok(), "the queue has room");
    }
}

/// A double of ClickHouse: slow, at times down, and killed at any moment between two tables.
pub(super) struct WatchedSink(World);

impl RowSink for WatchedSink {
    type Encoded = Rows;
    type Error = Infallible;

    fn encode(&self, rows: Rows) -> Rows {
        rows
    }

    async fn insert(&self, batches: Vec<Rows>) -> Result<(), Infallible> {
        let World {
            tables,
            faults,
            inserts,
            ..
        } = &self.0;
        let mut insert = Insert::default();
        for rows in batches {
            insert.measurement_count += rows.counts()[0];
            insert.periods.extend(&rows.rollups.period_seconds);
            let latency_ms = faults.lock().unwrap().latency_ms_max;
            let latency_ms = rand::rng().random_range(0..=latency_ms);
            tokio::time::sleep(Duration::from_millis(latency_ms)).await;
            while faults.lock().unwrap().is_down {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let measurements = Rows {
                measurements: rows.measurements,
                ..Rows::default()
            };
            tables.lock().unwrap().insert(&measurements);
            tokio::task::yield_now().await;
            let others = Rows {
                measurements: Rows::default().measurements,
                ..rows
            };
            tables.lock().unwrap().insert(&others);
        }
        inserts.lock().unwrap().push(insert);
        Ok(())
    }
}

/// The memory log, watched: what is committed must be in a durable checkpoint.
pub(super) struct WatchedConsumer {
    inner: Box<dyn Consumer>,
    world: World,
    /// While true it hears nothing of the group: the member of a zombie.
    pub(super) is_deaf: Arc<AtomicBool>,
}

#[async_trait::async_trait]
impl Consumer for WatchedConsumer {
    async fn next(&mut self) -> Result<ConsumerEvent, LogError> {
        loop {
            match self.inner.next().await? {
                ConsumerEvent::Revoked(_) | ConsumerEvent::Assigned(_) if self.is_deaf.load(Ordering::Acquire) => {}
                event => return Ok(event),
            }
        }
    }

    async fn start(&mut self, topic_partition: &TopicPartition, offset: u64) -> Result<(), LogError> {
        self.inner.start(topic_partition, offset).await
    }

    async fn commit(&mut self, offsets: &[(TopicPartition, u64)]) -> Result<(), LogError> {
        for (place, offset) in offsets {
            let durable = self.world.objects.durable.lock().unwrap().get(place).copied();
            assert!(
                durable >= Some(*offset),
                "{place}: {offset} committed, and durable is {durable:?}"
            );
        }
        self.inner.commit(offsets).await
    }

    async fn bounds(&mut self, topic_partition: &TopicPartition) -> Result<Range<u64>, LogError> {
        self.inner.bounds(topic_partition).await
    }

    async fn close(self: Box<Self>) -> Result<(), LogError> {
        self.inner.close().await
    }
}

/// The checkpoint store, watched: what is checkpointed must be in the tables.
#[derive(Debug)]
pub(super) struct WatchedStore {
    inner: InMemory,
    log: MemoryLog,
    tables: Arc<Mutex<Tables>>,
    parameters: Parameters,
    /// Largest offset in a checkpoint, by partition.
    pub(super) durable: Mutex<BTreeMap<TopicPartition, u64>>,
    /// Writes fail while this is set.
    pub(super) is_down: Mutex<bool>,
}

impl WatchedStore {
    fn new(log: &MemoryLog, tables: &Arc<Mutex<Tables>>, parameters: &Parameters) -> Self {
        Self {
            inner: InMemory::new(),
            log: log.clone(),
            tables: tables.clone(),
            parameters: parameters.clone(),
            durable: Mutex::default(),
            is_down: Mutex::default(),
        }
    }

    fn assert_inserted(&self, place: &TopicPartition, offset: u64) {
        let mut expected = Tables::default();
        expected.insert(&replay(&self.log, &self.parameters, place, offset));
        let tables = self.tables.lock().unwrap();
        for key in expected.measurements.keys() {
            assert!(
                tables.measurements.contains_key(key),
                "{place}: checkpoint {offset} without row {key:?}"
            );
        }
        for (key, (version, _)) in &expected.rollups {
            let found = tables.rollups.get(key).map(|(version, _)| *version);
            assert!(
                found >= Some(*version),
                "{place}: checkpoint {offset} without snapshot {key:?} {version}"
            );
        }
        for (key, (version, _)) in &expected.devices {
            let found = tables.devices.get(key).map(|(version, _)| *version);
            assert!(
                found >= Some(*version),
                "{place}: checkpoint {offset} without device {key:?} {version}"
            );
        }
        assert!(tables.dead_letters.is_superset(&expected.dead_letters));
    }
}

/// The partition of a checkpoint's name.
fn place_of(location: &Path) -> TopicPartition {
    let parts: Vec<_> = location.parts().map(|part| part.as_ref().to_owned()).collect();
    TopicPartition {
        topic: parts[1].as_str().into(),
        partition: PartitionId(parts[2].parse().unwrap()),
    }
}

impl std::fmt::Display for WatchedStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("watched")
    }
}

#[async_trait::async_trait]
impl ObjectStore for WatchedStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        tokio::task::yield_now().await;
        if *self.is_down.lock().unwrap() {
            let source = "made unavailable by a test".into();
            return Err(object_store::Error::Generic {
                store: "watched",
                source,
            });
        }
        let bytes: Vec<u8> = payload.iter().flatten().copied().collect();
        let checkpoint = Checkpoint::decode(&bytes).unwrap();
        let place = place_of(location);
        self.assert_inserted(&place, checkpoint.offset);
        let result = self.inner.put_opts(location, payload, options).await?;
        let mut durable = self.durable.lock().unwrap();
        let newest = durable.entry(place).or_default();
        *newest = checkpoint.offset.max(*newest);
        Ok(result)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        tokio::task::yield_now().await;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
