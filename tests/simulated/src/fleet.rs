//! Devices, and the ledger of what they published: the truth that tables are compared with. Every measurement says a
//! number that no other says, so that each can be told apart wherever it turns up.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Devices of the fleet.
const DEVICES: usize = 10;
const TENANTS: [&str; 3] = ["acme", "globex", "initech"];
/// Name of the metric that numbers events.
pub(crate) const NUMBER_METRIC: &str = "number";

/// One event that a device published.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) device: usize,
    /// The time it claimed.
    pub(crate) claimed_ms: Option<i64>,
    /// Messages that hold it.
    pub(crate) messages: Vec<usize>,
    /// Where its device began to count again, if it ever did.
    pub(crate) run_begin: Option<RunBegin>,
}

/// A device begins to count at 0 again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunBegin {
    /// Its first event from there on.
    pub(crate) first: usize,
    /// Its last event before.
    pub(crate) before: usize,
}

/// One message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) device: usize,
    pub(crate) payload: String,
    /// When it was published, counted over all messages.
    pub(crate) turn: usize,
    /// Events in it; none for one that cannot be read.
    pub(crate) events: Vec<usize>,
}

/// How a device names its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identity {
    SequenceAndTime,
    SequenceOnly,
    TimeOnly,
    Neither,
}

pub(crate) struct Device {
    pub(crate) tenant: &'static str,
    pub(crate) name: String,
    /// Where it stands, if it says so.
    pub(crate) position: Option<(f64, f64)>,
    identity: Identity,
    sequence: u64,
    newest_claim_ms: i64,
    /// When it last forgot its count.
    run_began_ms: i64,
    run_begin: Option<RunBegin>,
    newest_event: usize,
    /// Messages of this run that it may send again.
    recent: Vec<usize>,
}

impl Device {
    pub(crate) fn topic(&self) -> String {
        format!("telemetry/{}/{}", self.tenant, self.name)
    }
}

/// The devices and everything they published.
pub(crate) struct Fleet {
    random: ChaCha8Rng,
    pub(crate) devices: Vec<Device>,
    pub(crate) events: Vec<Published>,
    pub(crate) messages: Vec<Message>,
    turns: usize,
    /// Whether devices restart.
    restarts: bool,
}

impl Fleet {
    pub(crate) fn new(seed: u64, restarts: bool) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let devices = (0..DEVICES).map(|index| Device {
            tenant: TENANTS[random.random_range(0..TENANTS.len())],
            name: format!("device-{index}"),
            position: random
                .random_bool(0.7)
                .then(|| (f64::from(random.random_range(-3..3)) / 10.0, 13.0)),
            identity: match random.random_range(0..4) {
                0 => Identity::SequenceAndTime,
                1 => Identity::SequenceOnly,
                2 => Identity::TimeOnly,
                _ => Identity::Neither,
            },
            sequence: 0,
            newest_claim_ms: 0,
            run_began_ms: 0,
            run_begin: None,
            newest_event: 0,
            recent: Vec::new(),
        });
        let devices = devices.collect();
        Self {
            random,
            devices,
            events: Vec::new(),
            messages: Vec::new(),
            turns: 0,
            restarts,
        }
    }

    /// A device publishes; returns the messages to publish, as places in the ledger, in order.
    pub(crate) fn publish(&mut self, now_ms: i64) -> Vec<usize> {
        let messages = self.choose(now_ms);
        for number in &messages {
            self.turns += 1;
            self.messages[*number].turn = self.turns;
        }
        messages
    }

    fn choose(&mut self, now_ms: i64) -> Vec<usize> {
        let index = self.random.random_range(0..self.devices.len());
        let repeats = self.devices[index].identity != Identity::Neither && self.random.random_bool(0.1);
        if repeats && !self.devices[index].recent.is_empty() {
            return vec![self.repeat(index)];
        }
        match self.random.random_range(0..40) {
            0 => vec![self.poison(index)],
            1 if self.restarts => {
                self.restart(index);
                vec![self.message(index, now_ms)]
            }
            2 | 3 => {
                // Sent in another order than made.
                let mut messages: Vec<usize> = (0..3).map(|_| self.message(index, now_ms)).collect();
                messages.rotate_left(1);
                messages
            }
            _ => vec![self.message(index, now_ms)],
        }
    }

    /// A device sends a message again, since it did not hear that it arrived.
    fn repeat(&mut self, index: usize) -> usize {
        let device = &self.devices[index];
        let original = device.recent[self.random.random_range(0..device.recent.len())];
        let number = self.messages.len();
        let again = self.messages[original].clone();
        for event in &again.events {
            self.events[*event].messages.push(number);
        }
        self.messages.push(again);
        number
    }

    fn poison(&mut self, index: usize) -> usize {
        let number = self.messages.len();
        self.messages.push(Message {
            device: index,
            payload: format!("{{\"broken\": {number}"),
            turn: 0,
            events: Vec::new(),
        });
        number
    }

    /// The device forgets what it counted, and what it could send again.
    fn restart(&mut self, index: usize) {
        let device = &mut self.devices[index];
        // Without a time a restart is only told from a repetition by a far larger step than runs have here.
        // Nor is one after a handful of events.
        if device.identity == Identity::SequenceAndTime && device.sequence > 4 {
            device.sequence = 0;
            device.run_begin = Some(RunBegin {
                first: self.events.len(),
                before: device.newest_event,
            });
        }
        device.recent.clear();
    }

    fn message(&mut self, index: usize, now_ms: i64) -> usize {
        let count = match self.random.random_range(0..10) {
            0 => self.random.random_range(2..8),
            _ => 1,
        };
        let number = self.messages.len();
        let mut events = Vec::new();
        let mut texts = Vec::new();
        for _ in 0..count {
            let event = self.events.len();
            let (text, claimed_ms) = self.event(index, event, now_ms);
            texts.push(text);
            events.push(event);
            self.events.push(Published {
                device: index,
                claimed_ms,
                messages: vec![number],
                run_begin: self.devices[index].run_begin,
            });
        }
        let payload = match &texts[..] {
            [one] => one.clone(),
            many => format!("[{}]", many.join(",")),
        };
        self.messages.push(Message {
            device: index,
            payload,
            turn: 0,
            events,
        });
        let recent = &mut self.devices[index].recent;
        recent.push(number);
        if recent.len() > 8 {
            recent.remove(0);
        }
        number
    }

    fn event(&mut self, index: usize, event: usize, now_ms: i64) -> (String, Option<i64>) {
        let late_ms = if self.random.random_bool(0.1) {
            self.random.random_range(0..200_000)
        } else {
            0
        };
        let device = &mut self.devices[index];
        device.newest_event = event;
        let mut fields = vec![format!("\"metrics\":{{\"{NUMBER_METRIC}\":{event}}}")];
        let with_sequence = matches!(device.identity, Identity::SequenceAndTime | Identity::SequenceOnly);
        let first_of_run = with_sequence && device.sequence == 0;
        if with_sequence {
            fields.push(format!("\"seq\":{}", device.sequence));
            device.sequence += 1;
        }
        let mut claimed_ms = None;
        if matches!(device.identity, Identity::SequenceAndTime | Identity::TimeOnly) {
            // A restarted device is only recognised by a newer time.
            let ms = if first_of_run {
                device.run_began_ms = now_ms.max(device.newest_claim_ms + 1);
                device.run_began_ms
            } else {
                // What it measured before it restarted is gone.
                (now_ms - late_ms).max(device.run_began_ms)
            };
            device.newest_claim_ms = device.newest_claim_ms.max(ms);
            claimed_ms = Some(ms);
            fields.push(format!("\"ts\":{ms}"));
        }
        if let Some((latitude, longitude)) = device.position {
            fields.push(format!("\"lat\":{latitude},\"lon\":{longitude}"));
        }
        (format!("{{{}}}", fields.join(",")), claimed_ms)
    }
}
