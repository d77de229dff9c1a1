//! A task without its state: as much of it as the tables tell. Nothing below the offset where it goes on to count is
//! counted again, and what is counted from there on falls into accumulators of its own.
//!
//! Must never take over an accumulator: what it would write from then on is not what its events say.

use eventlog::TopicPartition;
use schemas::{Position, record::DEAD_LETTERS_TOPIC};

use super::{
    DeadLettersTask, EventsTask, Parameters, Task,
    ledger::{Chunk, Ledger, LevelSince},
};
use crate::{
    dedupe::{recent::RecentSet, sequence::SequenceWindow},
    device::{DeviceState, LastMetric, Place, clock::ClockQuality},
    symbols::Symbols,
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
    /// Of a partition of dead letters: fingerprints of the newest ones, the oldest of them first.
    pub letters: Vec<u64>,
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
    pub place: Option<(Position, i64)>,
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
            let mut identities = RecentSet::default();
            for letter in remains.letters {
                identities.insert(letter, i64::MIN, parameters.identities);
            }
            return Self::DeadLetters(Box::new(DeadLettersTask::with_state(
                topic_partition,
                parameters.identities,
                counts_from,
                i64::MIN,
                identities,
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
            let device = known.restored(parameters.base_resolution, &mut state.symbols);
            state.devices.put_back(&key, device, heard_ms, parameters.devices);
        }
        Self::Events(Box::new(task))
    }
}

impl KnownDevice {
    fn restored(self, base_resolution: u8, symbols: &mut Symbols) -> DeviceState {
        let mut state = DeviceState::new(self.key.as_bytes());
        state.sequence = self.sequence;
        state.last_offset = self.last_offset;
        if let Some((position, place_ts_ms)) = self.place {
            (state.place, state.place_ts_ms) = (Some(Place::of(position, base_resolution)), place_ts_ms);
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

#[cfg(test)]
mod tests {
    use schemas::{record::EVENTS_TOPIC, rows::Rows};

    use super::*;
    use crate::{
        dedupe::sequence::Claim,
        rollup::accumulator::Origin,
        task::{
            Due,
            tests::{NOW_MS, Received, batch, partition, received},
        },
    };

    const COUNTS_FROM: u64 = 4;

    fn bus() -> KnownDevice {
        let mut sequence = SequenceWindow::default();
        (1..=7).for_each(|seq| {
            sequence.observe(seq, Claim::At(NOW_MS - 100 + seq as i64));
        });
        KnownDevice {
            key: "acme/bus".into(),
            heard_ms: NOW_MS,
            last_offset: 3,
            sequence,
            place: Position::from_e7(480_000_000, 110_000_000).map(|position| (position, NOW_MS)),
            described: Some(Description {
                ts_ms: NOW_MS,
                broker: "edge".into(),
                metrics: vec![("humidity".into(), 50.0)],
                ..Description::default()
            }),
        }
    }

    fn begun_anew(learns_from: u64) -> Task {
        let last_chunk = Chunk {
            last_offset: COUNTS_FROM - 1,
            records: COUNTS_FROM,
            events: COUNTS_FROM,
            measurements: 9,
            ts_min_ms: NOW_MS - 100,
            ts_max_ms: NOW_MS,
            checksum: 77,
            ..Chunk::default()
        };
        let remains = Remains {
            last_chunk: Some(last_chunk),
            learns_from,
            log_clock_ms: NOW_MS,
            devices: vec![bus()],
            ..Remains::default()
        };
        Task::from_remains(partition(EVENTS_TOPIC), 1, &Parameters::default(), COUNTS_FROM, remains)
    }

    fn counted(seq: u64) -> Received {
        received(
            "bus",
            &format!(r#"{{"seq":{seq},"ts":{},"a":1}}"#, NOW_MS - 100 + seq as i64),
        )
    }

    fn uncounted() -> Received {
        received("tram", &format!(r#"{{"ts":{NOW_MS},"a":1}}"#))
    }

    fn collect(task: &mut Task) -> Rows {
        let mut rows = Rows::default();
        task.collect(Due::All, &mut rows);
        rows
    }

    #[test]
    fn what_the_tables_tell_is_not_counted_again_and_the_books_go_on() {
        let mut task = begun_anew(COUNTS_FROM);
        assert!(!task.has_pending() && !task.is_quiet());
        task.apply(&batch(COUNTS_FROM, &[counted(3), counted(8), counted(7)]));
        let rows = collect(&mut task);
        assert_eq!(rows.measurements.offset, [COUNTS_FROM + 1]);
        assert_eq!(rows.measurements.latitude_e7, [480_000_000], "where it was last");
        let ledger = &rows.ledger;
        assert_eq!((ledger.records[0], ledger.events[0], ledger.duplicates[0]), (7, 5, 2));
        assert_eq!((ledger.first_offset[0], ledger.measurements[0]), (0, 10));
        assert_eq!(Origin::of_version(2, ledger.version[0]).incarnation, 1);
        assert!(
            rows.rollups
                .generation
                .iter()
                .all(|generation| *generation == COUNTS_FROM + 1)
        );
        let names = super::super::tests::texts(&rows.devices.metric_names);
        assert_eq!(names, ["humidity", "a"], "what is known of the device stays known");
    }

    #[test]
    fn records_that_were_counted_are_learned_from_in_silence_also_after_a_restart() {
        let records = [
            uncounted(),
            counted(8),
            uncounted(),
            counted(9),
            uncounted(),
            counted(8),
            counted(10),
        ];
        let mut task = begun_anew(0);
        assert!(task.is_quiet());
        assert_eq!(task.counts_from(), COUNTS_FROM);
        task.apply(&batch(0, &records[..2]));
        let rows = collect(&mut task);
        assert!(rows.measurements.offset.is_empty() && rows.rollups.count.is_empty() && rows.ledger.chunk.is_empty());
        let state = task.checkpoint();
        let mut task = Task::restore(partition(EVENTS_TOPIC), &state).unwrap();
        assert!(task.is_quiet());
        task.apply(&batch(0, &records));
        assert!(!task.is_quiet());
        let rows = collect(&mut task);
        assert_eq!(rows.measurements.offset, [6], "all others were counted before");
        assert_eq!(rows.ledger.records, [7]);
        assert_eq!(rows.ledger.duplicates, [2]);
    }
}
