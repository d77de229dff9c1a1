//! A message while it waits: topic, properties and payload in one piece of memory, shared by all who get it.

use std::sync::Arc;

use super::{codec::Qos, journal::record::MessageRecord};

/// A message on its way. Must hold nothing of the packet it came in: its size is what bounds count.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Place in the log; meaningless for messages that only went out with QoS 0.
    pub(super) offset: u64,
    /// Time after which it is not delivered any more; 0: never.
    pub(super) expires_unix_ms: u64,
    topic_bytes: usize,
    properties_bytes: usize,
    body: Box<[u8]>,
}

impl Message {
    pub(super) fn new(offset: u64, expires_unix_ms: u64, topic: &[u8], properties: &[u8], payload: &[u8]) -> Self {
        Self {
            offset,
            expires_unix_ms,
            topic_bytes: topic.len(),
            properties_bytes: properties.len(),
            body: [topic, properties, payload].concat().into(),
        }
    }

    pub(super) fn from_record(record: &MessageRecord<'_>) -> Self {
        let MessageRecord {
            topic,
            properties,
            payload,
            ..
        } = record;
        Self::new(record.offset, record.expires_unix_ms, topic, properties, payload)
    }

    pub(super) fn topic(&self) -> &[u8] {
        &self.body[..self.topic_bytes]
    }

    pub(super) fn properties(&self) -> &[u8] {
        &self.body[self.topic_bytes..][..self.properties_bytes]
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.body[self.topic_bytes + self.properties_bytes..]
    }

    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.body.len() + size_of::<Self>() + 16
    }

    /// Seconds that are left of its life; `None` where it lives for ever, 0 when it is over.
    pub(super) fn expiry_s(&self, unix_ms: u64) -> Option<u32> {
        let left_ms = match self.expires_unix_ms {
            0 => return None,
            expires => expires.saturating_sub(unix_ms),
        };
        Some(u32::try_from(left_ms.div_ceil(1000)).unwrap_or(u32::MAX))
    }
}

/// A message for one session.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) message: Arc<Message>,
    pub(super) qos: Qos,
    pub(super) retain: bool,
}

impl Delivery {
    /// QoS and retain flag as they are written to the log.
    pub(super) fn flags(qos: Qos, retain: bool) -> u8 {
        qos as u8 | u8::from(retain) << 2
    }

    /// The other way round.
    pub(super) fn from_flags(message: Arc<Message>, flags: u8) -> Self {
        Self {
            message,
            // Only records with a good checksum come here, and those were written from a QoS.
            qos: Qos::from_bits(flags & 3).unwrap_or(Qos::AtLeastOnce),
            retain: flags & 4 != 0,
        }
    }
}
