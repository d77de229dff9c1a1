//! A task's state as bytes. Equal states have equal bytes; those of every older version can be restored.

use eventlog::TopicPartition;
use serde::{Deserialize, Serialize};

use super::{
    Parameters, Task,
    dead_letters::DeadLettersTask,
    events::{EventsTask, State},
    ledger::{Ledger, LedgerV1},
};
use crate::{
    dedupe::{
        delivery::{RecentDeliveriesV1, RecentDeliveriesV2},
        recent::{RecentLimits, RecentSetV1},
    },
    device::{
        clock::ClockQuality,
        table::{DeviceTable, DeviceTableV1},
    },
    rollup::{accumulator::Origin, wire::RollupsV1},
    symbols::{Symbols, SymbolsV1},
};

/// Why bytes cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Not written by [`Task::checkpoint`], or by a newer version of it.
    #[error("not a checkpoint of this version: {0}")]
    Malformed(#[from] postcard::Error),
    /// The checkpoint of another partition.
    #[error("checkpoint of partition `{found}` where one of `{expected}` belongs")]
    Misplaced {
        /// As asked for.
        expected: String,
        /// As written in the checkpoint.
        found: String,
    },
}

/// Versions of the form, by number: a new one is added at the end, none is ever removed.
#[derive(Serialize, Deserialize)]
enum Wire {
    EventsV1(Box<EventsV1>),
    DeadLettersV1(Box<DeadLettersV1>),
    EventsV2(Box<EventsV1>, Box<AdditionsV2>),
    DeadLettersV2(Box<DeadLettersV1>, LedgerV1),
    /// While it is quiet: with the offset at which that ends.
    EventsV3(Box<EventsV1>, Box<AdditionsV2>, u64),
    EventsV4(Box<EventsV1>, Box<AdditionsV2>, Box<AdditionsV4>),
}

/// What the second version has more.
#[derive(Serialize, Deserialize)]
struct AdditionsV2 {
    replays: RecentSetV1,
    /// By key, sorted.
    clocks: Vec<(String, ClockQuality)>,
    ledger: LedgerV1,
}

/// What the fourth version has more.
#[derive(Serialize, Deserialize)]
struct AdditionsV4 {
    quiet_until: u64,
    /// In the place of those of the first version, which are empty then.
    deliveries: RecentDeliveriesV2,
}

#[derive(Serialize, Deserialize)]
struct EventsV1 {
    topic_partition: String,
    incarnation: u16,
    parameters: Parameters,
    next_offset: u64,
    log_clock_ms: i64,
    watermark_ms: i64,
    swept_ms: i64,
    symbols: SymbolsV1,
    symbols_release_at: usize,
    identities: RecentSetV1,
    deliveries: RecentDeliveriesV1,
    devices: DeviceTableV1,
    rollups: RollupsV1,
}

#[derive(Serialize, Deserialize)]
struct DeadLettersV1 {
    topic_partition: String,
    limits: RecentLimits,
    next_offset: u64,
    log_clock_ms: i64,
    identities: RecentSetV1,
}

pub(super) fn encode_events(task: &EventsTask) -> Vec<u8> {
    let state = &task.state;
    let events = EventsV1 {
        topic_partition: task.topic_partition.to_string(),
        incarnation: task.origin.incarnation,
        parameters: task.parameters.clone(),
        next_offset: state.next_offset,
        log_clock_ms: state.log_clock_ms,
        watermark_ms: state.watermark_ms,
        swept_ms: state.swept_ms,
        symbols: state.symbols.to_wire(),
        symbols_release_at: state.symbols_release_at,
        identities: RecentSetV1::from(&state.identities),
        deliveries: RecentDeliveriesV1::default(),
        devices: DeviceTableV1::from(&state.devices),
        rollups: RollupsV1::from(&state.rollups),
    };
    let clocks = state.devices.clocks();
    let mut clocks: Vec<_> = clocks.map(|(key, clock)| (key.to_owned(), *clock)).collect();
    clocks.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    let additions = AdditionsV2 {
        replays: RecentSetV1::from(&state.replays),
        clocks,
        ledger: state.ledger.to_wire(),
    };
    let newest = AdditionsV4 {
        quiet_until: state.quiet_until,
        deliveries: RecentDeliveriesV2::from(&state.deliveries),
    };
    encode(&Wire::EventsV4(Box::new(events), Box::new(additions), Box::new(newest)))
}

pub(super) fn encode_dead_letters(task: &DeadLettersTask) -> Vec<u8> {
    let wire = Box::new(DeadLettersV1 {
        topic_partition: task.topic_partition.to_string(),
        limits: task.limits,
        next_offset: task.next_offset,
        log_clock_ms: task.log_clock_ms,
        identities: RecentSetV1::from(&task.identities),
    });
    encode(&Wire::DeadLettersV2(wire, task.ledger.to_wire()))
}

fn encode(wire: &Wire) -> Vec<u8> {
    postcard::to_stdvec(wire).expect("writing to memory, and every type is plain data")
}

pub(super) fn restore(topic_partition: TopicPartition, bytes: &[u8]) -> Result<Task, RestoreError> {
    match postcard::from_bytes(bytes)? {
        Wire::EventsV1(events) => {
            // Without books, these begin here. What the levels hold was complete: nothing said otherwise.
            let ledger = Ledger::new(&events.parameters.rollup.levels, 0);
            let additions = AdditionsV2 {
                replays: RecentSetV1::default(),
                clocks: Vec::new(),
                ledger: ledger.to_wire(),
            };
            restore_older(topic_partition, *events, additions, 0)
        }
        Wire::EventsV2(events, additions) => restore_older(topic_partition, *events, *additions, 0),
        Wire::EventsV3(events, additions, quiet_until) => {
            restore_older(topic_partition, *events, *additions, quiet_until)
        }
        Wire::EventsV4(events, additions, newest) => restore_events(topic_partition, *events, *additions, *newest),
        Wire::DeadLettersV1(wire) => restore_dead_letters(topic_partition, *wire, Ledger::default()),
        Wire::DeadLettersV2(wire, ledger) => restore_dead_letters(topic_partition, *wire, ledger.into()),
    }
}

fn restore_older(
    topic_partition: TopicPartition,
    mut wire: EventsV1,
    additions: AdditionsV2,
    quiet_until: u64,
) -> Result<Task, RestoreError> {
    let newest = AdditionsV4 {
        quiet_until,
        deliveries: std::mem::take(&mut wire.deliveries).into(),
    };
    restore_events(topic_partition, wire, additions, newest)
}

fn restore_events(
    topic_partition: TopicPartition,
    wire: EventsV1,
    additions: AdditionsV2,
    newest: AdditionsV4,
) -> Result<Task, RestoreError> {
    check_place(&topic_partition, &wire.topic_partition)?;
    let origin = Origin {
        partition: topic_partition.partition.0,
        incarnation: wire.incarnation,
    };
    let mut devices = DeviceTable::from(wire.devices);
    for (key, clock) in additions.clocks {
        devices.restore_clock(&key, clock);
    }
    let state = State {
        next_offset: wire.next_offset,
        log_clock_ms: wire.log_clock_ms,
        watermark_ms: wire.watermark_ms,
        swept_ms: wire.swept_ms,
        symbols: Symbols::from_wire(wire.symbols),
        symbols_release_at: wire.symbols_release_at,
        identities: wire.identities.into(),
        deliveries: newest.deliveries.into(),
        replays: additions.replays.into(),
        devices,
        rollups: wire.rollups.into_rollups(origin),
        ledger: additions.ledger.into(),
        quiet_until: newest.quiet_until,
    };
    Ok(Task::Events(Box::new(EventsTask::with_state(
        topic_partition,
        wire.parameters,
        origin,
        state,
    ))))
}

fn restore_dead_letters(
    topic_partition: TopicPartition,
    wire: DeadLettersV1,
    ledger: Ledger,
) -> Result<Task, RestoreError> {
    check_place(&topic_partition, &wire.topic_partition)?;
    Ok(Task::DeadLetters(Box::new(DeadLettersTask::with_state(
        topic_partition,
        wire.limits,
        wire.next_offset,
        wire.log_clock_ms,
        wire.identities.into(),
        ledger,
    ))))
}

fn check_place(expected: &TopicPartition, found: &str) -> Result<(), RestoreError> {
    let expected = expected.to_string();
    if expected == found {
        Ok(())
    } else {
        Err(RestoreError::Misplaced {
            expected,
            found: found.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use eventlog::PartitionId;

    use super::*;

    #[test]
    fn a_checkpoint_of_the_first_version_is_still_read() {
        let topic_partition = TopicPartition {
            topic: Arc::from(schemas::record::EVENTS_TOPIC),
            partition: PartitionId(2),
        };
        let mut task = Task::new(topic_partition.clone(), 42, 1, &Parameters::default());
        let as_first = |written: &[u8]| {
            let Wire::EventsV4(events, ..) = postcard::from_bytes(written).unwrap() else {
                panic!("the newest version is written");
            };
            encode(&Wire::EventsV1(events))
        };
        let first = as_first(&task.checkpoint());
        let mut restored = restore(topic_partition, &first).unwrap();
        assert_eq!(restored.next_offset(), 42);
        assert_eq!(as_first(&restored.checkpoint()), first);
    }
}
