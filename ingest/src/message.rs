//! The arrows of the diagram: what the stages hand to each other.
//!
//! Only data: what a message means is decided by the stages.

use std::{fmt, time::Duration};

use bytes::Bytes;
use schemas::{Reason, Replay};

/// How a message was sent to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Qos {
    /// Never acknowledged.
    AtMostOnce,
    /// Acknowledged by PUBACK.
    AtLeastOnce,
    /// Acknowledged by PUBREC. We subscribe at QoS 1, so a broker that sends this breaks the standard.
    ExactlyOnce,
}

/// Counts the connections of one subscriber: packet identifiers mean something only within one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// A publish as the source hands it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Topic bytes; not checked to be UTF-8.
    pub topic: Bytes,
    /// Payload bytes.
    pub payload: Bytes,
    /// Packet identifier; 0 for QoS 0.
    pub packet_id: u16,
    /// How it was sent.
    pub qos: Qos,
    /// The broker may have sent it before.
    pub redelivered: bool,
    /// It says that it is a dead letter published again.
    pub replay: Option<Box<Replay<'static>>>,
}

/// A publish that was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// What was published. The payload is cut when no record could hold it.
    pub publish: Publish,
    /// Bytes of the payload before it was cut.
    pub payload_bytes: usize,
    /// The connection it came on.
    pub epoch: Epoch,
    /// Count of messages that this process received over all connections of the client.
    pub number: u64,
    /// The same over this one.
    pub number_on_connection: u64,
    /// Time of receipt, Unix milliseconds. Steps back only when the clock was wrong before.
    pub received_at_ms: i64,
    /// Time of receipt on the monotonic clock, to time its way.
    pub received_at: Duration,
}

impl Received {
    /// What it counts against the window.
    #[must_use]
    pub fn cost_bytes(&self) -> usize {
        self.publish.topic.len() + self.publish.payload.len() + crate::limits::MESSAGE_OVERHEAD_BYTES
    }
}

/// Subscriber to decoder. Capacity in batches: as many as the window and its overflow have messages, so that handing
/// over never waits.
#[derive(Debug)]
pub enum Intake {
    /// A connection came up; all that follows came on it.
    Connected(Connected),
    /// Messages that were read in one go: one hand-over, and one waking of the decoder, for all of them.
    Received(Vec<Received>),
    /// Nothing more will come; acknowledgements still can go out.
    Ended,
}

/// A connection that came up.
pub struct Connected {
    /// Its number.
    pub epoch: Epoch,
    /// Takes acknowledgements for this connection and no other.
    pub acks: Box<dyn AckSink>,
}

impl fmt::Debug for Connected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Connected")
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// Where acknowledgements of one connection go.
pub trait AckSink: Send {
    /// Queues an acknowledgement; never waits.
    ///
    /// # Errors
    /// See [`AckFailure`].
    fn try_ack(&self, ack: Ack) -> Result<(), AckFailure>;

    /// Queues a goodbye behind the acknowledgements; the session stays.
    ///
    /// # Errors
    /// See [`AckFailure`].
    fn try_disconnect(&self) -> Result<(), AckFailure>;
}

/// Why an acknowledgement was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckFailure {
    /// No room now.
    Full,
    /// The connection is gone; the broker will send the message again.
    Closed,
}

/// One acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The connection that the message came on.
    pub epoch: Epoch,
    /// Packet identifier.
    pub packet_id: u16,
    /// Decides the kind of packet.
    pub qos: Qos,
}

/// Decoder to forwarder. Capacity: [`crate::limits::DECODED_BATCHES_MAX`].
#[derive(Debug)]
pub enum Decoded {
    /// A connection came up.
    Connected(Connected),
    /// Messages in the order of receipt.
    Batch(DecodedBatch),
    /// Nothing more will come.
    Ended,
}

/// Messages in the order of receipt, and their records in the same order.
#[derive(Debug, Default)]
pub struct DecodedBatch {
    /// The messages.
    pub messages: Vec<DecodedMessage>,
    /// The records of all of them, one after the other.
    pub records: Vec<Record>,
}

/// A message and how many of the batch's records are its own.
#[derive(Debug)]
pub struct DecodedMessage {
    /// As received.
    pub received: Received,
    /// At least one: a message without events has a dead letter.
    pub record_count: usize,
    /// Its one record is a dead letter, for this reason.
    pub rejected: Option<Reason>,
}

/// What goes to the log, without the parts that are the same for all records of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Chooses the partition.
    pub key: Bytes,
    /// Canonical event, or the payload of a dead letter.
    pub value: Bytes,
    /// CloudEvents id: the same when the record is sent again.
    pub id: Bytes,
    /// Time of receipt, Unix milliseconds; of sending, where the log refused that.
    pub timestamp_ms: i64,
    /// Event or dead letter.
    pub kind: RecordKind,
}

/// What a record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// A canonical event.
    Event,
    /// A dead letter, with its own headers.
    DeadLetter(Vec<(&'static str, String)>),
}

impl Record {
    /// Bytes that it holds.
    #[must_use]
    pub fn byte_count(&self) -> usize {
        let headers = match &self.kind {
            RecordKind::Event => 0,
            RecordKind::DeadLetter(headers) => headers.iter().map(|(name, value)| name.len() + value.len()).sum(),
        };
        self.key.len() + self.value.len() + self.id.len() + headers
    }

    /// True for a dead letter.
    #[must_use]
    pub fn is_dead_letter(&self) -> bool {
        match self.kind {
            RecordKind::Event => false,
            RecordKind::DeadLetter(_) => true,
        }
    }
}
