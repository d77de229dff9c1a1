//! Everything that instances share and that outlives them: brokers, log, tables, checkpoints, time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use eventlog::{Log, LogConfig, MemoryLog, PartitionId, TopicPartition, TopicSpec};
use processors::task::Parameters;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemas::record::{DEAD_LETTERS_TOPIC, EVENTS_TOPIC};

use crate::{
    broker::{Accepted, Broker},
    checkpoints::Checkpoints,
    clock::SimulatedClock,
    fleet::Fleet,
    tables::Tables,
    trace::Trace,
};

pub(crate) const GROUP: &str = "meridian";
const PARTITIONS: u16 = 3;

/// What a run is about, drawn before anything else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) broker_count: usize,
    /// The log loses records alone, so that they are sent again behind later ones; devices do not restart then. Both
    /// together lose events today: an event of the run before the restart that arrives within the new run takes the place
    /// of the one that has its count there.
    pub(crate) loses_records: bool,
    /// Processes come back with another configuration; checkpoints are not lost then. The real tables say where to
    /// go on then, which those of the simulation do not; and a log that is read again makes the same rows only under the
    /// same configurations, which were in the checkpoints.
    pub(crate) changes_configuration: bool,
}

/// See above.
pub(crate) struct World {
    pub(crate) log: MemoryLog,
    pub(crate) brokers: Vec<Broker>,
    pub(crate) tables: Tables,
    pub(crate) checkpoints: Arc<Checkpoints>,
    pub(crate) clock: Arc<SimulatedClock>,
    pub(crate) parameters: Parameters,
    pub(crate) plan: Plan,
    pub(crate) trace: Trace,
    fleet: Mutex<Fleet>,
}

impl World {
    pub(crate) fn new(random: &mut ChaCha8Rng, plan: Plan, trace: Trace) -> Self {
        let log = MemoryLog::new();
        log.ensure_topics(&[
            TopicSpec::new(EVENTS_TOPIC, PARTITIONS),
            TopicSpec::new(DEAD_LETTERS_TOPIC, 1),
        ])
        .expect("an empty log takes any topic");
        let mut parameters = Parameters::default();
        // Short lives of few accumulators: generations begin all the time.
        parameters.rollup.linger_ms = 5_000;
        parameters.rollup.accumulators_max = 60;
        let brokers =
            (0..plan.broker_count).map(|index| Broker::new(&format!("edge-{index}"), random.next_u64(), &trace));
        Self {
            log,
            brokers: brokers.collect(),
            tables: Tables::new(random.next_u64(), &trace),
            checkpoints: Checkpoints::new(random.next_u64(), &trace),
            clock: Arc::new(SimulatedClock::new()),
            parameters,
            fleet: Mutex::new(Fleet::new(random.next_u64(), !plan.loses_records)),
            plan,
            trace,
        }
    }

    pub(crate) fn open_log(&self) -> Log {
        Log::open(LogConfig::Memory(self.log.clone())).expect("memory opens")
    }

    pub(crate) fn fleet(&self) -> MutexGuard<'_, Fleet> {
        self.fleet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Devices publish so many times, each to its broker.
    pub(crate) fn publish(&self, count: usize) {
        let mut fleet = self.fleet();
        for _ in 0..count {
            for number in fleet.publish(self.clock.true_ms()) {
                let message = &fleet.messages[number];
                self.brokers[message.device % self.brokers.len()].publish(Accepted {
                    number,
                    topic: fleet.devices[message.device].topic().into(),
                    payload: Bytes::copy_from_slice(message.payload.as_bytes()),
                });
            }
        }
    }

    pub(crate) fn places() -> impl Iterator<Item = TopicPartition> {
        let of = |topic: &str, partition| TopicPartition {
            topic: topic.into(),
            partition: PartitionId(partition),
        };
        let letters = of(DEAD_LETTERS_TOPIC, 0);
        (0..PARTITIONS)
            .map(move |partition| of(EVENTS_TOPIC, partition))
            .chain([letters])
    }

    fn high(&self, place: &TopicPartition) -> u64 {
        let records = self.log.records(place).expect("all places exist");
        records.next_offset().unwrap_or(0)
    }

    /// Nothing is on its way: brokers owe nothing, and the group has committed the end of every partition.
    pub(crate) fn is_settled(&self) -> bool {
        self.brokers.iter().all(Broker::is_drained)
            && Self::places().all(|place| {
                let high = self.high(&place);
                high == 0 || self.log.committed(GROUP, &place) == Some(high)
            })
    }

    /// How far things are, for people.
    pub(crate) fn describe(&self) -> String {
        let brokers = self.brokers.iter().map(Broker::describe);
        let places = Self::places().map(|place| {
            let (high, committed) = (self.high(&place), self.log.committed(GROUP, &place));
            format!("{place}: {committed:?} of {high} committed")
        });
        brokers.chain(places).collect::<Vec<_>>().join("; ")
    }
}

/// A seed for something of its own.
pub(crate) fn seeded(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}
