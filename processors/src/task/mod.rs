//! The pure state machine of one log partition: the same checkpoint and the same records give the same state and the
//! same rows, on any machine, after any crash. It reads no clock and does no I/O.

pub mod checkpoint;
mod dead_letters;
mod events;
pub mod ledger;
mod memory;
mod parameters;
mod remains;

#[cfg(test)]
mod clock_tests;
#[cfg(test)]
mod replay_tests;
#[cfg(test)]
mod tests;

use eventlog::{RecordBatch, TopicPartition};
use schemas::{record::DEAD_LETTERS_TOPIC, rows::Rows};

use crate::{
    metrics::freshness::TenantWatermarks,
    rollup::{accumulator::Accumulator, level::Level},
};

pub use self::{
    checkpoint::RestoreError,
    dead_letters::DeadLettersTask,
    events::EventsTask,
    parameters::Parameters,
    remains::{Description, KnownDevice, Remains},
};

/// The task of a partition, by its topic.
#[derive(Clone, Debug)]
pub enum Task {
    /// Canonical events.
    Events(Box<EventsTask>),
    /// Refused messages.
    DeadLetters(Box<DeadLettersTask>),
}

/// Which rollup snapshots to collect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Those of some levels: bit by level index.
    Levels(u32),
    /// All, and the devices: before a checkpoint.
    All,
}

/// Counters and gauges of one task since it was made or restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskStats {
    /// Records applied.
    pub consumed: u64,
    /// Events left out since they were counted before.
    pub duplicates: u64,
    /// Devices that began to count again.
    pub restarts: u64,
    /// Measurement rows made.
    pub measurements: u64,
    /// Records refused here.
    pub dead_letters: u64,
    /// Largest record timestamp, Unix milliseconds.
    pub log_clock_ms: i64,
    /// Largest min(event time, record timestamp) less the allowed lateness, Unix milliseconds.
    pub watermark_ms: i64,
    /// Live accumulators.
    pub accumulators: usize,
    /// Devices known.
    pub devices: usize,
    /// Identities of recent events known.
    pub identities: usize,
}

impl Task {
    /// A task with empty state that begins at `first_offset`.
    #[must_use]
    pub fn new(topic_partition: TopicPartition, first_offset: u64, incarnation: u16, parameters: &Parameters) -> Self {
        if &*topic_partition.topic == DEAD_LETTERS_TOPIC {
            return Self::DeadLetters(Box::new(DeadLettersTask::new(
                topic_partition,
                first_offset,
                parameters,
            )));
        }
        Self::Events(Box::new(EventsTask::new(
            topic_partition,
            first_offset,
            incarnation,
            parameters,
        )))
    }

    /// The task as it was at a checkpoint.
    ///
    /// # Errors
    /// When the bytes are not a checkpoint of a partition of this topic.
    pub fn restore(topic_partition: TopicPartition, bytes: &[u8]) -> Result<Self, RestoreError> {
        checkpoint::restore(topic_partition, bytes)
    }

    /// Offset of the next record to apply.
    #[must_use]
    pub fn next_offset(&self) -> u64 {
        match self {
            Self::Events(task) => task.next_offset(),
            Self::DeadLetters(task) => task.next_offset(),
        }
    }

    /// True while it only learns from records that were counted before its state was lost. It has no state of its own to
    /// write then.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.counts_from() > self.next_offset()
    }

    /// Everything below this offset is in the tables, as far as this task has to do with it: where it goes on to count.
    #[must_use]
    pub fn counts_from(&self) -> u64 {
        match self {
            Self::Events(task) => task.state.quiet_until.max(task.next_offset()),
            Self::DeadLetters(task) => task.next_offset(),
        }
    }

    /// Applies records. Records below [`Self::next_offset`] were applied before and are left out.
    pub fn apply(&mut self, batch: &RecordBatch) {
        match self {
            Self::Events(task) => task.apply(batch),
            Self::DeadLetters(task) => task.apply(batch),
        }
    }

    /// Moves out all new rows, and snapshots of the due rollup levels; with all of them the ledger, which is to be
    /// inserted after everything else.
    pub fn collect(&mut self, due: Due, rows: &mut Rows) {
        match self {
            Self::Events(task) => task.collect(due, rows),
            Self::DeadLetters(task) => task.collect(due, rows),
        }
    }

    /// The newest times of tenants among what was collected since this was last asked, for metrics.
    pub(crate) fn take_tenant_watermarks(&mut self) -> TenantWatermarks {
        match self {
            Self::Events(task) => task.take_tenant_watermarks(),
            Self::DeadLetters(_) => TenantWatermarks::new(),
        }
    }

    /// True when something was not collected yet.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        match self {
            Self::Events(task) => task.has_pending(),
            Self::DeadLetters(task) => task.has_pending(),
        }
    }

    /// Rows waiting to be collected, without snapshots.
    #[must_use]
    pub fn pending_row_count(&self) -> usize {
        match self {
            Self::Events(task) => task.pending_row_count(),
            Self::DeadLetters(task) => task.pending_row_count(),
        }
    }

    /// The state at [`Self::next_offset`]. Comes right after `collect(Due::All)`, and is durable before anything
    /// collected later is written: proposed parameters may take effect here.
    ///
    /// # Panics
    /// When something is pending: it would be lost.
    #[must_use]
    pub fn checkpoint(&mut self) -> Vec<u8> {
        assert!(
            !self.has_pending(),
            "a checkpoint comes after everything before it was collected"
        );
        match self {
            Self::Events(task) => task.checkpoint(),
            Self::DeadLetters(task) => task.checkpoint(),
        }
    }

    /// Asks for other parameters. They take effect at the first checkpoint at or after `from_offset`: no owner before
    /// us can have written anything from there on under the old ones. True when there is anything to wait for.
    pub fn propose_parameters(&mut self, parameters: &Parameters, from_offset: u64) -> bool {
        match self {
            Self::Events(task) => task.propose_parameters(parameters, from_offset),
            Self::DeadLetters(task) => {
                task.propose_parameters(parameters);
                false
            }
        }
    }

    /// Period and resolution of the rollup levels in force.
    #[must_use]
    pub fn levels(&self) -> Vec<(u32, u8)> {
        match self {
            Self::Events(task) => {
                let levels = task.state.rollups.levels().iter();
                levels.map(|level| (level.period_seconds, level.resolution)).collect()
            }
            Self::DeadLetters(_) => Vec::new(),
        }
    }

    /// Shows every live accumulator, with its tenant, metric and level.
    pub fn accumulators(&self, mut show: impl FnMut(&str, &str, &Level, &Accumulator)) {
        if let Self::Events(task) = self {
            for (level, accumulator) in task.state.rollups.accumulators() {
                let (tenant, metric) = task.state.symbols.names(accumulator.key.symbol);
                show(tenant, metric, level, accumulator);
            }
        }
    }

    /// Counters and gauges.
    #[must_use]
    pub fn stats(&self) -> TaskStats {
        match self {
            Self::Events(task) => task.stats(),
            Self::DeadLetters(task) => task.stats(),
        }
    }
}
