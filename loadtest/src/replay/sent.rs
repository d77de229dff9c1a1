//! What a replay has published, as the oracle wants to hear it: plan and ledger side by side.

use super::{Plan, PlanOptions, Table};
use crate::{
    message::Kind,
    oracle::{Names, Promise, SentEvent, SentPoison},
    publisher::{Entry, Ledger},
};

/// Everything that was published, with what follows from its fate.
pub(super) struct Sent {
    /// Every publication of an event, in order.
    pub(super) events: Vec<SentEvent>,
    /// Every bad message, in order.
    pub(super) poison: Vec<SentPoison>,
}

impl Sent {
    /// Goes through the same plan again (it is pure) beside the ledger, instead of holding every message for the run.
    pub(super) fn collect(table: &Table, plan_options: PlanOptions, ledger: &Ledger, names: &mut Names) -> Self {
        let mut fates: Vec<Option<&Entry>> = vec![None; ledger.entries.len()];
        for entry in &ledger.entries {
            fates[entry.number as usize] = Some(entry);
        }
        let devices: Vec<u32> = table.devices.iter().map(|device| names.number(device)).collect();
        let metrics: Vec<u32> = table.metric_names.iter().map(|metric| names.number(metric)).collect();
        let shift_ms = plan_options.shift_ms;
        let mut sent = Self {
            events: Vec::new(),
            poison: Vec::new(),
        };
        for (step, entry) in Plan::new(table, plan_options).zip(fates) {
            let entry = entry.expect("the ledger has every message");
            let promise = Promise::from(entry.fate);
            let message = step.message;
            if let Kind::Poison(kind) = message.kind {
                sent.poison.push(SentPoison {
                    topic: message.topic,
                    payload: message.payload,
                    kind,
                    promise,
                    sent_count: entry.sent_count,
                });
                continue;
            }
            let index = step.event.expect("what is not poison stands for an event");
            let event = &table.events[index];
            let values = metrics.iter().zip(&event.metrics);
            sent.events.push(SentEvent {
                device: devices[event.device as usize],
                ts_ms: event.ts_ms + shift_ms,
                seq: event.seq,
                position: event.position,
                metrics: values
                    .filter_map(|(metric, value)| Some((*metric, (*value)?)))
                    .collect(),
                payload: message.payload,
                promise,
            });
        }
        sent
    }
}
