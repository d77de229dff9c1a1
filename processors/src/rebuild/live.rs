//! What the task of a partition holds, by its newest checkpoint: which levels, and which accumulators go on.

use std::collections::HashMap;

use eventlog::TopicPartition;

use crate::{
    checkpoint::Checkpoint,
    task::{RestoreError, Task},
};

/// A cell of any level, with tenant and metric as a number of [`LivePartition`].
type LiveKey = (u32, u32, u8, u32, u64);

/// What goes on from the newest checkpoint of a partition.
#[derive(Debug)]
pub(super) struct LivePartition {
    next_offset: u64,
    incarnation: u16,
    levels: Vec<(u32, u8)>,
    names: HashMap<(String, String), u32>,
    generations: HashMap<LiveKey, u64>,
}

/// A cell in words.
#[derive(Clone, Copy, Debug)]
pub(super) struct CellOf<'a> {
    pub(super) tenant: &'a str,
    pub(super) metric: &'a str,
    pub(super) level: (u32, u8),
    pub(super) bucket_seconds: u32,
    pub(super) cell: u64,
}

impl LivePartition {
    pub(super) fn read(place: TopicPartition, checkpoint: &Checkpoint) -> Result<Self, RestoreError> {
        let task = Task::restore(place, &checkpoint.state)?;
        let mut live = Self {
            next_offset: task.counts_from(),
            incarnation: checkpoint.incarnation,
            levels: task.levels(),
            names: HashMap::new(),
            generations: HashMap::new(),
        };
        task.accumulators(|tenant, metric, level, accumulator| {
            let count = u32::try_from(live.names.len()).expect("far fewer names than 2^32");
            let name = *live
                .names
                .entry((tenant.to_owned(), metric.to_owned()))
                .or_insert(count);
            let (period, resolution) = (level.period_seconds, level.resolution);
            let key = (
                name,
                period,
                resolution,
                accumulator.key.bucket_seconds,
                accumulator.key.cell,
            );
            live.generations.insert(key, accumulator.generation);
        });
        Ok(live)
    }

    /// A task without its state: nothing goes on, and everything below the offset is in the tables.
    pub(super) fn without_state(next_offset: u64, incarnation: u16, levels: Vec<(u32, u8)>) -> Self {
        Self {
            next_offset,
            incarnation,
            levels,
            names: HashMap::new(),
            generations: HashMap::new(),
        }
    }

    /// The same after all accumulators were evicted.
    #[cfg(test)]
    pub(super) fn without_accumulators(mut self) -> Self {
        self.generations.clear();
        self
    }

    /// Everything below is in the tables.
    pub(super) fn next_offset(&self) -> u64 {
        self.next_offset
    }

    pub(super) fn incarnation(&self) -> u16 {
        self.incarnation
    }

    pub(super) fn levels(&self) -> impl Iterator<Item = (u32, u8)> {
        self.levels.iter().copied()
    }

    pub(super) fn has_level(&self, level: (u32, u8)) -> bool {
        self.levels.contains(&level)
    }

    /// Generation of the accumulator that fills a cell, if there is one.
    pub(super) fn generation(&self, cell: CellOf<'_>) -> Option<u64> {
        let name = self.names.get(&(cell.tenant.to_owned(), cell.metric.to_owned()))?;
        let (period, resolution) = cell.level;
        let key = (*name, period, resolution, cell.bucket_seconds, cell.cell);
        self.generations.get(&key).copied()
    }
}
