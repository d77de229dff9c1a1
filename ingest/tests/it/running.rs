//! An ingest that runs over a log in memory, and what that log holds.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use eventlog::{Log, LogConfig, MemoryLog, PartitionId, TopicPartition, TopicSpec};
use ingest::{
    BrokerSettings, BrokerTotals, Filter, IngestError, IngestSettings, Ledger, PayloadFormat, Route, Services,
};
use platform::{
    clock::SystemClock,
    health::Health,
    shutdown::{Shutdown, ShutdownTrigger},
};
use schemas::{
    DeadLetter, Event,
    record::{DEAD_LETTERS_TOPIC, EVENTS_TOPIC},
    topic::TopicPattern,
};
use tokio::task::JoinHandle;

const PARTITIONS: u16 = 4;
/// Generous, since tests share a busy machine; a passing test never waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A log in memory with the topics of the product.
pub(crate) fn memory_log() -> MemoryLog {
    let log = MemoryLog::new();
    let topics = [EVENTS_TOPIC, DEAD_LETTERS_TOPIC].map(|name| TopicSpec::new(name, PARTITIONS));
    log.ensure_topics(&topics).unwrap();
    log
}

pub(crate) fn settings(broker: BrokerSettings) -> IngestSettings {
    let route = Route {
        filter: Filter("telemetry/#".into()),
        topic: TopicPattern::parse("telemetry/{tenant}/{device}").unwrap(),
        format: PayloadFormat::Json,
    };
    IngestSettings::new("test", vec![broker], vec![route])
}

/// A running ingest; aborted when dropped, as a crash would.
pub(crate) struct Running {
    pub(crate) ledger: Ledger,
    pub(crate) health: Health,
    trigger: ShutdownTrigger,
    task: JoinHandle<Result<(), IngestError>>,
}

impl Running {
    pub(crate) fn start(settings: IngestSettings, log: &MemoryLog) -> Self {
        let (trigger, shutdown) = Shutdown::new();
        let clock = Arc::new(SystemClock::new());
        let services = Services {
            health: Health::new(clock.clone()),
            clock,
            shutdown,
            ledger: Ledger::default(),
        };
        let (ledger, health) = (services.ledger.clone(), services.health.clone());
        let log = Log::open(LogConfig::Memory(log.clone())).unwrap();
        let task = tokio::spawn(async move { ingest::run(settings, &log, services).await });
        Self {
            ledger,
            health,
            trigger,
            task,
        }
    }

    /// The only broker's totals.
    pub(crate) fn totals(&self) -> BrokerTotals {
        self.ledger.snapshot().into_values().next().unwrap_or_default()
    }

    /// Waits until the totals are as wanted.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&BrokerTotals) -> bool) -> BrokerTotals {
        let started = Instant::now();
        loop {
            let totals = self.totals();
            if wanted(&totals) {
                return totals;
            }
            assert!(!self.task.is_finished(), "ingest ended while waiting for {what}");
            let health = self.health.report().to_json();
            assert!(
                started.elapsed() < PATIENCE,
                "waited in vain for {what}: {totals:?} {health}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn until_ready(&self) {
        let started = Instant::now();
        while !(self.health.report().is_ready() && self.totals().connections > 0) {
            assert!(
                started.elapsed() < PATIENCE,
                "not ready: {}",
                self.health.report().to_json()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Shuts down in good order.
    pub(crate) async fn stop(self) -> Result<(), IngestError> {
        self.trigger.request();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap()
    }

    /// Waits for it to end by itself.
    pub(crate) async fn ended(self) -> Result<(), IngestError> {
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap()
    }

    /// Ends it at once, as a crash would.
    pub(crate) async fn crash(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// How often each `seq` of each device lies in the log.
pub(crate) fn stored_events(log: &MemoryLog) -> BTreeMap<(String, u64), usize> {
    let mut stored = BTreeMap::new();
    for partition in 0..PARTITIONS {
        for record in records(log, EVENTS_TOPIC, partition).iter() {
            let event = schemas::record::decode(record.value).unwrap();
            assert_eq!(record.key, format!("{}/{}", event.tenant, event.device).as_bytes());
            let identity = (event.device.to_string(), event.seq.unwrap());
            *stored.entry(identity).or_default() += 1;
        }
    }
    stored
}

/// Reason and payload of every dead letter.
pub(crate) fn stored_dead_letters(log: &MemoryLog) -> Vec<(&'static str, Vec<u8>)> {
    let mut stored = Vec::new();
    for partition in 0..PARTITIONS {
        for record in records(log, DEAD_LETTERS_TOPIC, partition).iter() {
            let letter = DeadLetter::from_record(|name| record.header(name), record.value).unwrap();
            stored.push((letter.reason.as_str(), letter.payload.to_vec()));
        }
    }
    stored.sort_unstable();
    stored
}

/// What `read` makes of every event.
pub(crate) fn stored_events_with<T>(log: &MemoryLog, read: impl Fn(&Event<'_>) -> T) -> Vec<T> {
    let mut stored = Vec::new();
    for partition in 0..PARTITIONS {
        for record in records(log, EVENTS_TOPIC, partition).iter() {
            stored.push(read(&schemas::record::decode(record.value).unwrap()));
        }
    }
    stored
}

/// What `read` makes of every dead letter.
pub(crate) fn stored_dead_letters_with<T>(log: &MemoryLog, read: impl Fn(&DeadLetter<'_>) -> T) -> Vec<T> {
    let mut stored = Vec::new();
    for partition in 0..PARTITIONS {
        for record in records(log, DEAD_LETTERS_TOPIC, partition).iter() {
            stored.push(read(
                &DeadLetter::from_record(|name| record.header(name), record.value).unwrap(),
            ));
        }
    }
    stored
}

fn records(log: &MemoryLog, topic: &str, partition: u16) -> eventlog::RecordBatch {
    let place = TopicPartition {
        topic: topic.into(),
        partition: PartitionId(partition),
    };
    log.records(&place).unwrap()
}
