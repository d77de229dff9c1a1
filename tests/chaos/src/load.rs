//! What devices publish while things fail, and a ledger of what became of each message: the truth that the checker
//! counts from.
//!
//! Devices count or only tell the time; have positions or none; send late, in batches, twice, and now and then something
//! that cannot be read. What a seed makes is the same in every run, but for the time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use bytes::Bytes;
use loadtest::{
    Kind, Message,
    message::topic,
    poison::PoisonKind,
    publisher::{Ledger, Outgoing, Publisher, PublisherOptions},
};
use platform::{
    clock::{Clock, SystemClock},
    shutdown::Shutdown,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::limits::LAST_ACKNOWLEDGEMENTS_MAX;

/// Devices of each tenant: many for each partition.
const DEVICES: u32 = 30;
/// Owners of devices in a round.
pub const TENANTS: usize = 2;
/// Connections that devices share, as behind gateways.
const CONNECTIONS: usize = 4;
/// Share of messages that nobody can read.
const POISON_SHARE: f64 = 0.02;
/// Share of messages that were measured long ago.
const LATE_SHARE: f64 = 0.08;
/// How long ago: over several buckets of every period.
const LATE_MS_MAX: i64 = 26 * 3_600_000;
/// Share of messages with several events.
const BATCH_SHARE: f64 = 0.04;
/// Share of messages that are published a second time on purpose.
const DUPLICATE_SHARE: f64 = 0.03;

/// One event as a device measured it.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Number of the device in its tenant.
    pub device: u32,
    /// Event time, Unix milliseconds.
    pub ts_ms: i64,
    /// Its count, if it counts.
    pub seq: Option<u64>,
    /// Latitude and longitude, if it knows.
    pub place: Option<(f64, f64)>,
    /// What it measured.
    pub metrics: [(&'static str, f64); 2],
    /// The event as it stands in the message.
    pub text: Bytes,
}

/// One message that was published.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Number of its tenant.
    pub tenant: usize,
    /// What was published.
    pub message: Message,
    /// The events in it; none in a bad one.
    pub readings: Vec<Reading>,
    /// When it was handed to the publisher.
    pub at: Instant,
}

/// Everything that was published in a round, and what became of it. Numbers of the ledger are places in `sent`.
pub struct Published {
    /// Names of the tenants.
    pub tenants: Vec<String>,
    /// All messages, in order.
    pub sent: Vec<Sent>,
    /// Their fates.
    pub ledger: Ledger,
    /// When the last fate was known.
    pub finished: Instant,
}

/// Makes messages.
#[derive(Debug)]
struct Maker {
    tenants: Vec<String>,
    random: ChaCha8Rng,
    counts: Vec<u64>,
    /// The newest messages, to publish one of them again.
    recent: Vec<(usize, Message, Vec<Reading>)>,
    made: u64,
}

/// The name of a device.
#[must_use]
pub fn device_name(device: u32) -> String {
    format!("device-{device}")
}

impl Maker {
    fn new(tenants: Vec<String>, seed: u64) -> Self {
        Self {
            counts: vec![0; tenants.len() * DEVICES as usize],
            tenants,
            random: ChaCha8Rng::seed_from_u64(seed),
            recent: Vec::new(),
            made: 0,
        }
    }

    fn next(&mut self, now_ms: i64) -> (usize, Message, Vec<Reading>) {
        self.made += 1;
        let share: f64 = self.random.random();
        if share < DUPLICATE_SHARE && !self.recent.is_empty() {
            let index = self.random.random_range(0..self.recent.len());
            let (tenant, message, readings) = self.recent[index].clone();
            let kind = Kind::Duplicate;
            return (tenant, Message { kind, ..message }, readings);
        }
        let tenant = self.random.random_range(0..self.tenants.len());
        let device = self.random.random_range(0..DEVICES);
        if share < DUPLICATE_SHARE + POISON_SHARE {
            let kind = PoisonKind::ALL[self.random.random_range(0..PoisonKind::ALL.len())];
            let mark = now_ms.unsigned_abs() * 1_000 + self.made % 1_000;
            let message = kind.message(&self.tenants[tenant], &device_name(device), mark);
            return (tenant, message, Vec::new());
        }
        let is_batch = self.random.random::<f64>() < BATCH_SHARE;
        let readings: Vec<Reading> = (0..if is_batch { 4 } else { 1 })
            .map(|_| self.measure(tenant, device, now_ms))
            .collect();
        let (payload, kind) = if is_batch {
            let texts: Vec<&str> = readings
                .iter()
                .map(|reading| std::str::from_utf8(&reading.text).expect("made of text"))
                .collect();
            (Bytes::from(format!("[{}]", texts.join(","))), Kind::Batch)
        } else {
            (readings[0].text.clone(), Kind::Valid)
        };
        let message = Message {
            topic: topic(&self.tenants[tenant], &device_name(device)),
            payload,
            kind,
        };
        if self.recent.len() == 50 {
            self.recent.remove(0);
        }
        self.recent.push((tenant, message.clone(), readings.clone()));
        (tenant, message, readings)
    }

    fn measure(&mut self, tenant: usize, device: u32, now_ms: i64) -> Reading {
        let is_late = self.random.random::<f64>() < LATE_SHARE;
        let ago_ms = if is_late {
            self.random.random_range(60_000..LATE_MS_MAX)
        } else {
            0
        };
        let ts_ms = now_ms - ago_ms;
        let count = &mut self.counts[tenant * DEVICES as usize + device as usize];
        *count += 1;
        // Two of three count; one of three does not know where it is.
        let seq = (device % 3 != 1).then_some(*count);
        let rounded = |value: f64, digits: f64| (value * digits).round() / digits;
        let place = (device % 3 != 2).then(|| {
            let city = f64::from(device % 4);
            let mut near = |degrees: f64| rounded(degrees + self.random.random_range(-0.02..0.02), 1e5);
            (near(40.0 + city), near(-3.0 + 5.0 * city))
        });
        let metrics = [
            ("temperature", rounded(self.random.random_range(-40.0..60.0), 1e3)),
            ("load", rounded(self.random.random_range(0.0..1e6), 1e1)),
        ];
        let mut text = format!(r#"{{"ts":{ts_ms}"#);
        if let Some(seq) = seq {
            text.push_str(&format!(r#","seq":{seq}"#));
        }
        if let Some((latitude, longitude)) = place {
            text.push_str(&format!(r#","lat":{latitude},"lon":{longitude}"#));
        }
        for (name, value) in metrics {
            text.push_str(&format!(r#","{name}":{value}"#));
        }
        text.push('}');
        Reading {
            device,
            ts_ms,
            seq,
            place,
            metrics,
            text: text.into(),
        }
    }
}

/// What a load is.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The broker, as devices see it.
    pub url: String,
    /// Names of the tenants.
    pub tenants: Vec<String>,
    /// What is published follows from it.
    pub seed: u64,
    /// Messages a second.
    pub rate: u32,
}

/// Publishes until it is stopped, then waits for the last acknowledgements. Devices send again what was not
/// acknowledged when they connect again, as it was.
///
/// # Errors
/// When the broker cannot be reached at the start.
pub async fn publish(options: LoadOptions, stop: Arc<AtomicBool>) -> Result<Published> {
    let (_keep, shutdown) = Shutdown::new();
    let publisher = Publisher::connect(
        &PublisherOptions {
            connections: CONNECTIONS,
            ..PublisherOptions::new(&options.url, format!("chaos-{}", options.tenants[0]))
        },
        &shutdown,
    )
    .await?;
    let clock = SystemClock::new();
    let mut maker = Maker::new(options.tenants.clone(), options.seed);
    let mut sent = Vec::new();
    let mut pace = tokio::time::interval(Duration::from_secs(1) / options.rate.max(1));
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let (tenant, message, readings) = maker.next(clock.wall_ms());
        let number = sent.len() as u64;
        let at = Instant::now();
        sent.push(Sent {
            tenant,
            message: message.clone(),
            readings,
            at,
        });
        let intended = at.into();
        publisher
            .publish(
                Outgoing {
                    number,
                    message,
                    intended,
                },
                &shutdown,
            )
            .await?;
    }
    let ledger = publisher.finish(LAST_ACKNOWLEDGEMENTS_MAX).await;
    Ok(Published {
        tenants: options.tenants,
        sent,
        ledger,
        finished: Instant::now(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maker(seed: u64) -> Maker {
        Maker::new(vec!["a".to_owned(), "b".to_owned()], seed)
    }

    #[test]
    fn the_same_seed_publishes_the_same() {
        let messages = |seed| {
            let mut maker = maker(seed);
            (0..500)
                .map(|index| maker.next(1_767_225_600_000 + index).1)
                .collect::<Vec<_>>()
        };
        assert_eq!(messages(4), messages(4));
        assert_ne!(messages(4), messages(5));
    }

    #[test]
    fn every_sort_of_message_is_published_and_a_fiftieth_cannot_be_read() {
        let mut maker = maker(1);
        let all: Vec<_> = (0..20_000).map(|index| maker.next(1_767_225_600_000 + index)).collect();
        let share = |test: &dyn Fn(&Message) -> bool| {
            all.iter().filter(|(_, message, _)| test(message)).count() as f64 / all.len() as f64
        };
        let poison = share(&|message| matches!(message.kind, Kind::Poison(_)));
        assert!((0.015..0.025).contains(&poison), "{poison}");
        assert!(share(&|message| message.kind == Kind::Duplicate) > 0.02);
        assert!(share(&|message| message.kind == Kind::Batch) > 0.02);
        let readings: Vec<_> = all.iter().flat_map(|(_, _, readings)| readings).collect();
        for test in [
            |reading: &Reading| reading.seq.is_some(),
            |reading: &Reading| reading.seq.is_none(),
            |reading: &Reading| reading.place.is_some(),
            |reading: &Reading| reading.place.is_none(),
            |reading: &Reading| reading.ts_ms < 1_767_225_600_000 - 3_600_000,
        ] {
            assert!(readings.iter().filter(|reading| test(reading)).count() > 500);
        }
    }
}
