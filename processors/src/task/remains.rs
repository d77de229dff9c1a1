//! A task without its state: as much of it as the tables tell. Nothing below the offset where it goes on to count is
//! counted again, and what is counted from there on falls into accumulators of its own.
//!
//! Must never take over an accumulator: what it would write from then on is not what its events say.

use eventlog::TopicPartition;
use schemas::record::DEAD_LETTERS_TOPIC;

use super::{
    DeadLettersTask, EventsTask, Parameters, Task,
    ledger::{Chunk, Ledger, LevelSince},
};
use crate::{
    dedupe::{recent::RecentSet, sequence::SequenceWindow},
    device::{DeviceState, LastMetric, Place, clock::ClockQuality},
};

/// What the tables hold of a partition whose state is lost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remains {
    /// Where the books end.
    pub last_chunk: Option<Chunk>,
    /// From which offset on each rollup level has everything.
    pub levels: Vec<LevelSince>,
    /// Records from here on are read again to learn what the tables do not tell; at most where counting goes on.
    pub learns_from: u64,
    /// Largest time of receipt before `learns_from`, Unix milliseconds.
    pub log_clock_ms: i64,
    /// As [`super::TaskStats::watermark_ms`] was, but for the allowed lateness.
    pub believed_ms: i64,
    /// Devices heard of not too long before, those heard of longest ago first.
    pub devices: Vec<KnownDevice>,
}

/// What the tables hold of a device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KnownDevice {
    /// `tenant/device`.
    pub key: String,
    /// Its newest time of receipt, Unix milliseconds.
    pub heard_ms: i64,
    /// Offset of its last event.
    pub last_offset: u64,
    /// Its counts.
    pub sequence: SequenceWindow,
    /// Its newest place and when that was.
    pub place: Option<(Place, i64)>,
    /// Its row, which may be of a later event.
    pub described: Option<Description>,
}

/// What the row of a device says beside its place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Description {
    /// Event time of the newest event, Unix milliseconds.
    pub ts_ms: i64,
    /// Its time of receipt.
    pub received_at_ms: i64,
    /// Its count; 0 where absent.
    pub seq: u64,
    /// Its clock was not believed.
    pub clock_suspect: bool,
    /// How good the clock is.
    pub clock: ClockQuality,
    /// Broker that it came through.
    pub broker: String,
    /// Newest value of each metric.
    pub metrics: Vec<(String, f64)>,
    /// Its attributes.
    pub attributes: Vec<(String, String)>,
}

impl Task {
    /// The task of a partition whose state is lost: it counts from `counts_from` on, and has a higher incarnation than
    /// anything that the lost state can have written.
    #[must_use]
    pub fn from_remains(
        topic_partition: TopicPartition,
        incarnation: u16,
        parameters: &Parameters,
        counts_from: u64,
        remains: Remains,
    ) -> Self {
        if &*topic_partition.topic == DEAD_LETTERS_TOPIC {
            let ledger = Ledger::after(remains.last_chunk, Vec::new());
            return Self::DeadLetters(Box::new(DeadLettersTask::with_state(
                topic_partition,
                parameters.identities,
                counts_from,
                i64::MIN,
                RecentSet::default(),
                ledger,
            )));
        }
        let first_offset = remains.learns_from.min(counts_from);
        let mut task = EventsTask::new(topic_partition, first_offset, incarnation, parameters);
        let state = &mut task.state;
        state.quiet_until = counts_from;
        state.log_clock_ms = remains.log_clock_ms;
        state.watermark_ms = remains.believed_ms.saturating_sub(parameters.allowed_lateness_ms);
        state.ledger = Ledger::after(remains.last_chunk, remains.levels);
        state.ledger.change_levels(&parameters.rollup.levels, counts_from);
        for known in remains.devices {
            let (key, heard_ms) = (known.key.clone(), known.heard_ms);
            let device = known.restored(&mut state.symbols);
            state.devices.put_back(&key, device, heard_ms, parameters.devices);
        }
        Self::Events(Box::new(task))
    }
}

impl KnownDevice {
    fn restored(self, symbols: &mut crate::symbols::Symbols) -> DeviceState {
        let mut state = DeviceState::new(self.key.as_bytes());
        state.sequence = self.sequence;
        state.last_offset = self.last_offset;
        if let Some((place, place_ts_ms)) = self.place {
            (state.place, state.place_ts_ms) = (Some(place), place_ts_ms);
        }
        let Some(described) = self.described else { return state };
        let tenant = self.key.split_once('/').map_or("", |(tenant, _)| tenant);
        state.ts_ms = described.ts_ms;
        state.received_at_ms = described.received_at_ms;
        state.seq = described.seq;
        state.clock_suspect = described.clock_suspect;
        state.clock = described.clock;
        state.broker = described.broker;
        state.attributes = described.attributes;
        state.metrics = described
            .metrics
            .iter()
            .map(|(metric, value)| LastMetric {
                symbol: symbols.intern(tenant, metric),
                ts_ms: described.ts_ms,
                value: *value,
            })
            .collect();
        state
    }
}
