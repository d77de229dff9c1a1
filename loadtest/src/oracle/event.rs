//! An event as it was published, and when two are the same.

use schemas::Position;

use crate::publisher::Fate;

/// What follows from the fate of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// It must not be counted.
    Never,
    /// It may be counted once, or not at all.
    May,
    /// It must be counted once.
    Must,
}

impl From<Fate> for Promise {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::Acknowledged => Self::Must,
            // An unrouted message went to nobody that we know; a refused one was refused, whatever else the broker did.
            Fate::Unrouted | Fate::Unknown => Self::May,
            Fate::Refused | Fate::Unsent => Self::Never,
        }
    }
}

/// One publication of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct SentEvent {
    /// Number of the device.
    pub device: u32,
    /// Event time, Unix milliseconds.
    pub ts_ms: i64,
    /// The device's own count.
    pub seq: Option<u64>,
    /// Where it was, if it said so.
    pub position: Option<Position>,
    /// Metrics by number of their names.
    pub metrics: Vec<(u32, f64)>,
    /// The published bytes: events without a count are the same when these and their time are.
    pub payload: bytes::Bytes,
    /// What follows from what became of this publication.
    pub promise: Promise,
}

/// What makes two publications one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Identity<'a> {
    /// By the device's own count.
    Count(u32, u64),
    /// By time and content.
    Content(u32, i64, &'a [u8]),
}

impl SentEvent {
    /// The identity within the tenant.
    #[must_use]
    pub fn identity(&self) -> Identity<'_> {
        match self.seq {
            Some(seq) => Identity::Count(self.device, seq),
            None => Identity::Content(self.device, self.ts_ms, &self.payload),
        }
    }
}
