//! Appending to the log: send without waiting, learn of durability from delivery reports.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::{LogError, PartitionId};

/// The caller's name for a message in flight; comes back in its [`Delivery`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// One header of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Name; the set of names is small and known at compile time.
    pub name: &'static str,
    /// Value, any bytes.
    pub value: Bytes,
}

/// One message to append.
#[derive(Clone, Debug)]
pub struct Message {
    /// Topic to append to; it must exist.
    pub topic: Arc<str>,
    /// Chooses the partition (murmur2, as Java clients do) and keeps order among equals.
    pub key: Bytes,
    /// Payload.
    pub value: Bytes,
    /// Headers, in order.
    pub headers: Vec<Header>,
    /// Record timestamp in Unix milliseconds (create time).
    pub timestamp_ms: i64,
    /// Returned in the delivery report.
    pub token: Token,
}

impl Message {
    /// Bytes of key, value and headers.
    #[must_use]
    pub fn byte_count(&self) -> usize {
        let headers = self.headers.iter();
        let header_bytes: usize = headers.map(|header| header.name.len() + header.value.len()).sum();
        self.key.len() + self.value.len() + header_bytes
    }
}

/// How much a producer may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerLimits {
    /// Messages accepted and without a delivery report that was read.
    pub queue_messages_max: usize,
    /// Bytes of keys, values and headers of messages that are not durable yet.
    pub queue_bytes_max: usize,
}

impl Default for ProducerLimits {
    /// 100,000 messages or 64 MiB: half a second at 200,000 messages a second, which outlives a leader election of a
    /// healthy cluster, and memory that a small machine has.
    fn default() -> Self {
        Self {
            queue_messages_max: 100_000,
            queue_bytes_max: 64 << 20,
        }
    }
}

/// Where a message came to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Partition.
    pub partition: PartitionId,
    /// Offset within the partition.
    pub offset: u64,
}

/// The fate of one message. Every accepted message gets exactly one.
#[derive(Debug)]
pub struct Delivery {
    /// As given in the message.
    pub token: Token,
    /// Where it lies durably, or why it may not.
    ///
    /// After an outage of Kafka a message may lie there twice, the report naming either place: seen with a broker that
    /// was killed while it stored batches, in spite of the idempotent producer. Whoever reads the log tells repeated
    /// records by what they say.
    pub result: Result<Position, DeliveryFailure>,
}

/// Delivery reports of one producer, in batches, as they come.
pub type Deliveries = mpsc::Receiver<Vec<Delivery>>;

/// Why a message is not known to be durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryFailure {
    /// It may or may not have been stored: send it again (a duplicate is removed downstream by its identity).
    #[error("not confirmed in time: {0}")]
    Ambiguous(String),
    /// The log refuses the time of this message, which is too far ahead of its own clock, and has not stored it: with another
    /// time, or later, it may be taken.
    #[error("its time is refused: {0}")]
    Misdated(String),
    /// The log refuses this message for good (too large, for instance): sending it again cannot help.
    #[error("refused: {0}")]
    Refused(String),
    /// The producer is broken for good: nothing more will be delivered; end the process.
    #[error("producer failed for good: {0}")]
    Fatal(String),
}

/// Why a message was not accepted for sending.
#[derive(Debug)]
pub enum SendError {
    /// The local queue is full: keep the message, which is returned, and try after the next delivery.
    Full(Message),
    /// The producer is broken for good.
    Fatal(LogError),
}

/// Appends messages. Order of messages with one key is the order of `send`.
///
/// Delivery reports arrive, in batches, on the channel that was created with the producer.
#[async_trait::async_trait]
pub trait Producer: Send + Sync {
    /// Queues a message; never blocks.
    ///
    /// # Errors
    /// [`SendError::Full`] gives the message back.
    fn send(&self, message: Message) -> Result<(), SendError>;

    /// Waits until everything sent has its delivery report, at most `deadline`.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when messages are still in flight at the deadline.
    async fn flush(&self, deadline: Duration) -> Result<(), LogError>;
}
