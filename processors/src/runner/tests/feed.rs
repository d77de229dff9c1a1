//! What devices publish in these tests: mostly good events, and some of everything that is not.

use eventlog::{Delivery, Header, MemoryLog, Message, Producer, ProducerLimits, Token, memory::MemoryProducer};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemas::{
    DeadLetter, Event, Metric, Motion, Position, Reason, Stage,
    record::{self, DEAD_LETTERS_TOPIC, EVENTS_TOPIC},
};
use tokio::sync::mpsc;

/// Where the clock of the records begins.
pub(super) const START_MS: i64 = 1_732_212_345_000;

/// Appends to the log; the same seed, the same records.
pub(super) struct Feed {
    producer: MemoryProducer,
    reports: mpsc::Receiver<Vec<Delivery>>,
    random: ChaCha8Rng,
    now_ms: i64,
    count: u64,
    /// Metrics of each event.
    pub(super) metric_count: usize,
}

impl Feed {
    pub(super) fn new(log: &MemoryLog, seed: u64) -> Self {
        let (producer, reports) = log.producer(ProducerLimits::default());
        Self {
            producer,
            reports,
            random: ChaCha8Rng::seed_from_u64(seed),
            now_ms: START_MS,
            count: 0,
            metric_count: 1,
        }
    }

    pub(super) fn append(&mut self, count: usize) {
        for _ in 0..count {
            self.append_one();
        }
        while self.reports.try_recv().is_ok() {}
    }

    fn append_one(&mut self) {
        self.now_ms += self.random.random_range(0..400);
        self.count += 1;
        let device = format!("device-{}", self.random.random_range(0..12));
        let late_ms = if self.random.random_bool(0.1) {
            self.random.random_range(0..200_000)
        } else {
            0
        };
        let event = Event {
            tenant: "acme".into(),
            device: device.as_str().into(),
            ts_ms: self.now_ms - late_ms,
            device_ts_ms: None,
            ts_submilli_ns: 0,
            seq: Some(self.count),
            position: Position::from_degrees(self.random.random_range(-1.0..1.0), 13.0),
            motion: Motion::default(),
            metrics: (0..self.metric_count)
                .map(|index| Metric {
                    name: format!("metric_{index}").into(),
                    value: self.random.random_range(-20.0..40.0),
                })
                .collect(),
            attributes: Vec::new(),
            received_at_ms: self.now_ms,
            broker: "edge-1".into(),
            ts_assigned: false,
            delivery: None,
            replay_of: None,
        };
        let mut value = Vec::new();
        record::encode(&event, &mut value);
        let key = record::key("acme", &device);
        match self.random.random_range(0..20) {
            0 => self.send(EVENTS_TOPIC, &key, b"no event".to_vec(), Vec::new()),
            1 => self.append_dead_letter(),
            2 => {
                self.send(EVENTS_TOPIC, &key, value.clone(), Vec::new());
                self.send(EVENTS_TOPIC, &key, value, Vec::new());
            }
            _ => self.send(EVENTS_TOPIC, &key, value, Vec::new()),
        }
    }

    fn append_dead_letter(&mut self) {
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
