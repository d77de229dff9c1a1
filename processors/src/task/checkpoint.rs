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
        delivery::RecentDeliveriesV1,
        recent::{RecentLimits, RecentSetV1},
    },
    device::table::DeviceTableV1,
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
    EventsV2(Box<EventsV1>, LedgerV1),
    DeadLettersV2(Box<DeadLettersV1>, LedgerV1),
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
    let wire = Box::new(EventsV1 {
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
        deliveries: RecentDeliveriesV1::from(&state.deliveries),
        devices: DeviceTableV1::from(&state.devices),
        rollups: RollupsV1::from(&state.rollups),
    });
    encode(&Wire::EventsV2(wire, state.ledger.to_wire()))
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
        // Without books, these begin here. What the levels hold was complete: nothing said otherwise.
        Wire::EventsV1(wire) => {
            let ledger = Ledger::new(&wire.parameters.rollup.levels, 0);
            restore_events(topic_partition, *wire, ledger)
        }
        Wire::EventsV2(wire, ledger) => restore_events(topic_partition, *wire, ledger.into()),
        Wire::DeadLettersV1(wire) => restore_dead_letters(topic_partition, *wire, Ledger::default()),
        Wire::DeadLettersV2(wire, ledger) => restore_dead_letters(topic_partition, *wire, ledger.into()),
    }
}

fn restore_events(topic_partition: TopicPartition, wire: EventsV1, ledger: Ledger) -> Result<Task, RestoreError> {
    check_place(&topic_partition, &wire.topic_partition)?;
    let origin = Origin {
        partition: topic_partition.partition.0,
        incarnation: wire.incarnation,
    };
    let state = State {
        next_offset: wire.next_offset,
        log_clock_ms: wire.log_clock_ms,
        watermark_ms: wire.watermark_ms,
        swept_ms: wire.swept_ms,
        symbols: Symbols::from_wire(wire.symbols),
        symbols_release_at: wire.symbols_release_at,
        identities: wire.identities.into(),
        deliveries: wire.deliveries.into(),
        devices: wire.devices.into(),
        rollups: wire.rollups.into_rollups(origin),
        ledger,
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
