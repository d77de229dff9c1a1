//! What happens in a run: first faults of all kinds while devices publish, then healing, and the wait for rest. All of it
//! follows from the seed.

use std::{sync::atomic::AtomicU64, time::Duration};

use eventlog::memory::DeliveryFault;
use processors::rollup::level::Level;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

use crate::{Options, checkpoints::Checkpoints, instances::Running, tables::InsertFaults, world::World};

/// The name of the fault that changes the order of records.
pub(crate) const RECORD_LOST: &str = "record neither stored nor confirmed";
/// Rest must come this long after healing: a member that was killed with a zombie at its side costs the most.
const REST_MAX: Duration = Duration::from_secs(120);
/// Levels that are always there, and that the verdict looks at.
const LEVEL_COUNT: usize = 9;
/// A level that comes and goes.
const ANOTHER_LEVEL: Level = Level {
    period_seconds: 300,
    resolution: 8,
    flush_interval_ms: 1_000,
};
/// Members of the group at once.
const PROCESSES_MAX: usize = 3;

/// A run under way.
pub(crate) struct Schedule<'run> {
    world: &'run mut World,
    random: ChaCha8Rng,
    options: Options,
    ingests: Vec<Option<Running>>,
    processes: Vec<Running>,
    zombies: Vec<Running>,
    members: AtomicU64,
}

impl<'run> Schedule<'run> {
    pub(crate) fn new(world: &'run mut World, random: ChaCha8Rng, options: Options) -> Self {
        let ingests = world.brokers.iter().map(|_| None).collect();
        Self {
            world,
            random,
            options,
            ingests,
            processes: Vec::new(),
            zombies: Vec::new(),
            members: AtomicU64::new(0),
        }
    }

    /// Both phases.
    pub(crate) async fn run(mut self) {
        self.begin().await;
        for _ in 0..self.options.steps {
            self.step().await;
        }
        self.heal().await;
    }

    /// Everything is up, and the brokers know ingest: what is published from now on is promised.
    async fn begin(&mut self) {
        for index in 0..self.ingests.len() {
            self.start_ingest(index);
        }
        self.processes.push(self.world.start_process(&self.members));
        while !self.world.brokers.iter().all(crate::broker::Broker::has_session) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn start_ingest(&mut self, index: usize) {
        let seed = self.random.next_u64();
        self.ingests[index] = Some(self.world.start_ingest(index, seed));
    }

    fn rounds(&mut self) -> u64 {
        // Most steps of a run happen within few rounds; some kills come late.
        match self.random.random_range(0..4) {
            0 => 0,
            1 => self.random.random_range(0..200),
            _ => self.random.random_range(0..30),
        }
    }

    async fn step(&mut self) {
        let count = self.random.random_range(0..60);
        self.world.publish(count);
        if self.options.faults {
            match self.random.random_range(0..23) {
                0..=3 => self.crash_ingest().await,
                4..=7 => self.crash_process().await,
                8 => self.restart_ingest().await,
                9 => self.restart_process().await,
                10 => self.scale().await,
                11 => self.make_zombie().await,
                12..=13 => self.break_connection().await,
                14 => self.broker_down(),
                15 => self.lose_session().await,
                16..=17 => self.fail_log(),
                18 => self.stall_log().await,
                19 => self.fail_tables(),
                20 => self.fail_checkpoints(),
                21 => self.set_clock(),
                _ if self.world.plan.changes_configuration => self.configure(),
                _ => self.lose_checkpoints().await,
            }
        }
        let pause_ms = match self.random.random_range(0..3) {
            0 => self.random.random_range(0..20),
            1 => self.random.random_range(0..400),
            _ => self.random.random_range(0..4_000),
        };
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
    }

    async fn crash_ingest(&mut self) {
        let index = self.random.random_range(0..self.ingests.len());
        let rounds = self.rounds();
        match self.ingests[index].take() {
            Some(running) => {
                self.world.trace.fault("ingest killed", rounds);
                running.kill(rounds, self.world).await;
                if self.random.random_bool(0.7) {
                    self.start_ingest(index);
                }
            }
            None => self.start_ingest(index),
        }
    }

    async fn crash_process(&mut self) {
        let rounds = self.rounds();
        if !self.processes.is_empty() {
            let index = self.random.random_range(0..self.processes.len());
            let running = self.processes.remove(index);
            self.world.trace.fault("process killed", rounds);
            running.kill(rounds, self.world).await;
        }
        if self.processes.is_empty() || self.random.random_bool(0.7) {
            self.processes.push(self.world.start_process(&self.members));
        }
    }

    async fn restart_ingest(&mut self) {
        let index = self.random.random_range(0..self.ingests.len());
        if let Some(running) = self.ingests[index].take() {
            self.world.trace.fault("ingest restarted", "");
            running.stop(self.world).await;
        }
        self.start_ingest(index);
    }

    async fn restart_process(&mut self) {
        if let Some(running) = self.processes.pop() {
            self.world.trace.fault("process restarted", "");
            running.stop(self.world).await;
        }
        self.processes.push(self.world.start_process(&self.members));
    }

    /// One instance more, or one less: partitions move.
    async fn scale(&mut self) {
        self.world.trace.fault("rebalance", "");
        if self.processes.len() < PROCESSES_MAX {
            self.processes.push(self.world.start_process(&self.members));
        } else if let Some(running) = self.processes.pop() {
            running.stop(self.world).await;
        }
    }

    async fn make_zombie(&mut self) {
        if let Some(running) = self.processes.pop() {
            self.world.trace.fault("zombie", "");
            running.become_zombie(self.world);
            self.zombies.push(running);
            self.processes.push(self.world.start_process(&self.members));
        }
        if self.zombies.len() > 1 {
            let rounds = self.rounds();
            self.zombies.remove(0).kill(rounds, self.world).await;
        }
    }

    async fn break_connection(&mut self) {
        let index = self.random.random_range(0..self.world.brokers.len());
        for _ in 0..self.rounds() {
            tokio::task::yield_now().await;
        }
        self.world.trace.fault("connection broken", "");
        self.world.brokers[index].break_connection();
    }

    /// Down, up, or slow.
    fn broker_down(&mut self) {
        let index = self.random.random_range(0..self.world.brokers.len());
        let (is_down, latency_ms_max) = (self.random.random_bool(0.4), self.random.random_range(0..50));
        self.world
            .trace
            .fault("broker down or slow", format_args!("{is_down} {latency_ms_max} ms"));
        self.world.brokers[index].set_down(is_down);
        self.world.brokers[index].set_latency(latency_ms_max);
    }

    async fn lose_session(&mut self) {
        if self.random.random_bool(0.5) {
            return self.break_connection().await;
        }
        let index = self.random.random_range(0..self.world.brokers.len());
        self.world.trace.fault("session lost", "");
        self.world.brokers[index].lose_session();
    }

    fn fail_log(&mut self) {
        let count = self.random.random_range(1..6);
        let (kind, fault) = if !self.world.plan.loses_records || self.random.random_bool(0.5) {
            ("record stored, not confirmed", DeliveryFault::AmbiguousStored)
        } else {
            (RECORD_LOST, DeliveryFault::AmbiguousLost)
        };
        self.world.trace.fault(kind, count);
        self.world.log.fail_next(count, fault);
    }

    async fn stall_log(&mut self) {
        let pause = Duration::from_millis(self.random.random_range(1..3_000));
        let is_unavailable = self.random.random_bool(0.5);
        if is_unavailable {
            self.world.trace.fault("log unavailable", pause.as_millis());
            self.world.log.set_unavailable(true);
        } else {
            self.world.trace.fault("log holds its confirmations", pause.as_millis());
            self.world.log.hold_deliveries();
        }
        self.world.publish(20);
        tokio::time::sleep(pause / 2).await;
        // What waits for its confirmation now belongs to a connection that is gone.
        if self.random.random_bool(0.5) {
            self.break_connection().await;
        }
        tokio::time::sleep(pause / 2).await;
        let count = self.random.random_range(0..20);
        self.world.log.release_deliveries(count);
        // A crash while some are confirmed and some are not.
        if self.random.random_bool(0.5) {
            self.crash_ingest().await;
        }
        if is_unavailable {
            self.world.log.set_unavailable(false);
        } else {
            self.world.log.resume_deliveries();
        }
    }

    fn fail_tables(&mut self) {
        let faults = InsertFaults {
            is_down: self.random.random_bool(0.2),
            latency_ms_max: self.random.random_range(0..1_500),
            refused: self.random.random_range(0.0..0.3),
            ambiguous: self.random.random_range(0.0..0.3),
        };
        self.world.trace.fault("tables fail", format_args!("{faults:?}"));
        self.world.tables.set_faults(faults);
    }

    fn fail_checkpoints(&mut self) {
        let chance = self.random.random_range(0.0..0.5);
        self.world.trace.fault("checkpoints fail", chance);
        self.world.checkpoints.set_fault_chance(chance);
    }

    /// The clock of the servers jumps. Not by more than what a device's clock is believed to be ahead.
    fn set_clock(&mut self) {
        let skew_ms = self.random.random_range(-40_000..40_000);
        self.world.trace.fault("clock set", skew_ms);
        self.world.clock.set_skew_ms(skew_ms);
    }

    /// Processes that start from now on have another configuration, and meanwhile others go on with theirs.
    fn configure(&mut self) {
        let rollup = &mut self.world.parameters.rollup;
        rollup.linger_ms = [0, 5_000, 60_000][self.random.random_range(0..3)];
        rollup.accumulators_max = [20, 60, 10_000][self.random.random_range(0..3)];
        rollup.levels.truncate(LEVEL_COUNT);
        for level in &mut rollup.levels {
            level.flush_interval_ms = self.random.random_range(200..10_000);
        }
        if self.random.random_bool(0.5) {
            rollup.levels.push(ANOTHER_LEVEL);
        }
        self.world
            .trace
            .fault("other configuration", format_args!("{rollup:?}"));
    }

    /// Every process dies, and all checkpoints are gone before the next one starts.
    async fn lose_checkpoints(&mut self) {
        self.world.trace.fault("all checkpoints lost", "");
        for running in self.processes.drain(..).chain(self.zombies.drain(..)) {
            running.kill(0, self.world).await;
        }
        self.world.checkpoints = Checkpoints::new(self.random.next_u64(), &self.world.trace);
        self.processes.push(self.world.start_process(&self.members));
    }

    /// All faults end, everything is up, and rest must come.
    async fn heal(&mut self) {
        let world = &*self.world;
        world.trace.note("healing");
        for broker in &world.brokers {
            broker.set_down(false);
            broker.set_latency(0);
        }
        world.tables.set_faults(InsertFaults::default());
        world.checkpoints.set_fault_chance(0.0);
        world.log.set_unavailable(false);
        for zombie in self.zombies.drain(..) {
            zombie.kill(0, world).await;
        }
        for index in 0..self.ingests.len() {
            if self.ingests[index].is_none() {
                self.start_ingest(index);
            }
        }
        if self.processes.is_empty() {
            self.processes.push(self.world.start_process(&self.members));
        }
        self.rest().await;
        for running in self.ingests.drain(..).flatten().chain(self.processes.drain(..)) {
            running.stop(self.world).await;
        }
    }

    async fn rest(&self) {
        let rest = async {
            while !self.world.is_settled() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let began = tokio::time::Instant::now();
        match tokio::time::timeout(REST_MAX, rest).await {
            Ok(()) => self
                .world
                .trace
                .note(format_args!("rest after {} ms", began.elapsed().as_millis())),
            Err(_) => {
                let ended = self
                    .ingests
                    .iter()
                    .flatten()
                    .chain(&self.processes)
                    .filter(|one| one.has_ended());
                self.world.trace.violation(format_args!(
                    "no rest {REST_MAX:?} after healing; {} instances ended by themselves; {}",
                    ended.count(),
                    self.world.describe()
                ));
            }
        }
    }
}
