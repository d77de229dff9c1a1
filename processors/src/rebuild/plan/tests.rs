//! What becomes of snapshots, by the smallest examples.

use std::sync::Arc;

use eventlog::{PartitionId, RecordBatchBuilder, TopicPartition};
use schemas::{
    DeliveryMark, Event, Receipt, payload,
    record::{self, EVENTS_TOPIC},
    rows::Rows,
};

use super::*;
use crate::{
    checkpoint::Checkpoint,
    rebuild::store::{measurement, snapshot},
    task::{Due, Parameters, Task},
};

const MINUTE: u32 = 1_789_999_980;
const LEVEL: (u32, u8) = (60, 9);

/// Events of one cell, one at each offset from 0 on, each with its offset as value; what the task has written, and its
/// checkpoint after them.
fn filled(count: u64) -> (Snapshot, LivePartition) {
    let place = TopicPartition {
        topic: Arc::from(EVENTS_TOPIC),
        partition: PartitionId(2),
    };
    let mut builder = RecordBatchBuilder::new(place.clone());
    for offset in 0..count {
        let payload = format!(
            r#"{{"ts":{},"seq":{offset},"v":{offset}}}"#,
            u64::from(MINUTE) * 1_000 + offset
        );
        let receipt = Receipt {
            tenant: "acme",
            device: "bus",
            broker: "edge",
            received_at_ms: i64::from(MINUTE) * 1_000 + 500,
            delivery: DeliveryMark {
                packet_id: 1,
                redelivered: false,
                run: 1,
                number: 0,
                index: 0,
            },
            replay: None,
        };
        let mut value = Vec::new();
        let reading = payload::decode_json(payload.as_bytes()).unwrap().remove(0);
        record::encode(&Event::new(reading, receipt, 60_000), &mut value);
        builder.push(
            offset,
            receipt.received_at_ms,
            record::key("acme", "bus").as_bytes(),
            &value,
            [],
        );
    }
    let mut task = Task::new(place.clone(), 0, 0, &Parameters::default());
    task.apply(&builder.finish());
    let mut rows = Rows::default();
    task.collect(Due::All, &mut rows);
    let checkpoint = Checkpoint {
        offset: task.next_offset(),
        reach: None,
        incarnation: 0,
        state: task.checkpoint(),
    };
    (
        snapshot(&rows.rollups, LEVEL),
        LivePartition::read(place, &checkpoint).unwrap(),
    )
}

/// Nothing goes on: the accumulators were evicted before the checkpoint.
fn nothing_lives(count: u64) -> LivePartition {
    let (_, live) = filled(count);
    live.without_accumulators()
}

fn bucket() -> Bucket {
    Bucket {
        tenant: "acme".to_owned(),
        metric: "v".to_owned(),
        bucket_seconds: MINUTE,
    }
}

/// Kind, generation, version and count of every change.
fn plan(live: LivePartition, snapshots: &[Snapshot], offsets: &[u64]) -> Vec<(Kind, u64, u64, u64)> {
    let partitions = BTreeMap::from([(2, live)]);
    let mut plan = BucketPlan::new(LEVEL, bucket(), &partitions);
    snapshots.iter().for_each(|snapshot| plan.snapshot(snapshot.clone()));
    plan.decide_owners();
    for offset in offsets {
        plan.measurement(&measurement(2, *offset, *offset as f64, b"acme/bus"));
    }
    let describe = |change: Change| {
        let accumulator = &change.accumulator;
        (change.kind, accumulator.generation, change.version, accumulator.count)
    };
    plan.finish().0.into_iter().map(describe).collect()
}

#[test]
fn what_the_task_wrote_is_right_to_the_bit() {
    let (written, live) = filled(9);
    assert_eq!(plan(live, &[written], &[0, 1, 2, 3, 4, 5, 6, 7, 8]), []);
}

#[test]
fn a_missing_snapshot_of_an_accumulator_that_goes_on_gets_its_generation_back() {
    let (_, live) = filled(3);
    assert_eq!(plan(live, &[], &[0, 1, 2]), [(Kind::Created, 0, 2, 3)]);
}

#[test]
fn a_wrong_snapshot_is_corrected_under_its_own_version() {
    let (written, live) = filled(3);
    let wrong = Snapshot { count: 4, ..written };
    assert_eq!(plan(live, &[wrong], &[0, 1, 2]), [(Kind::Corrected, 0, 2, 3)]);
}

#[test]
fn whatever_else_claims_events_of_an_accumulator_that_goes_on_is_withdrawn() {
    let (written, live) = filled(3);
    let double = Snapshot {
        generation: 1,
        is_genuine: 1,
        ..written.clone()
    };
    assert_eq!(plan(live, &[written, double], &[0, 1, 2]), [(Kind::Withdrawn, 1, 2, 0)]);
}

#[test]
fn a_snapshot_that_begins_with_no_event_of_its_cell_is_withdrawn() {
    let (written, _) = filled(3);
    let double = Snapshot {
        generation: 100,
        version: 200,
        is_genuine: 0,
        ..written.clone()
    };
    let live = nothing_lives(300);
    assert_eq!(
        plan(live, &[written, double], &[0, 1, 2]),
        [(Kind::Withdrawn, 100, 200, 0)]
    );
}

#[test]
fn events_that_nobody_covers_begin_a_generation_where_a_task_would_have_begun_it() {
    let (written, _) = filled(3);
    let late = Snapshot {
        generation: 7,
        version: 9,
        count: 2,
        sum: 16.0,
        ..written.clone()
    };
    let changes = plan(nothing_lives(20), &[written, late], &[0, 1, 2, 4, 5, 7, 9, 11]);
    // Of the one at 7 the values were made up here, so it is corrected as well.
    assert_eq!(
        changes,
        [
            (Kind::Created, 4, 5, 2),
            (Kind::Corrected, 7, 9, 2),
            (Kind::Created, 11, 11, 1)
        ]
    );
}

#[test]
fn what_a_task_has_written_since_its_checkpoint_is_left_to_it() {
    let (written, live) = filled(3);
    let newer = Snapshot {
        version: 5,
        count: 6,
        ..written.clone()
    };
    assert_eq!(plan(live, &[newer], &[0, 1, 2]), []);
    let begun_later = Snapshot {
        generation: 3,
        version: 5,
        ..written.clone()
    };
    let (_, live) = filled(3);
    assert_eq!(plan(live, &[written, begun_later], &[0, 1, 2]), []);
}

#[test]
fn a_copy_that_ends_before_it_begins_is_withdrawn_wherever_it_begins() {
    let (written, live) = filled(3);
    let copy = Snapshot {
        generation: written.generation + 1_000,
        is_genuine: 0,
        ..written.clone()
    };
    assert_eq!(
        plan(live, &[written, copy], &[0, 1, 2]),
        [(Kind::Withdrawn, 1_000, 2, 0)]
    );
}

#[test]
fn a_withdrawn_snapshot_comes_back_if_its_events_are_there() {
    let (written, _) = filled(3);
    let withdrawn = Snapshot { count: 0, ..written };
    assert_eq!(
        plan(nothing_lives(20), std::slice::from_ref(&withdrawn), &[0, 1, 2]),
        [(Kind::Created, 0, 2, 3)]
    );
    assert_eq!(plan(nothing_lives(20), &[withdrawn], &[]), []);
}
