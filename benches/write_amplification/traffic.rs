//! The records of the demo fleet, second by second and partition by partition. The same on every run.

use std::{iter::Peekable, str};

use eventlog::{RecordBatch, RecordBatchBuilder, partitioner::partition_of};
use loadtest::fleet::{Fleet, FleetOptions, Planned};
use schemas::{DeliveryMark, Event, Receipt, limits::FUTURE_SKEW_MS_MAX_DEFAULT, payload, record};

/// Of ten devices, six drive and four watch the air.
const VEHICLES: u32 = 12_000;
const STATIONS: u32 = 8_000;
/// The fleet of the demo keeps this mean in its past, where no vehicle reports every second.
const INTERVAL_MS: i64 = 10_000;
/// A Sunday noon: any time will do that no day ends near.
const END_MS: i64 = 1_790_510_400_000;

/// A fleet on its way through the log.
pub(crate) struct Traffic {
    messages: Peekable<Box<dyn Iterator<Item = Planned>>>,
    now_ms: i64,
    next_offsets: Vec<u64>,
    event_count: u64,
}

impl Traffic {
    pub(crate) fn new(minutes: u32, partitions: u16) -> Self {
        let history_ms = i64::from(minutes) * 60_000;
        let options = FleetOptions {
            vehicles: VEHICLES,
            stations: STATIONS,
            history_ms,
            history_interval_ms: INTERVAL_MS,
            ..FleetOptions::demo(1, END_MS)
        };
        let messages: Box<dyn Iterator<Item = Planned>> = Box::new(Fleet::new(options));
        Self {
            messages: messages.peekable(),
            now_ms: END_MS - history_ms,
            next_offsets: vec![0; usize::from(partitions)],
            event_count: 0,
        }
    }

    /// Events so far.
    pub(crate) fn event_count(&self) -> u64 {
        self.event_count
    }

    /// What each partition gets in the next second; `None` at the end.
    pub(crate) fn next_second(&mut self) -> Option<Vec<RecordBatch>> {
        if self.now_ms >= END_MS {
            return None;
        }
        self.now_ms += 1_000;
        let partitions = self.next_offsets.len() as u16;
        let mut builders: Vec<_> = (0..partitions)
            .map(|partition| RecordBatchBuilder::new(super::place(partition)))
            .collect();
        while let Some(planned) = self.messages.next_if(|planned| planned.due_ms < self.now_ms) {
            self.add(&planned, &mut builders);
        }
        Some(builders.into_iter().map(RecordBatchBuilder::finish).collect())
    }

    fn add(&mut self, planned: &Planned, builders: &mut [RecordBatchBuilder]) {
        // Bad messages become dead letters, which no rollup counts.
        let Ok(readings) = payload::decode_json(&planned.message.payload) else {
            return;
        };
        let topic = str::from_utf8(&planned.message.topic).unwrap();
        let mut names = topic.split('/').skip(1);
        let (Some(tenant), Some(device)) = (names.next(), names.next()) else {
            return;
        };
        let key = record::key(tenant, device);
        let partition = partition_of(key.as_bytes(), builders.len() as u16).0;
        let mut value = Vec::new();
        for (index, reading) in (0..).zip(readings) {
            let delivery = DeliveryMark {
                packet_id: 1,
                redelivered: false,
                run: 1,
                number: self.event_count,
                index,
            };
            let receipt = Receipt {
                tenant,
                device,
                broker: "edge-1",
                received_at_ms: planned.due_ms,
                delivery,
                replay: None,
            };
            value.clear();
            record::encode(&Event::new(reading, receipt, FUTURE_SKEW_MS_MAX_DEFAULT), &mut value);
            let offset = &mut self.next_offsets[usize::from(partition)];
            builders[usize::from(partition)].push(*offset, planned.due_ms, key.as_bytes(), &value, []);
            *offset += 1;
            self.event_count += 1;
        }
    }
}
