//! Taking partitions over: from the newest checkpoint, or from the first record; and dropping them.

use eventlog::{AssignedPartition, LogError, TopicPartition};
use tokio::{sync::oneshot, time::Instant};

use super::{
    Coordinator, ProcessError, RowSink,
    ownership::{Episode, Owned},
    recover::is_stopping_after,
    restore,
    worker::{Adoption, Beginning, Command},
};
use crate::{checkpoint::Found, limits, metrics::PartitionLedger, task::RestoreError};

/// A partition whose task is being made by its worker.
struct Adopted {
    topic_partition: TopicPartition,
    first_offset: u64,
    /// A checkpoint at `first_offset` is durable, and the group does not know it: its writer ended before the commit.
    is_uncommitted: bool,
    reply: oneshot::Receiver<Result<u64, RestoreError>>,
}

impl<S: RowSink> Coordinator<S> {
    pub(super) async fn on_assigned(&mut self, assigned: Vec<AssignedPartition>) -> Result<(), ProcessError> {
        for partition in &assigned {
            self.release(&partition.topic_partition).await?;
        }
        let Some(beginnings) = self.recoverer().beginnings(assigned).await? else {
            return Ok(());
        };
        let mut adopted = Vec::new();
        for (partition, found) in beginnings {
            adopted.push(self.adopt(partition, found).await?);
        }
        let names: Vec<String> = adopted.iter().map(|one| one.topic_partition.to_string()).collect();
        for partition in adopted {
            self.start(partition).await?;
        }
        tracing::info!(count = names.len(), partitions = names.join(" "), "partitions are ours");
        self.metrics.partitions.set(self.ownership.len() as f64);
        self.commit().await
    }

    /// Has a worker make the task of a partition.
    async fn adopt(&mut self, partition: AssignedPartition, found: Found) -> Result<Adopted, ProcessError> {
        self.metrics.checkpoints_damaged.increment(found.damaged_count as u64);
        let next_number = found.next_number;
        let is_newest_known = found.damaged_count == 0;
        let beginning = restore::beginning(&partition, found)?;
        let (first_offset, reach, is_uncommitted) = match &beginning {
            Beginning::Fresh { first_offset, .. } => (*first_offset, Some(*first_offset), false),
            Beginning::Restored(checkpoint) => {
                let is_uncommitted = partition.committed < Some(checkpoint.offset);
                (checkpoint.offset, checkpoint.reach, is_uncommitted)
            }
        };
        // Whoever wrote a checkpoint that we cannot read, or knew no reach, may have gone as far as the log.
        let inherited_reach = reach.filter(|_| is_newest_known).unwrap_or(partition.high);
        let topic_partition = partition.topic_partition;
        let mut ledger = PartitionLedger::new(&topic_partition);
        ledger.extend(partition.high);
        let worker = self.ownership.idlest(self.pool.worker_ids());
        self.ownership.insert(
            topic_partition.clone(),
            Owned {
                worker,
                handed_offset: first_offset,
                durable_offset: first_offset,
                // Nowhere, until a checkpoint of our own claims the partition: another one may own it too, and write a
                // checkpoint at which its parameters change before we do.
                reach: first_offset,
                inherited_reach,
                stride: self.settings.reach_records_min,
                // What waits there is wanted at once, so that all partitions that came together are claimed by one flush.
                wanted_offset: partition.high.min(first_offset + 1),
                durable_at: self.first_durable_at(&topic_partition),
                next_number,
                episode: Episode::default(),
                ledger,
            },
        );
        let adoption = Box::new(Adoption {
            topic_partition: topic_partition.clone(),
            beginning,
            parameters: self.settings.parameters.clone(),
            parameters_from: inherited_reach,
        });
        let (answer, reply) = oneshot::channel();
        let command = Command::Adopt {
            adoption,
            reply: answer,
        };
        self.pool.send(worker, command).await?;
        Ok(Adopted {
            topic_partition,
            first_offset,
            is_uncommitted,
            reply,
        })
    }

    /// When the first checkpoint of our own counts from: partitions take turns, so that not all states are encoded, and
    /// all snapshots written, in one flush.
    fn first_durable_at(&self, topic_partition: &TopicPartition) -> Instant {
        let phase = u32::from(topic_partition.partition.0) % limits::CHECKPOINT_PHASES;
        let headstart = self.settings.checkpoint_interval * phase / limits::CHECKPOINT_PHASES;
        let now = Instant::now();
        now.checked_sub(headstart).unwrap_or(now)
    }

    /// Begins to read a partition once its task is there.
    async fn start(&mut self, adopted: Adopted) -> Result<(), ProcessError> {
        let Adopted {
            topic_partition,
            first_offset,
            is_uncommitted,
            reply,
        } = adopted;
        let made = reply.await.map_err(|_| ProcessError::WorkerLost)?;
        let next_offset = made.map_err(|source| ProcessError::Restore {
            topic_partition: topic_partition.clone(),
            source,
        })?;
        debug_assert_eq!(
            next_offset, first_offset,
            "the frame of a checkpoint tells the state's offset"
        );
        loop {
            match self.consumer.start(&topic_partition, first_offset).await {
                Ok(()) => {
                    tracing::debug!(partition = %topic_partition, offset = first_offset, "processing a partition");
                    if is_uncommitted {
                        self.uncommitted.insert(topic_partition, first_offset);
                    }
                    return Ok(());
                }
                Err(LogError::Fenced { .. }) => return self.release(&topic_partition).await,
                Err(error @ LogError::Unavailable { .. }) => {
                    tracing::warn!(partition = %topic_partition, %error, "cannot begin to read, trying again");
                }
                Err(error) => return Err(ProcessError::from_start(&topic_partition, error)),
            }
            if is_stopping_after(&self.shutdown, limits::LOG_RETRY_PAUSE).await {
                return Ok(());
            }
        }
    }

    /// Another owner wrote the checkpoint that we were about to write. What we hold is dropped at once; if the
    /// partition is ours after all (the other one is late to learn that it is not), we go on from what was written.
    pub(super) async fn reclaim(&mut self, topic_partition: TopicPartition) -> Result<(), ProcessError> {
        self.metrics.checkpoints_fenced.increment(1);
        tracing::warn!(partition = %topic_partition, "another owner of the partition is ahead: its state is dropped here");
        self.release(&topic_partition).await?;
        let Some(bounds) = self.recoverer().bounds(&topic_partition).await? else {
            return Ok(());
        };
        let assigned = AssignedPartition {
            topic_partition,
            committed: None,
            low: bounds.start,
            high: bounds.end,
        };
        self.on_assigned(vec![assigned]).await
    }

    /// Drops a partition's task with everything that was not collected.
    pub(super) async fn release(&mut self, topic_partition: &TopicPartition) -> Result<(), ProcessError> {
        let Some(owned) = self.ownership.remove(topic_partition) else {
            return Ok(());
        };
        self.uncommitted.remove(topic_partition);
        self.held.take_if(|batch| batch.topic_partition() == topic_partition);
        owned.ledger.abandon();
        self.metrics.freshness.release(topic_partition);
        self.metrics.partitions.set(self.ownership.len() as f64);
        let command = Command::Release(topic_partition.clone());
        self.pool.send(owned.worker, command).await
    }
}
