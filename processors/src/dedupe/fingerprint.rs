//! What an event says, as 64 bits. The hash is xxh3 over an unambiguous encoding: checkpoints hold its values, so it
//! must never change.

use schemas::{DeliveryMark, Event};
use xxhash_rust::xxh3::xxh3_64;

/// Hashes events; keeps its buffer between them.
#[derive(Clone, Debug, Default)]
pub struct Fingerprinter {
    buffer: Vec<u8>,
}

/// The two names of an event that carries neither `seq` nor `ts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryFingerprints {
    /// This very record: seen again only when the log got it twice.
    pub record: u64,
    /// This delivery, whenever it was received: meaningful when the broker says that it delivers again.
    pub delivery: u64,
}

impl Fingerprinter {
    /// Identity of an event with a claimed time: device, time and content.
    pub fn claimed(&mut self, key: &[u8], claimed_ts_ms: i64, event: &Event<'_>) -> u64 {
        self.content(key, event);
        self.buffer.extend_from_slice(&claimed_ts_ms.to_le_bytes());
        xxh3_64(&self.buffer)
    }

    /// Identities of an event that is named by its delivery.
    pub fn delivered(&mut self, key: &[u8], mark: DeliveryMark, event: &Event<'_>) -> DeliveryFingerprints {
        self.content(key, event);
        self.text(event.broker.as_bytes());
        self.buffer.extend_from_slice(&mark.packet_id.to_le_bytes());
        self.buffer.extend_from_slice(&mark.index.to_le_bytes());
        let delivery = xxh3_64(&self.buffer);
        self.buffer.extend_from_slice(&mark.number.to_le_bytes());
        self.buffer.extend_from_slice(&event.received_at_ms.to_le_bytes());
        DeliveryFingerprints {
            record: xxh3_64(&self.buffer),
            delivery,
        }
    }

    fn content(&mut self, key: &[u8], event: &Event<'_>) {
        self.buffer.clear();
        self.text(key);
        let position = event
            .position
            .map_or((i32::MIN, i32::MIN), |at| (at.latitude_e7(), at.longitude_e7()));
        self.buffer.extend_from_slice(&position.0.to_le_bytes());
        self.buffer.extend_from_slice(&position.1.to_le_bytes());
        let motion = event.motion;
        for number in [
            motion.altitude_m,
            motion.speed_mps,
            motion.heading_deg,
            motion.accuracy_m,
        ] {
            self.buffer
                .extend_from_slice(&number.unwrap_or(f64::NAN).to_bits().to_le_bytes());
        }
        for metric in &event.metrics {
            self.text(metric.name.as_bytes());
            self.buffer.extend_from_slice(&metric.value.to_bits().to_le_bytes());
        }
        self.buffer.extend_from_slice(&u32::MAX.to_le_bytes());
        for (name, value) in &event.attributes {
            self.text(name.as_bytes());
            self.text(value.as_bytes());
        }
    }

    /// A text with its length before it, so that no two lists of texts look alike.
    fn text(&mut self, text: &[u8]) {
        let length = u32::try_from(text.len()).expect("texts are below the payload limit");
        self.buffer.extend_from_slice(&length.to_le_bytes());
        self.buffer.extend_from_slice(text);
    }
}
