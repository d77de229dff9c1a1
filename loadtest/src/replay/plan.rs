//! The messages of a replay in the order of publishing: every event once, some twice, poison in between. Pure: the same
//! table, options and shift give the same bytes.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
};

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::table::{Table, TableEvent};
use crate::{
    limits::DUPLICATE_DISTANCE_MESSAGES_MAX,
    message::{Kind, Message, topic},
    poison::PoisonKind,
};

/// How a table is turned into messages.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanOptions {
    /// Owner of all devices.
    pub tenant: String,
    /// Added to every event time.
    pub shift_ms: i64,
    /// Share of events that are published twice, 0 to 1.
    pub duplicates: f64,
    /// Bad messages for each good one, 0 to 1.
    pub poison: f64,
    /// Which ones follows from this.
    pub seed: u64,
    /// Part of every bad message, so that those of two runs differ.
    pub run: u64,
}

/// What a message stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The event in [`Table::events`]; none for poison.
    pub event: Option<usize>,
    /// What is published.
    pub message: Message,
}

/// All messages of a replay.
pub struct Plan<'a> {
    table: &'a Table,
    options: PlanOptions,
    random: ChaCha8Rng,
    next_event: usize,
    step_count: u64,
    poison_count: u64,
    /// Ready to leave.
    ready: VecDeque<Step>,
    /// Duplicates by the number of messages after which they come.
    pending: BTreeMap<(u64, usize), Message>,
}

impl<'a> Plan<'a> {
    /// The plan before its first message.
    #[must_use]
    pub fn new(table: &'a Table, options: PlanOptions) -> Self {
        Self {
            table,
            random: ChaCha8Rng::seed_from_u64(options.seed),
            options,
            next_event: 0,
            step_count: 0,
            poison_count: 0,
            ready: VecDeque::new(),
            pending: BTreeMap::new(),
        }
    }

    fn add_event(&mut self) -> bool {
        let index = self.next_event;
        let Some(event) = self.table.events.get(index) else {
            return false;
        };
        self.next_event += 1;
        let device = &self.table.devices[event.device as usize];
        let message = Message {
            topic: topic(&self.options.tenant, device),
            payload: payload(self.table, event, self.options.shift_ms),
            kind: Kind::Valid,
        };
        if self.random.random::<f64>() < self.options.duplicates {
            let distance = self.random.random_range(1..=DUPLICATE_DISTANCE_MESSAGES_MAX);
            let again = Message {
                kind: Kind::Duplicate,
                ..message.clone()
            };
            self.pending.insert((self.step_count + distance, index), again);
        }
        self.ready.push_back(Step {
            event: Some(index),
            message,
        });
        if self.random.random::<f64>() < self.options.poison {
            // In turn, so that every kind comes up.
            let kind = PoisonKind::ALL[(self.poison_count % PoisonKind::ALL.len() as u64) as usize];
            self.poison_count += 1;
            let mark = self.options.run.wrapping_mul(1_000_000).wrapping_add(self.poison_count);
            let message = kind.message(&self.options.tenant, device, mark);
            self.ready.push_back(Step { event: None, message });
        }
        true
    }
}

impl Iterator for Plan<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let due = self
            .pending
            .first_key_value()
            .is_some_and(|((due, _), _)| *due <= self.step_count);
        if !due && self.ready.is_empty() && !self.add_event() {
            // Nothing new: the duplicates that are left come at once.
            self.step_count = u64::MAX / 2;
        }
        let step = if due || self.ready.is_empty() {
            let ((_, event), message) = self.pending.pop_first()?;
            Step {
                event: Some(event),
                message,
            }
        } else {
            self.ready.pop_front()?
        };
        self.step_count += 1;
        Some(step)
    }
}

/// The JSON object of an event.
fn payload(table: &Table, event: &TableEvent, shift_ms: i64) -> Bytes {
    let mut text = format!(r#"{{"ts":{}"#, event.ts_ms + shift_ms);
    let put = |text: &mut String, name: &str, value: f64| {
        write!(text, r#","{name}":{value}"#).expect("writing to memory");
    };
    if let Some(seq) = event.seq {
        write!(text, r#","seq":{seq}"#).expect("writing to memory");
    }
    if let Some(position) = event.position {
        put(&mut text, "lat", position.latitude());
        put(&mut text, "lon", position.longitude());
    }
    for (name, value) in table.motion_names.iter().zip(&event.motion) {
        if let Some(value) = value {
            put(&mut text, name, *value);
        }
    }
    let mut separator = r#","metrics":{"#;
    for (name, value) in table.metric_names.iter().zip(&event.metrics) {
        if let Some(value) = value {
            write!(text, r#"{separator}"{name}":{value}"#).expect("writing to memory");
            separator = ",";
        }
    }
    if separator == "," {
        text.push('}');
    }
    text.push('}');
    text.into()
}

#[cfg(test)]
mod tests;
