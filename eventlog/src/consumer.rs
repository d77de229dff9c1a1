//! Reading the log as a member of a group.

use std::sync::Arc;

use crate::{LogError, RecordBatch, TopicPartition};

/// What happens to a member of a group, in order.
#[derive(Debug)]
pub enum ConsumerEvent {
    /// These partitions are ours now. Nothing of them is delivered until [`Consumer::start`] says where to begin.
    Assigned(Vec<AssignedPartition>),
    /// These partitions leave us. Finish or abandon work on them, then drop the revocation: the group waits for it,
    /// but not longer than a bounded time.
    Revoked(Revocation),
    /// Records of one partition, in offset order, each offset once per assignment.
    Records(RecordBatch),
}

/// A partition that came to us, with what its log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignedPartition {
    /// Which one.
    pub topic_partition: TopicPartition,
    /// Offset committed by the group: the next one to read; none if never committed.
    pub committed: Option<u64>,
    /// Oldest offset still in the log.
    pub low: u64,
    /// Offset that the next message will get.
    pub high: u64,
}

/// Partitions on their way to another member. Dropping it lets them go.
#[derive(Debug)]
pub struct Revocation {
    /// Which ones.
    pub partitions: Vec<TopicPartition>,
    /// True when they are lost already (session expired): commits would be refused.
    pub lost: bool,
    /// Released on drop; the implementation waits on the other side.
    pub release: Option<tokio::sync::oneshot::Sender<()>>,
}

/// A member of a consumer group.
///
/// Implementations keep the membership alive on their own, however long the caller takes between two calls,
/// and stop fetching while the caller does not read (bounded memory).
#[async_trait::async_trait]
pub trait Consumer: Send {
    /// The next event. Cancel safe.
    ///
    /// # Errors
    /// [`LogError::Fatal`] ends the member; short outages are waited out inside.
    async fn next(&mut self) -> Result<ConsumerEvent, LogError>;

    /// Begins delivery of an assigned partition at `offset` (an offset below the oldest is an error).
    ///
    /// # Errors
    /// [`LogError::Fenced`] when the partition is not ours (any more).
    async fn start(&mut self, topic_partition: &TopicPartition, offset: u64) -> Result<(), LogError>;

    /// Commits the next offset to read for each partition, durably.
    ///
    /// # Errors
    /// [`LogError::Fenced`] when another member owns one of them.
    async fn commit(&mut self, offsets: &[(TopicPartition, u64)]) -> Result<(), LogError>;

    /// Oldest and next offset of a partition.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when the log does not answer.
    async fn bounds(&mut self, topic_partition: &TopicPartition) -> Result<std::ops::Range<u64>, LogError>;

    /// Leaves the group, so that others take over at once.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when the group could not be told; it will notice by itself.
    async fn close(self: Box<Self>) -> Result<(), LogError>;
}

/// What to subscribe to.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Consumer group.
    pub group: String,
    /// Topics; each with whether headers of its records are wanted (copying them costs).
    pub topics: Vec<(Arc<str>, Headers)>,
}

/// Whether record headers are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headers {
    /// Left out of the batch.
    Skip,
    /// Delivered.
    Keep,
}
