//! The demo fleet: vehicles that drive through cities and stations that watch the air, with the flaws of real devices.
//!
//! [`Fleet`] is pure: a seed and a start time give the same bytes on every run. [`run_fleet`] publishes it in real time.

mod city;
mod device;
mod options;
mod reading;
mod run;
mod station;
mod vehicle;

#[cfg(test)]
mod tests;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

pub use options::FleetOptions;
pub use run::{FleetReport, run_fleet};

use crate::message::Message;
use device::Device;

/// A message and when it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Unix milliseconds.
    pub due_ms: i64,
    /// What is sent.
    pub message: Message,
}

/// All messages of a fleet, in the order of sending, without end.
#[derive(Debug)]
pub struct Fleet {
    options: FleetOptions,
    devices: Vec<Device>,
    /// Devices by the time of their next measurement.
    agenda: BinaryHeap<Reverse<(i64, usize)>>,
    /// Messages that are measured and not yet sent, by time and order of measurement.
    outbox: BinaryHeap<Reverse<Queued>>,
    queued_count: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct Queued {
    due_ms: i64,
    number: u64,
    message: Message,
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due_ms, self.number).cmp(&(other.due_ms, other.number))
    }
}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Fleet {
    /// A fleet before its first message.
    #[must_use]
    pub fn new(options: FleetOptions) -> Self {
        let count = options.vehicles + options.stations;
        let devices: Vec<Device> = (0..count).map(|index| Device::new(&options, index)).collect();
        let agenda = devices
            .iter()
            .enumerate()
            .map(|(index, device)| Reverse((device.next_ms, index)))
            .collect();
        Self {
            options,
            devices,
            agenda,
            outbox: BinaryHeap::new(),
            queued_count: 0,
        }
    }

    /// Lets the device whose turn it is measure.
    fn measure(&mut self) -> bool {
        let Some(Reverse((_, index))) = self.agenda.pop() else {
            return false;
        };
        let device = &mut self.devices[index];
        let mut planned = VecDeque::new();
        device.step(&self.options, &mut |message| planned.push_back(message));
        self.agenda.push(Reverse((device.next_ms, index)));
        for Planned { due_ms, message } in planned {
            self.queued_count += 1;
            let number = self.queued_count;
            self.outbox.push(Reverse(Queued {
                due_ms,
                number,
                message,
            }));
        }
        true
    }
}

impl Iterator for Fleet {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        loop {
            let next_measured_ms = self.agenda.peek().map(|Reverse((due_ms, _))| *due_ms);
            let next_sent_ms = self.outbox.peek().map(|Reverse(queued)| queued.due_ms);
            // A message may leave when nothing can be measured any more that is due before it.
            match (next_sent_ms, next_measured_ms) {
                (Some(sent_ms), measured_ms) if measured_ms.is_none_or(|measured_ms| sent_ms < measured_ms) => {
                    let Reverse(Queued { due_ms, message, .. }) = self.outbox.pop()?;
                    return Some(Planned { due_ms, message });
                }
                _ => {
                    if !self.measure() {
                        return None;
                    }
                }
            }
        }
    }
}
