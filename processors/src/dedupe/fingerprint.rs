//! What an event says, as 64 bits. The hash is xxh3 over an unambiguous encoding: checkpoints hold its values, so it
//! must never change.

use schemas::{DeliveryMark, Event};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

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
    /// This delivery, whenever it was received: says something only when the broker says that it delivers again, and
    /// only for as long as packet identifiers are not used again (see [`super::delivery`]).
    pub delivery: u64,
}

impl Fingerprinter {
    /// Identity of an event with a claimed time: device, time as finely as it was written, and content.
    pub fn claimed(&mut self, key: &[u8], claimed_ts_ms: i64, event: &Event<'_>) -> u64 {
        self.content(key, event);
        self.buffer.extend_from_slice(&claimed_ts_ms.to_le_bytes());
        self.buffer.extend_from_slice(&event.ts_submilli_ns.to_le_bytes());
        xxh3_64(&self.buffer)
    }

    /// Name of an event with a count and no claimed time: device, count and content.
    pub fn counted(&mut self, key: &[u8], seq: u64, event: &Event<'_>) -> u64 {
        self.content(key, event);
        self.buffer.extend_from_slice(&seq.to_le_bytes());
        xxh3_64(&self.buffer)
    }

    /// Identity of an event with a count and a time that was not believed: device, count, time and content.
    pub fn disputed(&mut self, key: &[u8], seq: u64, claimed_ts_ms: i64, event: &Event<'_>) -> u64 {
        self.content(key, event);
        self.buffer.extend_from_slice(&claimed_ts_ms.to_le_bytes());
        self.buffer.extend_from_slice(&event.ts_submilli_ns.to_le_bytes());
        self.buffer.extend_from_slice(&seq.to_le_bytes());
        xxh3_64(&self.buffer)
    }

    /// Identities of an event that is named by its delivery.
    pub fn delivered(&mut self, key: &[u8], mark: DeliveryMark, event: &Event<'_>) -> DeliveryFingerprints {
        self.content(key, event);
        self.text(event.broker.as_bytes());
        self.buffer.extend_from_slice(&mark.packet_id.to_le_bytes());
        self.buffer.extend_from_slice(&mark.index.to_le_bytes());
        let delivery = xxh3_64(&self.buffer);
        self.buffer.extend_from_slice(&mark.run.to_le_bytes());
        self.buffer.extend_from_slice(&mark.number.to_le_bytes());
        self.buffer.extend_from_slice(&event.received_at_ms.to_le_bytes());
        DeliveryFingerprints {
            record: xxh3_64(&self.buffer),
            delivery,
        }
    }

    /// Identity of an event of a dead letter that was published again: the letter, the place in it, and all that the
    /// event says. A device that forges the name of a letter can only hide events of its own.
    pub fn replayed(&mut self, key: &[u8], letter: &str, event: &Event<'_>) -> u64 {
        self.content(key, event);
        self.text(letter.as_bytes());
        let claimed = event.claimed_ts_ms();
        for number in [
            u64::from(event.seq.is_some()),
            event.seq.unwrap_or(0),
            u64::from(claimed.is_some()),
            claimed.unwrap_or(0) as u64,
            u64::from(event.ts_submilli_ns),
            event.delivery.map_or(0, |mark| u64::from(mark.index)),
        ] {
            self.buffer.extend_from_slice(&number.to_le_bytes());
        }
        xxh3_64(&self.buffer)
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
        // A sum, since the order of metrics means nothing.
        let metrics = event.metrics.iter().map(|metric| {
            let seed = xxh3_64(&metric.value.to_bits().to_le_bytes());
            xxh3_64_with_seed(metric.name.as_bytes(), seed)
        });
        let metrics = metrics.fold(0u64, u64::wrapping_add);
        self.buffer.extend_from_slice(&metrics.to_le_bytes());
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
