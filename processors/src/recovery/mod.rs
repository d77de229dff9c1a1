//! A partition whose checkpoints are lost: what the tables hold says where to go on, and as what.
//!
//! The books of a partition are written after all that they count. So whatever lies below their end is in the tables,
//! and the task begins there with a state made from the tables: the counts and places of devices, and the books
//! themselves. What can be learned only from records is learned by reading them again without counting. Snapshots that
//! the lost state has filled beyond that offset are made what they were before. A higher incarnation makes all this
//! hold against whoever still has the lost state. See ADR 9.
//!
//! Must never count an event that is in the tables already, nor say that something is there which may not be.

mod mend;
mod store;

use std::collections::HashMap;

use eventlog::TopicPartition;
use futures::future::BoxFuture;
use platform::retry::{Classify, Domain, Retry};

use crate::{
    audit::AuditError,
    rebuild::RebuildError,
    sink::SinkError,
    task::{
        Parameters, Remains,
        ledger::{Chunk, LevelSince},
    },
};

pub use mend::Mended;

/// Why the tables could not be asked, or not be mended. What was written before stays, and is right.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// ClickHouse does not answer, or refuses.
    #[error(transparent)]
    Store(#[from] AuditError),
    /// Snapshots could not be made again.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
}

impl Classify for RecoveryError {
    fn domain(&self) -> Domain {
        match self.retry() {
            Retry::Never => Domain::Internal,
            _ => Domain::External,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Store(error) | Self::Rebuild(RebuildError::Store(error)) => {
                let AuditError::Query { what, source } = error;
                SinkError::from_client(what, source).retry()
            }
            Self::Rebuild(RebuildError::Checkpoint(error)) => error.retry(),
            Self::Rebuild(RebuildError::Sink(error)) => error.retry(),
            Self::Rebuild(RebuildError::Restore { .. }) => Retry::Never,
        }
    }
}

/// What the tables say of a partition, before anything else is asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Books {
    /// The last chunk of them.
    pub last_chunk: Chunk,
    /// From which offset on each rollup level has everything.
    pub levels: Vec<LevelSince>,
    /// The newest incarnation that has written anything.
    pub incarnation: u16,
}

impl Books {
    /// Whatever the task of the partition made of records below is in the tables.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.last_chunk.last_offset + 1
    }
}

/// Where a task goes on whose state is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoesOn {
    /// Records below are not counted again.
    pub counts_from: u64,
    /// Higher than any that has written something.
    pub incarnation: u16,
}

/// Whoever knows what is in the tables.
pub trait Recovery: Send + Sync {
    /// The newest incarnation that has written books, of every partition that has any.
    fn incarnations(&self) -> BoxFuture<'_, Result<HashMap<TopicPartition, u16>, RecoveryError>>;

    /// Where the books of a partition end; `None` when there are none.
    fn books<'call>(
        &'call self,
        topic_partition: &'call TopicPartition,
    ) -> BoxFuture<'call, Result<Option<Books>, RecoveryError>>;

    /// What the tables hold of the state before `counts_from`, where the log begins at `low`.
    fn remains<'call>(
        &'call self,
        topic_partition: &'call TopicPartition,
        books: Books,
        counts_from: u64,
        low: u64,
        parameters: &'call Parameters,
    ) -> BoxFuture<'call, Result<Remains, RecoveryError>>;

    /// Takes back what lost state has written from an offset on. Doing it again does no harm, also after the task has
    /// gone on.
    fn mend<'call>(
        &'call self,
        topic_partition: &'call TopicPartition,
        goes_on: GoesOn,
        parameters: &'call Parameters,
    ) -> BoxFuture<'call, Result<Mended, RecoveryError>>;
}
