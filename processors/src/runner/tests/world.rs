//! Everything around an instance, in memory: the log, the tables, the checkpoints. Shared by instances, and outlives
//! their crashes.

use std::{
    collections::BTreeSet,
    num::NonZeroUsize,
    sync::{Arc, Mutex},
    time::Duration,
};

use eventlog::{Consumer, MemoryLog, PartitionId, TopicPartition, TopicSpec};
use platform::{
    clock::ManualClock,
    health::Health,
    shutdown::{Shutdown, ShutdownTrigger},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemas::record::{DEAD_LETTERS_TOPIC, EVENTS_TOPIC};

use super::{
    doubles::{WatchedConsumer, WatchedSink, WatchedStore},
    feed::{Feed, START_MS},
    tables::{Tables, replay},
};
use crate::{
    checkpoint::CheckpointStore,
    config::{ProcessSettings, Workers},
    pipeline,
    runner::ProcessError,
    task::Parameters,
};

pub(super) const GROUP: &str = "meridian";
pub(super) const PARTITIONS: u16 = 3;
/// Faults of the sink that tests set at any time.
#[derive(Debug)]
pub(super) struct SinkFaults {
    /// Inserts wait while this is set.
    pub(super) is_down: bool,
    /// Longest latency of an insert.
    pub(super) latency_ms_max: u64,
    random: ChaCha8Rng,
}

impl SinkFaults {
    pub(super) fn latency_ms(&mut self) -> u64 {
        self.random.random_range(0..=self.latency_ms_max)
    }
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
    feed: Arc<Mutex<Feed>>,
    /// What was inserted, for those who count.
    pub(super) inserts: Arc<Mutex<Vec<Insert>>>,
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
        let feed = Feed::new(&log, seed);
        let tables = Arc::new(Mutex::new(Tables::default()));
        let mut parameters = Parameters::default();
        // Short lives of few accumulators: generations begin all the time.
        parameters.rollup.linger_ms = 5_000;
        parameters.rollup.accumulators_max = 40;
        parameters.devices.count_max = 6;
        Self {
            faults: Arc::new(Mutex::new(SinkFaults {
                is_down: false,
                latency_ms_max: 0,
                random: ChaCha8Rng::seed_from_u64(seed),
            })),
            objects: Arc::new(WatchedStore::new(&log, &tables, &parameters)),
            log,
            tables,
            settings: ProcessSettings {
                parameters,
                checkpoint_interval: Duration::from_secs(3),
                workers: Workers::Runtime(NonZeroUsize::new(2).unwrap()),
                ..ProcessSettings::default()
            },
            feed: Arc::new(Mutex::new(feed)),
            inserts: Arc::default(),
        }
    }

    /// Appends events of some devices: with gaps, late ones, duplicates, poison, and dead letters.
    pub(super) fn feed(&self, count: usize) {
        self.feed.lock().unwrap().append(count);
    }

    /// Events have so many metrics from now on.
    pub(super) fn set_metric_count(&self, metric_count: usize) {
        self.feed.lock().unwrap().metric_count = metric_count;
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
            is_silent: Arc::default(),
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

    /// The group has committed the end of every partition.
    pub(super) fn is_committed(&self) -> bool {
        all_places().into_iter().all(|place| {
            let high = self.high(&place);
            high == 0 || self.log.committed(GROUP, &place) == Some(high)
        })
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
