//! What a device hands to its MQTT connection.

use bytes::Bytes;

use crate::poison::PoisonKind;

/// One message, ready to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// MQTT topic.
    pub topic: Bytes,
    /// Payload.
    pub payload: Bytes,
    /// What is to become of it.
    pub kind: Kind,
}

/// Why a message was made, which says what must become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Good, and sent when it was measured.
    Valid,
    /// The same bytes once more: must change nothing.
    Duplicate,
    /// Good, but sent after newer ones of its device.
    Late,
    /// Good: several events that were kept back while there was no connection.
    Batch,
    /// Bad: must become a dead letter for the reason of its kind.
    Poison(PoisonKind),
}

/// The topic of a device.
#[must_use]
pub fn topic(tenant: &str, device: &str) -> Bytes {
    format!("telemetry/{tenant}/{device}").into()
}
