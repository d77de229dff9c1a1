//! When levels, checkpoints and idle flushes are due.

use std::collections::BTreeMap;

use eventlog::{PartitionId, TopicPartition};

use super::*;
use crate::{
    checkpoint::CheckpointNumber,
    metrics::PartitionLedger,
    runner::{
        ownership::{Episode, Owned},
        pool::WorkerId,
    },
};

fn place() -> TopicPartition {
    TopicPartition {
        topic: "t".into(),
        partition: PartitionId(0),
    }
}

/// Owns one partition that has records in no checkpoint since `durable_at`.
fn ownership(handed_offset: u64, durable_at: Instant) -> Ownership {
    let mut ownership = Ownership::default();
    let owned = Owned {
        worker: WorkerId(0),
        handed_offset,
        durable_offset: 0,
        reach: 1_000,
        inherited_reach: 0,
        stride: 10,
        wanted_offset: 0,
        durable_at,
        next_number: CheckpointNumber(1),
        episode: Episode::default(),
        ledger: PartitionLedger::new(&place()),
    };
    ownership.insert(place(), owned);
    ownership
}

/// The default levels: three of each of 1 s, 5 s, 10 s.
fn schedule(now: Instant) -> Schedule {
    Schedule::new(&ProcessSettings::default(), now)
}

const NOTHING: (usize, usize) = (0, 0);

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[test]
fn nothing_is_flushed_when_nothing_came() {
    let start = Instant::now();
    let schedule = schedule(start);
    let ownership = ownership(0, start);
    for seconds in [1, 60, 3_600] {
        assert_eq!(schedule.plan(start + ms(seconds * 1_000), NOTHING, &ownership), None);
    }
    assert!(!schedule.is_waiting(&ownership));
}

#[test]
fn each_level_is_flushed_at_its_own_interval() {
    let start = Instant::now();
    let mut schedule = schedule(start);
    let ownership = ownership(1, start + ms(3_600_000));
    let mut masks = Vec::new();
    for tick in 1..=100 {
        let now = start + ms(tick * 100);
        schedule.on_records(now);
        if let Some(plan) = schedule.plan(now, NOTHING, &ownership) {
            assert!(!plan.everything && plan.checkpoints.is_empty());
            masks.push(plan.levels);
            schedule.on_flush(now, &plan);
        }
    }
    let (fine, middle, coarse) = (0b111, 0b111_000, 0b111_000_000);
    let expected = [
        fine,
        fine,
        fine,
        fine,
        fine | middle,
        fine,
        fine,
        fine,
        fine,
        fine | middle | coarse,
    ];
    assert_eq!(masks, expected);
}

#[test]
fn all_is_flushed_once_it_is_quiet() {
    let start = Instant::now();
    let mut schedule = schedule(start);
    let ownership = ownership(1, start);
    let last_record = start + ms(10_000);
    schedule.on_records(last_record);
    let plan = CollectPlan {
        levels: 0b111,
        ..CollectPlan::default()
    };
    schedule.on_flush(last_record, &plan);
    assert_eq!(schedule.plan(last_record + ms(499), NOTHING, &ownership), None);
    let plan = schedule.plan(last_record + ms(500), NOTHING, &ownership).unwrap();
    assert!(plan.everything);
    assert_eq!(plan.checkpoints, BTreeMap::from([(place(), 1_000)]));
}

#[test]
fn rows_or_bytes_that_press_are_flushed_at_once() {
    let start = Instant::now();
    let mut schedule = schedule(start);
    let ownership = ownership(1, start);
    schedule.on_records(start);
    assert_eq!(schedule.plan(start, (limits::FLUSH_ROWS - 1, 0), &ownership), None);
    for pressure in [(limits::FLUSH_ROWS, 0), (0, limits::FLUSH_BYTES)] {
        let plan = schedule.plan(start, pressure, &ownership).unwrap();
        assert_eq!(plan, CollectPlan::default(), "measurements only: no level is due yet");
    }
}

#[test]
fn records_beyond_the_reach_make_a_checkpoint_due_at_once() {
    let start = Instant::now();
    let mut schedule = schedule(start);
    let mut ownership = ownership(7, start);
    schedule.on_records(start);
    assert_eq!(schedule.plan(start, NOTHING, &ownership), None);
    ownership.get_mut(&place()).unwrap().wanted_offset = 1_001;
    let plan = schedule.plan(start, NOTHING, &ownership).unwrap();
    assert_eq!(plan.checkpoints, BTreeMap::from([(place(), 1_001)]));
    assert!(schedule.is_waiting(&ownership));
}

#[test]
fn a_busy_partition_is_checkpointed_at_the_interval() {
    let start = Instant::now();
    let mut schedule = schedule(start);
    let ownership = ownership(1, start);
    for (after_ms, is_due) in [(9_999, false), (10_000, true)] {
        let now = start + ms(after_ms);
        schedule.on_records(now);
        let plan = schedule.plan(now, NOTHING, &ownership).unwrap();
        assert_eq!(!plan.checkpoints.is_empty(), is_due, "after {after_ms} ms");
    }
}
