//! The event log: what ingest appends to and processors read from.
//!
//! One seam, three implementations that pass one contract suite: Kafka, an embedded durable log for a single node,
//! and memory for simulation. This crate moves bytes: it never looks into a key or a value.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "in a test, a panic is the report"))]

pub mod batch;
pub mod consumer;
pub mod embedded;
pub mod error;
mod group;
pub mod kafka;
pub mod limits;
pub mod log;
pub mod memory;
pub mod partitioner;
pub mod producer;
pub mod topic;

pub use batch::{RecordBatch, RecordBatchBuilder, RecordRef};
pub use consumer::{AssignedPartition, Consumer, ConsumerEvent, Headers, Revocation, Subscription};
pub use embedded::EmbeddedConfig;
pub use error::LogError;
pub use group::MemberId;
pub use kafka::KafkaConfig;
pub use log::{Log, LogConfig};
pub use memory::MemoryLog;
pub use producer::{
    Deliveries, Delivery, DeliveryFailure, Header, Message, Position, Producer, ProducerLimits, SendError, Token,
};
pub use topic::TopicSpec;

use std::{fmt, sync::Arc};

/// Number of a partition within its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionId(pub u16);

/// One partition of one topic: the unit of order, ownership and progress.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// Name of the topic.
    pub topic: Arc<str>,
    /// Partition within the topic.
    pub partition: PartitionId,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.topic, self.partition.0)
    }
}
