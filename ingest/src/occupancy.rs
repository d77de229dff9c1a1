//! How much is on its way, shared between the stages of one connection: the subscriber and the decoder slow down by
//! it. Counters only rise, and each has one writer.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::Notify;

/// What was taken in and what has left.
#[derive(Debug)]
pub(crate) struct Occupancy {
    record_bytes_max: u64,
    messages_taken: AtomicU64,
    bytes_taken: AtomicU64,
    record_bytes_taken: AtomicU64,
    messages_released: AtomicU64,
    bytes_released: AtomicU64,
    record_bytes_released: AtomicU64,
    subscriber: Notify,
    decoder: Notify,
}

impl Occupancy {
    pub(crate) fn new(record_bytes_max: usize) -> Self {
        Self {
            record_bytes_max: record_bytes_max as u64,
            messages_taken: AtomicU64::new(0),
            bytes_taken: AtomicU64::new(0),
            record_bytes_taken: AtomicU64::new(0),
            messages_released: AtomicU64::new(0),
            bytes_released: AtomicU64::new(0),
            record_bytes_released: AtomicU64::new(0),
            subscriber: Notify::new(),
            decoder: Notify::new(),
        }
    }

    /// Subscriber: a message was received.
    pub(crate) fn taken(&self, bytes: usize) {
        self.messages_taken.fetch_add(1, Relaxed);
        self.bytes_taken.fetch_add(bytes as u64, Relaxed);
    }

    /// Subscriber: messages and bytes on their way.
    pub(crate) fn on_the_way(&self) -> (u64, u64) {
        let messages = difference(&self.messages_taken, &self.messages_released);
        let bytes = difference(&self.bytes_taken, &self.bytes_released);
        (messages, bytes)
    }

    /// Subscriber: waits for the next release.
    pub(crate) async fn released_some(&self) {
        self.subscriber.notified().await;
    }

    /// Decoder: records were made.
    pub(crate) fn records_taken(&self, bytes: usize) {
        self.record_bytes_taken.fetch_add(bytes as u64, Relaxed);
    }

    /// Decoder: waits until there is room for more records. One message is always let through.
    pub(crate) async fn record_room(&self) {
        while difference(&self.record_bytes_taken, &self.record_bytes_released) >= self.record_bytes_max {
            self.decoder.notified().await;
        }
    }

    /// Forwarder: totals of what has left.
    pub(crate) fn publish(&self, messages: u64, bytes: u64, record_bytes: u64) {
        self.messages_released.store(messages, Relaxed);
        self.bytes_released.store(bytes, Relaxed);
        self.record_bytes_released.store(record_bytes, Relaxed);
        // A permit is kept for whoever is about to wait, so no release is missed.
        self.subscriber.notify_one();
        self.decoder.notify_one();
    }
}

fn difference(taken: &AtomicU64, released: &AtomicU64) -> u64 {
    // Released first: what is taken afterwards only makes the result larger.
    let released = released.load(Relaxed);
    taken.load(Relaxed).saturating_sub(released)
}
