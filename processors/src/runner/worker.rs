//! A worker owns the tasks of some partitions and does all computing on them: restore, apply, collect, encode,
//! compress. Commands come in, in order; answers go out. Never waits for anything but the next command, so that a
//! command that was sent is always done.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use eventlog::{RecordBatch, TopicPartition};
use schemas::rows::{Rows, TABLE_COUNT};
use tokio::sync::oneshot;

use super::RowSink;
use crate::{
    checkpoint::Checkpoint,
    limits,
    metrics::freshness::TenantWatermarks,
    task::{Due, Parameters, RestoreError, Task, TaskStats},
};

/// What a worker is asked to do.
pub(super) enum Command<E> {
    /// Make a task and own it from now on. The answer is the offset of its next record.
    Adopt {
        adoption: Box<Adoption>,
        reply: oneshot::Sender<Result<u64, RestoreError>>,
    },
    /// Apply records; those of a partition without a task are left out.
    Apply(RecordBatch),
    /// Collect rows and checkpoints.
    Collect {
        plan: Arc<CollectPlan>,
        reply: oneshot::Sender<Gathered<E>>,
    },
    /// Forget a task with everything that was not collected.
    Release(TopicPartition),
}

/// How a task begins.
pub(super) struct Adoption {
    pub(super) topic_partition: TopicPartition,
    pub(super) beginning: Beginning,
    /// As configured now.
    pub(super) parameters: Parameters,
    /// Others than those of the state apply from a checkpoint at this offset on: nobody before us writes rows beyond it.
    pub(super) parameters_from: u64,
}

/// State to begin with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// Empty, at this offset.
    Fresh { first_offset: u64, incarnation: u16 },
    /// As it was at a checkpoint.
    Restored(Checkpoint),
}

/// What to collect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CollectPlan {
    /// Only these partitions; `None`: all.
    pub(super) only: Option<BTreeSet<TopicPartition>>,
    /// Snapshots of all levels, not of the due ones alone.
    pub(super) everything: bool,
    /// Levels that are due, bit by index.
    pub(super) levels: u32,
    /// Partitions to checkpoint, each with the reach of its checkpoint: everything of them is collected.
    pub(super) checkpoints: BTreeMap<TopicPartition, u64>,
}

impl CollectPlan {
    fn covers(&self, topic_partition: &TopicPartition) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(topic_partition))
    }
}

/// What one worker collected.
pub(super) struct Gathered<E> {
    pub(super) encoded: Vec<E>,
    /// As [`Rows::counts`].
    pub(super) row_counts: [usize; TABLE_COUNT],
    /// Rollup rows by period in seconds and resolution.
    pub(super) snapshots: BTreeMap<(u32, u8), u64>,
    pub(super) checkpoints: Vec<Taken>,
    /// Every covered task as it was then.
    pub(super) stats: Vec<(TopicPartition, TaskStats)>,
    /// What metrics tell of tenants.
    pub(super) tenants: Vec<(TopicPartition, TenantWatermarks)>,
}

/// A checkpoint ready to be written.
pub(super) struct Taken {
    pub(super) topic_partition: TopicPartition,
    pub(super) offset: u64,
    pub(super) reach: u64,
    pub(super) frame: Bytes,
}

/// What waits in memory, over all workers.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    /// Rows in tasks, not collected.
    rows: AtomicUsize,
    /// Bytes of records sent to workers and not collected.
    bytes: AtomicUsize,
}

impl Pressure {
    pub(super) fn rows(&self) -> usize {
        self.rows.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// The tasks of some partitions.
pub(super) struct Worker<S: RowSink> {
    sink: Arc<S>,
    pressure: Arc<Pressure>,
    slots: BTreeMap<TopicPartition, Slot>,
}

struct Slot {
    task: Task,
    incarnation: u16,
    /// Bytes of records that were applied and not collected.
    bytes: usize,
}

impl<S: RowSink> Worker<S> {
    pub(super) fn new(sink: Arc<S>, pressure: Arc<Pressure>) -> Self {
        Self {
            sink,
            pressure,
            slots: BTreeMap::new(),
        }
    }

    pub(super) fn handle(&mut self, command: Command<S::Encoded>) {
        match command {
            // An answer that nobody waits for any more is of no use to anybody.
            Command::Adopt { adoption, reply } => drop(reply.send(self.adopt(*adoption))),
            Command::Apply(batch) => self.apply(&batch),
            Command::Collect { plan, reply } => drop(reply.send(self.collect(&plan))),
            Command::Release(topic_partition) => self.release(&topic_partition),
        }
    }

    fn adopt(&mut self, adoption: Adoption) -> Result<u64, RestoreError> {
        let Adoption {
            topic_partition,
            beginning,
            parameters,
            parameters_from,
        } = adoption;
        let (mut task, incarnation) = match beginning {
            Beginning::Fresh {
                first_offset,
                incarnation,
            } => (
                Task::new(topic_partition.clone(), first_offset, incarnation, &parameters),
                incarnation,
            ),
            Beginning::Restored(checkpoint) => (
                Task::restore(topic_partition.clone(), &checkpoint.state)?,
                checkpoint.incarnation,
            ),
        };
        if task.propose_parameters(&parameters, parameters_from) {
            tracing::info!(
                partition = %topic_partition,
                at = task.next_offset(),
                from = parameters_from,
                "another configuration than before: it applies from a checkpoint at offset `from` on"
            );
        }
        let next_offset = task.next_offset();
        self.slots.insert(
            topic_partition,
            Slot {
                task,
                incarnation,
                bytes: 0,
            },
        );
        Ok(next_offset)
    }

    fn apply(&mut self, batch: &RecordBatch) {
        let Some(slot) = self.slots.get_mut(batch.topic_partition()) else {
            self.pressure.bytes.fetch_sub(batch.byte_count(), Ordering::Relaxed);
            return;
        };
        let before = slot.task.pending_row_count();
        slot.task.apply(batch);
        slot.bytes += batch.byte_count();
        let made = slot.task.pending_row_count() - before;
        self.pressure.rows.fetch_add(made, Ordering::Relaxed);
    }

    fn collect(&mut self, plan: &CollectPlan) -> Gathered<S::Encoded> {
        let mut gathered = Gathered {
            encoded: Vec::new(),
            row_counts: [0; TABLE_COUNT],
            snapshots: BTreeMap::new(),
            checkpoints: Vec::new(),
            stats: Vec::new(),
            tenants: Vec::new(),
        };
        let mut rows = Rows::default();
        for (topic_partition, slot) in &mut self.slots {
            if !plan.covers(topic_partition) {
                continue;
            }
            let reach = plan.checkpoints.get(topic_partition);
            let due = if reach.is_some() || plan.everything {
                Due::All
            } else {
                Due::Levels(plan.levels)
            };
            slot.ease(&self.pressure);
            slot.task.collect(due, &mut rows);
            if let Some(reach) = reach {
                gathered.checkpoints.push(slot.checkpoint(topic_partition, *reach));
            }
            gathered.stats.push((topic_partition.clone(), slot.task.stats()));
            let tenants = slot.task.take_tenant_watermarks();
            gathered.tenants.push((topic_partition.clone(), tenants));
            if rows.counts().iter().sum::<usize>() >= limits::ENCODED_ROWS {
                gathered.add(&*self.sink, std::mem::take(&mut rows));
            }
        }
        if !rows.is_empty() {
            gathered.add(&*self.sink, rows);
        }
        gathered
    }

    fn release(&mut self, topic_partition: &TopicPartition) {
        if let Some(mut slot) = self.slots.remove(topic_partition) {
            slot.ease(&self.pressure);
        }
    }
}

impl Slot {
    /// What waits in this task is about to be collected or dropped.
    fn ease(&mut self, pressure: &Pressure) {
        pressure
            .rows
            .fetch_sub(self.task.pending_row_count(), Ordering::Relaxed);
        pressure
            .bytes
            .fetch_sub(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }

    fn checkpoint(&mut self, topic_partition: &TopicPartition, reach: u64) -> Taken {
        let checkpoint = Checkpoint {
            offset: self.task.next_offset(),
            reach: Some(reach),
            incarnation: self.incarnation,
            state: self.task.checkpoint(),
        };
        Taken {
            topic_partition: topic_partition.clone(),
            offset: checkpoint.offset,
            reach,
            frame: checkpoint.encode(),
        }
    }
}

impl<E> Gathered<E> {
    fn add<S: RowSink<Encoded = E>>(&mut self, sink: &S, rows: Rows) {
        for (total, count) in self.row_counts.iter_mut().zip(rows.counts()) {
            *total += count;
        }
        let levels = rows.rollups.period_seconds.iter().zip(&rows.rollups.resolution);
        for (period_seconds, resolution) in levels {
            *self.snapshots.entry((*period_seconds, *resolution)).or_default() += 1;
        }
        self.encoded.push(sink.encode(rows));
    }
}
