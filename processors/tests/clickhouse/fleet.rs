//! Devices of all kinds: with and without counts and times, late, started again, repeating themselves, and refused.

use eventlog::{Deliveries, Header, MemoryLog, Message, Producer, ProducerLimits, Token, memory::MemoryProducer};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemas::{
    DeadLetter, Event, Metric, Motion, Position, Reason, Stage,
    record::{self, DEAD_LETTERS_TOPIC, EVENTS_TOPIC},
};

const START_MS: i64 = 1_732_212_345_000;
const DEVICES: u64 = 12;
/// Without a time, a repetition from further back is taken for a restart where nothing but the count is known.
const UNTIMED_BACK_MAX: usize = 20;

/// What a device sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Count, time and place; late at times.
    Usual,
    /// A place only now and then.
    Walker,
    /// Begins to count again.
    Restarting,
    /// Count and no time.
    Untimed,
    /// Time and no count.
    Uncounted,
}

struct Device {
    kind: Kind,
    seq: u64,
    /// All that it sent, and that is known when it comes again.
    sent: Vec<(String, Vec<u8>)>,
}

/// Publishes to the log; the same seed, the same records.
pub(crate) struct Fleet {
    producer: MemoryProducer,
    reports: Deliveries,
    random: ChaCha8Rng,
    now_ms: i64,
    count: u64,
    devices: Vec<Device>,
    /// Devices repeat also what is known by a fingerprint only.
    pub(crate) repeats_uncounted: bool,
}

impl Fleet {
    pub(crate) fn new(log: &MemoryLog, seed: u64) -> Self {
        let (producer, reports) = log.producer(ProducerLimits::default());
        let kinds = [
            Kind::Usual,
            Kind::Walker,
            Kind::Restarting,
            Kind::Untimed,
            Kind::Uncounted,
            Kind::Usual,
        ];
        let device = |index: u64| Device {
            kind: kinds[index as usize % kinds.len()],
            seq: index % 2,
            sent: Vec::new(),
        };
        Self {
            producer,
            reports,
            random: ChaCha8Rng::seed_from_u64(seed),
            now_ms: START_MS,
            count: 0,
            devices: (0..DEVICES).map(device).collect(),
            repeats_uncounted: false,
        }
    }

    /// Nobody repeats what was sent until now without a count.
    pub(crate) fn forget_all_uncounted(&mut self) {
        for device in &mut self.devices {
            if device.kind == Kind::Uncounted {
                device.sent.clear();
            }
        }
    }

    pub(crate) fn publish(&mut self, count: usize) {
        for _ in 0..count {
            self.publish_one();
        }
        while self.reports.try_recv().is_ok() {}
    }

    fn publish_one(&mut self) {
        self.now_ms += self.random.random_range(0..40);
        self.count += 1;
        let index = self.random.random_range(0..self.devices.len());
        match self.random.random_range(0..16) {
            0 => {
                let key = record::key("acme", &format!("device-{index}"));
                self.send(EVENTS_TOPIC, &key, b"no event".to_vec(), Vec::new());
            }
            1 => self.letter(),
            2..=4 => self.repeat(index),
            _ => self.event(index),
        }
    }

    fn repeat(&mut self, index: usize) {
        let device = &self.devices[index];
        let back = match device.kind {
            Kind::Uncounted if !self.repeats_uncounted => 0,
            Kind::Untimed => device.sent.len().min(UNTIMED_BACK_MAX),
            _ => device.sent.len(),
        };
        if back > 0 {
            let at = device.sent.len() - 1 - self.random.random_range(0..back);
            let (key, value) = device.sent[at].clone();
            self.send(EVENTS_TOPIC, &key, value, Vec::new());
        }
    }

    fn event(&mut self, index: usize) {
        let late_ms = match self.random.random_range(0..8) {
            0 => self.random.random_range(0..40_000),
            1 => self.random.random_range(0..7_200_000),
            _ => 0,
        };
        let longitude = 13.0 + f64::from(self.random.random_range(0..8)) / 4.0;
        let latitude = f64::from(self.random.random_range(-4..4)) / 4.0;
        let device = &mut self.devices[index];
        device.seq += 1;
        if device.kind == Kind::Restarting && device.seq == 70 {
            device.seq = 0;
        }
        let late_ms = if device.kind == Kind::Usual { late_ms } else { 0 };
        let has_place = device.kind != Kind::Walker || device.seq.is_multiple_of(3);
        let name = format!("device-{index}");
        let event = Event {
            tenant: "acme".into(),
            device: name.as_str().into(),
            ts_ms: self.now_ms - late_ms - i64::from(device.kind != Kind::Untimed),
            device_ts_ms: None,
            ts_submilli_ns: 0,
            seq: (device.kind != Kind::Uncounted).then_some(device.seq),
            position: has_place.then(|| Position::from_degrees(latitude, longitude)).flatten(),
            motion: Motion::default(),
            metrics: vec![Metric {
                name: format!("metric_{}", self.count % 2).into(),
                value: (self.count % 1_000) as f64,
            }],
            attributes: Vec::new(),
            received_at_ms: self.now_ms,
            broker: "edge-1".into(),
            ts_assigned: device.kind == Kind::Untimed,
            delivery: None,
            replay_of: None,
        };
        let mut value = Vec::new();
        record::encode(&event, &mut value);
        let key = record::key("acme", &name);
        device.sent.push((key.clone(), value.clone()));
        self.send(EVENTS_TOPIC, &key, value, Vec::new());
    }

    fn letter(&mut self) {
        let id = format!("letter-{}", self.count);
        let letter = DeadLetter {
            id: id.as_str().into(),
            reason: Reason::InvalidTopic,
            detail: "made by a test".into(),
            stage: Stage::Ingest,
            topic: "telemetry/acme".into(),
            broker: "edge-1".into(),
            received_at_ms: self.now_ms,
            packet_id: 0,
            redelivered: false,
            replay: None,
            payload: b"refused".into(),
        };
        let headers = letter.headers().into_iter().map(|(name, value)| Header {
            name,
            value: value.into(),
        });
        self.send(DEAD_LETTERS_TOPIC, "", letter.payload.to_vec(), headers.collect());
    }

    fn send(&mut self, topic: &str, key: &str, value: Vec<u8>, headers: Vec<Header>) {
        let message = Message {
            topic: topic.into(),
            key: key.to_owned().into(),
            value: value.into(),
            headers,
            timestamp_ms: self.now_ms,
            token: Token(self.count),
        };
        assert!(self.producer.send(message).is_ok(), "the queue has room");
    }
}
