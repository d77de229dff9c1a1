//! What is published, and how: a fleet's messages, all made before the clock starts.

use std::{
    fmt::Write,
    time::{Duration, SystemTime},
};

use loadtest::{
    Kind, Message,
    message::topic,
    publisher::{Fate, Outgoing, Publisher, PublisherOptions},
};
use platform::shutdown::Shutdown;
use tokio::time::Instant;

pub(crate) const CONNECTIONS: usize = 8;
pub(crate) const METRICS: usize = 2;
pub(crate) const DEVICES_MAX: usize = 20_000;
/// A device reports every second, and the newest report is of now.
const INTERVAL_MS: usize = 1_000;
const ACKNOWLEDGED_MAX: Duration = Duration::from_secs(60);

/// Messages, ready to be sent.
pub(crate) struct Load {
    pub(crate) messages: Vec<Message>,
    pub(crate) events: usize,
    /// Events in a message.
    pub(crate) batch: usize,
    pub(crate) devices: usize,
}

/// How publishing went.
pub(crate) struct Published {
    pub(crate) first: Instant,
    /// From the first publish to the last acknowledgement.
    pub(crate) took: Duration,
    /// From handing over to the acknowledgement, half of all and 99 of 100, in milliseconds.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Load {
    /// `events` in messages of `batch`; whole rounds of all devices.
    pub(crate) fn new(events: usize, batch: usize) -> Self {
        let devices = DEVICES_MAX.min(events / batch).max(1);
        let rounds = events / (devices * batch);
        let reports = rounds * batch;
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        let mut fleet: Vec<Device> = (0..devices).map(|index| Device::new(index, &mut random)).collect();
        let now_ms = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as usize;
        let first_ms = now_ms - reports * INTERVAL_MS;
        let mut messages = Vec::with_capacity(devices * rounds);
        for round in 0..rounds {
            for device in &mut fleet {
                let mut payload = String::with_capacity(batch * 220);
                for index in 0..batch {
                    let seq = round * batch + index;
                    payload.push(if index == 0 { '[' } else { ',' });
                    device.report(seq, first_ms + seq * INTERVAL_MS, &mut random, &mut payload);
                }
                payload.push(']');
                let payload = if batch == 1 {
                    &payload[1..payload.len() - 1]
                } else {
                    &payload
                };
                messages.push(Message {
                    topic: device.topic.clone(),
                    payload: payload.to_owned().into(),
                    kind: Kind::Valid,
                });
            }
        }
        Self {
            events: messages.len() * batch,
            messages,
            batch,
            devices,
        }
    }

    /// Rows of `measurements` that it becomes.
    pub(crate) fn rows(&self) -> u64 {
        (self.events * METRICS) as u64
    }

    pub(crate) fn bytes_per_event(&self) -> usize {
        self.messages.iter().map(|message| message.payload.len()).sum::<usize>() / self.events
    }

    /// Publishes everything as fast as it is acknowledged.
    pub(crate) async fn publish(&self, url: &str) -> Published {
        let (_keep, shutdown) = Shutdown::new();
        let options = PublisherOptions {
            connections: CONNECTIONS,
            ..PublisherOptions::new(url, "load")
        };
        let publisher = Publisher::connect(&options, &shutdown).await.unwrap();
        let first = Instant::now();
        for (number, message) in (0..).zip(&self.messages) {
            let outgoing = Outgoing {
                number,
                message: message.clone(),
                intended: Instant::now(),
            };
            publisher.publish(outgoing, &shutdown).await.unwrap();
        }
        let ledger = publisher.finish(ACKNOWLEDGED_MAX).await;
        let took = first.elapsed();
        assert_eq!(
            ledger.count(Fate::Acknowledged),
            self.messages.len() as u64,
            "every message is acknowledged: {:?}",
            ledger.counts
        );
        let latencies = ledger.latencies_ms(&[0.5, 0.99]);
        Published {
            first,
            took,
            p50_ms: latencies[0],
            p99_ms: latencies[1],
        }
    }
}

struct Device {
    topic: bytes::Bytes,
    place: (f64, f64),
    is_moving: bool,
}

impl Device {
    fn new(index: usize, random: &mut Random) -> Self {
        Self {
            topic: topic("acme", &format!("device-{index:05}")),
            place: (52.3 + random.next() * 0.4, 13.1 + random.next() * 0.6),
            is_moving: index % 10 < 6,
        }
    }

    fn report(&mut self, seq: usize, ts_ms: usize, random: &mut Random, out: &mut String) {
        if self.is_moving {
            self.place.0 += (random.next() - 0.5) * 0.002;
            self.place.1 += (random.next() - 0.5) * 0.003;
        }
        let (latitude, longitude) = self.place;
        let (speed, temperature, battery) = (random.next() * 14.0, random.next() * 40.0, random.next() * 100.0);
        write!(
            out,
            r#"{{"ts":{ts_ms},"seq":{seq},"lat":{latitude:.6},"lon":{longitude:.6},"alt":34.5,"speed_mps":{speed:.1},"heading_deg":271,"accuracy_m":5.0,"metrics":{{"temperature":{temperature:.1},"battery":{battery:.0}}},"firmware":"1.4.2"}}"#
        )
        .unwrap();
    }
}

/// The same numbers on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}
