//! Real instances of ingest and process in the world: started, stopped in good order, killed at any step, or left as
//! zombies that do not hear of their loss.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use eventlog::{Consumer, ConsumerEvent, LogError, MemberId, TopicPartition};
use ingest::{BrokerSettings, Filter, IngestSettings, Ledger, PayloadFormat, Route, Services, WindowSettings};
use platform::{
    health::Health,
    shutdown::{Shutdown, ShutdownTrigger},
};
use processors::{
    checkpoint::CheckpointStore,
    config::{ProcessSettings, Workers},
    pipeline,
};
use schemas::topic::TopicPattern;
use tokio::task::{JoinError, JoinHandle};

use crate::world::{GROUP, World};

/// An instance of a role.
pub(crate) struct Running {
    name: String,
    trigger: ShutdownTrigger,
    task: JoinHandle<Result<(), String>>,
    /// What ingest counted.
    pub(crate) ledger: Ledger,
    /// Of the log's group, for process.
    pub(crate) member: Option<MemberId>,
    is_deaf: Arc<AtomicBool>,
}

impl Running {
    /// As kill -9, after so many rounds of the scheduler.
    pub(crate) async fn kill(self, rounds: u64, world: &World) {
        for _ in 0..rounds {
            tokio::task::yield_now().await;
        }
        self.task.abort();
        world.judge_end(&self.name, self.task.await);
    }

    /// Stops in good order.
    pub(crate) async fn stop(self, world: &World) {
        self.trigger.request();
        world.judge_end(&self.name, self.task.await);
        for totals in self.ledger.snapshot().into_values() {
            let released = totals.acknowledged + totals.dead_lettered + totals.returned;
            if released + totals.in_flight != totals.received {
                world
                    .trace
                    .violation(format_args!("the ledger of {} does not add up: {totals:?}", self.name));
            }
        }
    }

    /// Loses its membership and does not hear of it: it goes on with what it has, as a process does that was stopped for
    /// a while and then continued.
    pub(crate) fn become_zombie(&self, world: &World) {
        self.is_deaf.store(true, Relaxed);
        if let Some(member) = self.member {
            world.log.expel(GROUP, member);
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }
}

impl World {
    /// An instance that ends by itself is a violation: every fault here is one that the product waits out.
    fn judge_end(&self, name: &str, ended: Result<Result<(), String>, JoinError>) {
        match ended {
            Ok(Ok(())) => self.trace.note(format_args!("{name} stopped")),
            Ok(Err(error)) => self.trace.violation(format_args!("{name} ended: {error}")),
            Err(error) if error.is_cancelled() => self.trace.note(format_args!("{name} was killed")),
            Err(error) => self.trace.violation(format_args!("{name} panicked: {error}")),
        }
    }

    pub(crate) fn start_ingest(&self, index: usize, seed: u64) -> Running {
        let broker = self.brokers[index].clone();
        let mut settings = BrokerSettings::new(&format!("edge-{index}"), "mqtt://127.0.0.1");
        settings.keep_alive = Duration::from_secs(5);
        let route = Route {
            filter: Filter("telemetry/#".into()),
            topic: TopicPattern::parse("telemetry/{tenant}/{device}").expect("a pattern"),
            format: PayloadFormat::Json,
        };
        let mut settings = IngestSettings::new(&format!("ingest-{index}"), vec![settings], vec![route]);
        settings.window = WindowSettings {
            messages_max: 30,
            ..settings.window
        };
        let (trigger, shutdown) = Shutdown::new();
        let ledger = Ledger::default();
        let services = Services {
            clock: self.clock.clone(),
            shutdown,
            health: Health::new(self.clock.clone()),
            ledger: ledger.clone(),
        };
        let log = self.open_log();
        let name = format!("ingest {index}");
        self.trace.note(format_args!("{name} starts"));
        let task = tokio::spawn(async move {
            let ended = ingest::run_on(settings, &log, services, seed, |_, _| broker.clone()).await;
            ended.map_err(|error| error.to_string())
        });
        Running {
            name,
            trigger,
            task,
            ledger,
            member: None,
            is_deaf: Arc::default(),
        }
    }

    pub(crate) fn start_process(&self, members: &AtomicU64) -> Running {
        let member = members.fetch_add(1, Relaxed);
        let is_deaf = Arc::new(AtomicBool::new(false));
        let consumer = Box::new(Member {
            inner: Box::new(self.log.consumer(pipeline::subscription(GROUP))),
            is_deaf: is_deaf.clone(),
        });
        let settings = ProcessSettings {
            parameters: self.parameters.clone(),
            checkpoint_interval: Duration::from_secs(3),
            // Runs are short: new parameters would never apply otherwise.
            reach_records_min: 8,
            workers: Workers::Runtime(std::num::NonZeroUsize::new(2).expect("two")),
            ..ProcessSettings::default()
        };
        let (trigger, shutdown) = Shutdown::new();
        let (sink, health) = (self.tables.clone(), Health::new(self.clock.clone()));
        let store = CheckpointStore::new(self.checkpoints.clone(), "checkpoints");
        let name = format!("process {member}");
        self.trace.note(format_args!("{name} starts"));
        let task = tokio::spawn(async move {
            let ended = pipeline::run(settings, consumer, sink, store, shutdown, &health).await;
            ended.map_err(|error| error.to_string())
        });
        Running {
            name,
            trigger,
            task,
            ledger: Ledger::default(),
            member: Some(MemberId(member)),
            is_deaf,
        }
    }
}

/// A member of the group that can be made deaf to what the group decides.
struct Member {
    inner: Box<dyn Consumer>,
    is_deaf: Arc<AtomicBool>,
}

#[async_trait::async_trait]
impl Consumer for Member {
    async fn next(&mut self) -> Result<ConsumerEvent, LogError> {
        loop {
            match self.inner.next().await? {
                ConsumerEvent::Revoked(_) | ConsumerEvent::Assigned(_) if self.is_deaf.load(Relaxed) => {}
                event => return Ok(event),
            }
        }
    }

    async fn start(&mut self, topic_partition: &TopicPartition, offset: u64) -> Result<(), LogError> {
        self.inner.start(topic_partition, offset).await
    }

    async fn commit(&mut self, offsets: &[(TopicPartition, u64)]) -> Result<(), LogError> {
        self.inner.commit(offsets).await
    }

    async fn bounds(&mut self, topic_partition: &TopicPartition) -> Result<Range<u64>, LogError> {
        self.inner.bounds(topic_partition).await
    }

    async fn close(self: Box<Self>) -> Result<(), LogError> {
        self.inner.close().await
    }
}
