//! What users may say about processing. Must never hold a value that was not checked when [`crate::pipeline::run`]
//! begins.

use std::{num::NonZeroUsize, time::Duration};

use crate::{limits, task::Parameters};

/// How an instance processes its partitions.
#[derive(Clone, Debug)]
pub struct ProcessSettings {
    /// What shapes the state of tasks. A change takes effect at a checkpoint of each partition.
    pub parameters: Parameters,
    /// How long a measurement row may wait to be inserted.
    pub flush_interval: Duration,
    /// How often the state of a partition is made durable: what a crash makes us do again.
    pub checkpoint_interval: Duration,
    /// How far beyond its own offset a checkpoint reaches at least: other parameters apply there at the latest, and a quiet
    /// partition that becomes busy waits for a checkpoint after so many records.
    pub reach_records_min: u64,
    /// Who runs the tasks.
    pub workers: Workers,
    /// Shutdown first reads what is in the log by then: for one that nobody reads after us.
    pub reads_to_end: bool,
}

/// Who runs the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// This many threads of their own.
    Threads(NonZeroUsize),
    /// This many on the threads of the runtime: for simulation, where a paused clock must wait for them.
    Runtime(NonZeroUsize),
}

impl Workers {
    /// A thread for each core of the machine.
    #[must_use]
    pub fn for_this_machine() -> Self {
        Self::Threads(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    pub(crate) fn count(self) -> usize {
        match self {
            Self::Threads(count) | Self::Runtime(count) => count.get(),
        }
    }
}

impl Default for ProcessSettings {
    fn default() -> Self {
        Self {
            parameters: Parameters::default(),
            flush_interval: Duration::from_secs(1),
            checkpoint_interval: Duration::from_secs(10),
            reach_records_min: limits::REACH_RECORDS_MIN,
            workers: Workers::for_this_machine(),
            reads_to_end: false,
        }
    }
}

impl ProcessSettings {
    /// Everything that is wrong, one sentence each; empty when all is well.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if let Err(fault) = self.parameters.validate() {
            faults.push(fault.to_string());
        }
        let intervals = [
            ("flush_interval", self.flush_interval),
            ("checkpoint_interval", self.checkpoint_interval),
        ];
        for (name, interval) in intervals {
            if !(limits::INTERVAL_MIN..=limits::INTERVAL_MAX).contains(&interval) {
                let (min, max) = (limits::INTERVAL_MIN, limits::INTERVAL_MAX);
                faults.push(format!("`{name}` must be from {min:?} to {max:?}, not {interval:?}"));
            }
        }
        if self.workers.count() > limits::WORKERS_MAX {
            let (count, max) = (self.workers.count(), limits::WORKERS_MAX);
            faults.push(format!("at most {max} workers are possible, not {count}"));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_without_fault() {
        assert_eq!(ProcessSettings::default().faults(), Vec::<String>::new());
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let mut settings = ProcessSettings {
            flush_interval: Duration::ZERO,
            checkpoint_interval: Duration::from_secs(7_200),
            workers: Workers::Threads(NonZeroUsize::new(1_000).unwrap()),
            ..ProcessSettings::default()
        };
        settings.parameters.rollup.levels.clear();
        let faults = settings.faults();
        assert_eq!(faults.len(), 4, "{faults:?}");
    }
}
