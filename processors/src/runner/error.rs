//! Why processing ends before it is asked to. Every one of these needs a person; outages do not end it.

use std::{error::Error, io};

use eventlog::{LogError, TopicPartition};

use crate::{checkpoint::CheckpointError, recovery::RecoveryError, task::RestoreError};

/// Why processing ended.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// Settings that cannot be used.
    #[error("processing cannot start: {}", .0.join("; "))]
    Settings(Vec<String>),
    /// The log is broken, or refuses us for good.
    #[error(transparent)]
    Log(LogError),
    /// ClickHouse refuses rows for good.
    #[error("rows cannot be inserted: {0}")]
    Sink(#[source] Box<dyn Error + Send + Sync>),
    /// The checkpoint store refuses for good.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// ClickHouse refuses for good to say what is left of a partition.
    #[error("a partition cannot be taken over: {0}")]
    Recovery(#[source] Box<RecoveryError>),
    /// A whole checkpoint whose state this version does not understand.
    #[error("the checkpoint of `{topic_partition}` cannot be restored: {source}; run the version that wrote it")]
    Restore {
        /// Of which partition.
        topic_partition: TopicPartition,
        /// What is wrong.
        source: RestoreError,
    },
    /// Retention removed records before they were processed.
    #[error(
        "records of `{topic_partition}` are gone: offset {wanted} is next, and the log begins at {low}; give the topic a \
         longer retention; to go on from {low} without the missing records, delete the checkpoints of this partition \
         and the offsets of the consumer group"
    )]
    RecordsGone {
        /// Of which partition.
        topic_partition: TopicPartition,
        /// The next offset to process.
        wanted: u64,
        /// The oldest offset in the log.
        low: u64,
    },
    /// The log is shorter than what was processed: it is not the log that the checkpoints belong to.
    #[error(
        "`{topic_partition}` was replaced: offset {wanted} is next, and the log ends at {high}; restore the log, or \
         point `checkpoints.url` and `kafka.group` at new ones (and use a new database, since offsets repeat)"
    )]
    LogReplaced {
        /// Of which partition.
        topic_partition: TopicPartition,
        /// The next offset to process.
        wanted: u64,
        /// Offset that the next message will get.
        high: u64,
    },
    /// No checkpoint is left, the log cannot be replayed from its beginning, and no ledger says what is in the tables.
    #[error(
        "the checkpoints of `{topic_partition}` are lost (offset {committed} was committed), the log no longer holds \
         offset 0 (it begins at {low}), and ClickHouse has no ledger of the partition; restore the folder or bucket of \
         `checkpoints.url` from a copy"
    )]
    CheckpointsLost {
        /// Of which partition.
        topic_partition: TopicPartition,
        /// Committed by the group.
        committed: u64,
        /// The oldest offset in the log.
        low: u64,
    },
    /// No checkpoint is left, and between what the tables hold and what the log holds records are missing.
    #[error(
        "the checkpoints of `{topic_partition}` are lost, ClickHouse has everything below offset {end}, and the log begins \
         at {low}: what became of the {} records between is not known; restore the folder or bucket of `checkpoints.url` \
         from a copy; to go on from {low} without these records, delete the offsets of the consumer group", low - end
    )]
    RecordsUnaccounted {
        /// Of which partition.
        topic_partition: TopicPartition,
        /// Where the ledger ends.
        end: u64,
        /// The oldest offset in the log.
        low: u64,
    },
    /// The tables were made from a partition of this name, and neither checkpoints nor the group know of it.
    #[error(
        "ClickHouse has a ledger of `{topic_partition}` up to offset {end}, and there is neither a checkpoint nor a committed \
         offset of it: if the log is another one than the tables were made from, use a new database, since offsets repeat; \
         if it is the same, restore `checkpoints.url` from a copy, or commit offset {end} for the consumer group"
    )]
    UnknownLedger {
        /// Of which partition.
        topic_partition: TopicPartition,
        /// Where the ledger ends.
        end: u64,
    },
    /// No thread for a worker.
    #[error("cannot start a worker thread: {0}; raise the limit of threads or set fewer workers")]
    Thread(#[source] io::Error),
    /// A worker died.
    #[error("a worker ended unexpectedly: a defect, its panic stands above; nothing is lost, it is done again")]
    WorkerLost,
}

impl ProcessError {
    /// A failed start of a partition at `wanted`, in terms of what was processed.
    pub(crate) fn from_start(topic_partition: &TopicPartition, error: LogError) -> Self {
        match error {
            LogError::OutOfRange { offset, low, .. } if offset < low => Self::RecordsGone {
                topic_partition: topic_partition.clone(),
                wanted: offset,
                low,
            },
            LogError::OutOfRange { offset, high, .. } => Self::LogReplaced {
                topic_partition: topic_partition.clone(),
                wanted: offset,
                high,
            },
            LogError::Unavailable { .. }
            | LogError::Fenced { .. }
            | LogError::Config { .. }
            | LogError::Fatal { .. } => Self::Log(error),
        }
    }
}
