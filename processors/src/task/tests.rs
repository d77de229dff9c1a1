//! The promises of a task, each by its smallest example, over real records.

use std::sync::Arc;

use eventlog::{PartitionId, RecordBatch, RecordBatchBuilder, TopicPartition};
use proptest::prelude::*;
use schemas::{
    DeliveryMark, Event, Receipt, Replay, payload,
    record::{self, DEAD_LETTERS_TOPIC, EVENTS_TOPIC},
    rows::{COORDINATE_UNKNOWN_E7, Rows},
};

use super::{Due, Parameters, Task};

pub(super) const NOW_MS: i64 = 1_790_000_000_000;

pub(super) fn partition(topic: &str) -> TopicPartition {
    TopicPartition {
        topic: Arc::from(topic),
        partition: PartitionId(2),
    }
}

/// A record as ingest makes it: device, payload, and how it was received.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) device: &'static str,
    pub(super) payload: String,
    pub(super) received_at_ms: i64,
    pub(super) mark: DeliveryMark,
    pub(super) replay: Option<Replay<'static>>,
}

pub(super) fn received(device: &'static str, payload: &str) -> Received {
    let mark = DeliveryMark {
        packet_id: 1,
        redelivered: false,
        run: 1,
        number: 0,
        index: 0,
    };
    Received {
        device,
        payload: payload.to_owned(),
        received_at_ms: NOW_MS,
        mark,
        replay: None,
    }
}

pub(super) fn batch(first_offset: u64, messages: &[Received]) -> RecordBatch {
    let mut builder = RecordBatchBuilder::new(partition(EVENTS_TOPIC));
    for (index, message) in messages.iter().enumerate() {
        let receipt = Receipt {
            tenant: "acme",
            device: message.device,
            broker: "edge",
            received_at_ms: message.received_at_ms,
            delivery: message.mark,
            replay: message.replay.as_ref(),
        };
        let reading = payload::decode_json(message.payload.as_bytes())
            .expect("payloads here are good")
            .remove(0);
        let mut value = Vec::new();
        record::encode(&Event::new(reading, receipt, 60_000), &mut value);
        let key = record::key("acme", message.device);
        builder.push(
            first_offset + index as u64,
            message.received_at_ms,
            key.as_bytes(),
            &value,
            [],
        );
    }
    builder.finish()
}

pub(super) fn new_task() -> Task {
    Task::new(partition(EVENTS_TOPIC), 0, 0, &Parameters::default())
}

fn run(messages: &[Received]) -> (Rows, Task) {
    let mut task = new_task();
    task.apply(&batch(0, messages));
    let mut rows = Rows::default();
    task.collect(Due::All, &mut rows);
    (rows, task)
}

pub(super) fn texts(column: &schemas::rows::TextColumn) -> Vec<String> {
    column
        .iter()
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect()
}

#[test]
fn an_event_becomes_a_row_for_each_metric_and_a_snapshot_for_each_level() {
    let (rows, task) = run(&[received(
        "bus",
        r#"{"ts":1789999990000,"seq":1,"lat":52.5,"lon":13.4,"a":1,"b":2}"#,
    )]);
    assert_eq!(texts(&rows.measurements.metric), ["a", "b"]);
    assert_eq!(rows.measurements.value, [1.0, 2.0]);
    assert_eq!(rows.measurements.latitude_e7, [525_000_000, 525_000_000]);
    assert_eq!(rows.counts(), [2, 18, 1, 0, 1]);
    assert_eq!((task.next_offset(), task.stats().measurements), (1, 2));
}

#[test]
fn a_position_alone_is_one_row_of_metric_position() {
    let (rows, _) = run(&[received("bus", r#"{"lat":52.5,"lon":13.4}"#)]);
    assert_eq!(
        (texts(&rows.measurements.metric), rows.measurements.value),
        (vec!["position".to_owned()], vec![1.0])
    );
}

#[test]
fn an_event_without_position_stands_where_the_device_was_last() {
    let messages = [
        received("bus", r#"{"seq":1,"a":1}"#),
        received("bus", r#"{"seq":2,"ts":1789999980000,"lat":1,"lon":2,"a":2}"#),
        received("bus", r#"{"seq":3,"ts":1789999970000,"lat":3,"lon":4,"a":3}"#),
        received("bus", r#"{"seq":4,"a":4}"#),
        received("tram", r#"{"seq":1,"a":5}"#),
    ];
    let (rows, _) = run(&messages);
    let expected = [
        COORDINATE_UNKNOWN_E7,
        10_000_000,
        30_000_000,
        10_000_000,
        COORDINATE_UNKNOWN_E7,
    ];
    assert_eq!(rows.measurements.latitude_e7, expected);
    assert_eq!(rows.measurements.cell[0], 0);
    assert_eq!(rows.measurements.cell[1], rows.measurements.cell[3]);
}

#[test]
fn repeated_events_count_once_by_seq_or_by_time_and_content() {
    let messages = [
        received("bus", r#"{"seq":7,"ts":1789999980000,"a":1}"#),
        received("bus", r#"{"seq":7,"ts":1789999980000,"a":1}"#),
        received("tram", r#"{"ts":1789999980000,"a":1}"#),
        received("tram", r#"{"ts":1789999980000,"a":1}"#),
        received("tram", r#"{"ts":1789999980000,"a":2}"#),
        received("bus", r#"{"ts":1789999980000,"a":1}"#),
    ];
    let (rows, task) = run(&messages);
    assert_eq!(rows.measurements.offset, [0, 2, 4, 5]);
    assert_eq!(task.stats().duplicates, 2);
}

#[test]
fn events_of_one_millisecond_are_told_apart_as_finely_as_they_were_written() {
    let messages = [
        received("bus", r#"{"ts":1789999980000100000,"a":1,"b":2}"#),
        received("bus", r#"{"ts":1789999980000200000,"a":1,"b":2}"#),
        received("bus", r#"{"ts":1789999980000200000,"b":2,"a":1}"#),
        received("bus", r#"{"ts":1789999980000200000,"b":1,"a":2}"#),
    ];
    let (rows, task) = run(&messages);
    assert_eq!(rows.measurements.offset, [0, 0, 1, 1, 3, 3]);
    assert_eq!(task.stats().duplicates, 1);
}

#[test]
fn a_stream_of_counts_without_times_counts_once_when_it_is_sent_twice_and_again_after_a_restart() {
    let messages =
        |value: u32| (0..100).map(move |seq| received("bus", &format!(r#"{{"seq":{seq},"a":{value}{seq}}}"#)));
    let (rows, task) = run(&messages(1).chain(messages(1)).chain(messages(2)).collect::<Vec<_>>());
    assert_eq!(rows.measurements.offset.len(), 200);
    assert_eq!((task.stats().duplicates, task.stats().restarts), (100, 1));
}

#[test]
fn without_seq_and_time_only_a_redelivery_is_a_repetition() {
    let delivery = |packet_id, redelivered, number, received_at_ms| Received {
        mark: DeliveryMark {
            packet_id,
            redelivered,
            run: 1,
            number,
            index: 0,
        },
        received_at_ms,
        ..received("bus", r#"{"a":1}"#)
    };
    let messages = [
        delivery(1, false, 0, NOW_MS),
        delivery(2, false, 1, NOW_MS),     // another message that says the same: counts
        delivery(1, true, 0, NOW_MS + 50), // the broker sends the first one again: does not
        delivery(9, true, 1, NOW_MS + 50), // again, says the broker, but it never came to us: counts
        delivery(2, false, 1, NOW_MS),     // the very same record, sent to the log twice: does not
    ];
    let (rows, _) = run(&messages);
    assert_eq!(rows.measurements.offset, [0, 1, 3]);
}

#[test]
fn a_record_that_is_no_event_costs_one_dead_letter_and_its_neighbours_nothing() {
    let good = batch(0, &[received("bus", r#"{"seq":1,"a":1}"#)]);
    let mut builder = RecordBatchBuilder::new(partition(EVENTS_TOPIC));
    builder.push(1, NOW_MS, b"acme/bus", b"not an event", []);
    let foreign_key = good.iter().next().expect("one record").value;
    builder.push(2, NOW_MS, b"other/bus", foreign_key, []);
    let mut task = new_task();
    task.apply(&good);
    task.apply(&builder.finish());
    task.apply(&batch(3, &[received("bus", r#"{"seq":2,"a":2}"#)]));
    let mut rows = Rows::default();
    task.collect(Due::All, &mut rows);
    assert_eq!(rows.measurements.offset, [0, 3]);
    assert_eq!(texts(&rows.dead_letters.reason), ["invalid_record", "invalid_record"]);
    assert_eq!(
        texts(&rows.dead_letters.id),
        ["meridian.events.v1/2-1", "meridian.events.v1/2-2"]
    );
}

#[test]
fn one_fast_clock_moves_no_watermark() {
    let (_, task) = run(&[
        received("fast", r#"{"ts":1890000000000,"a":1}"#),
        received("bus", r#"{"ts":1789999990000,"a":1}"#),
    ]);
    assert_eq!(task.stats().watermark_ms, NOW_MS - 10_000);
}

#[test]
fn dead_letters_become_rows_and_their_redeliveries_do_not() {
    let letter = |id: &str, redelivered| schemas::DeadLetter {
        id: id.to_owned().into(),
        reason: schemas::Reason::InvalidJson,
        detail: "x".into(),
        stage: schemas::Stage::Ingest,
        topic: "telemetry/a/b".into(),
        broker: "edge".into(),
        received_at_ms: NOW_MS,
        packet_id: 5,
        redelivered,
        replay: None,
        payload: b"oops".as_slice().into(),
    };
    let mut builder = RecordBatchBuilder::new(partition(DEAD_LETTERS_TOPIC));
    for (offset, (id, redelivered)) in [("1", false), ("2", true), ("3", false)].into_iter().enumerate() {
        let headers = letter(id, redelivered).headers();
        let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        builder.push(offset as u64, NOW_MS, b"telemetry/a/b", b"oops", headers);
    }
    builder.push(3, NOW_MS, b"k", b"foreign", []);
    let mut task = Task::new(partition(DEAD_LETTERS_TOPIC), 0, 0, &Parameters::default());
    task.apply(&builder.finish());
    let mut rows = Rows::default();
    task.collect(Due::All, &mut rows);
    assert_eq!(texts(&rows.dead_letters.id), ["1", "3", "meridian.dead-letters.v1/2-3"]);
    let restored = Task::restore(partition(DEAD_LETTERS_TOPIC), &task.checkpoint()).expect("own checkpoint");
    assert_eq!(restored.next_offset(), 4);
}

#[test]
fn a_checkpoint_of_another_partition_or_of_noise_is_refused() {
    let bytes = new_task().checkpoint();
    let other = TopicPartition {
        partition: PartitionId(3),
        ..partition(EVENTS_TOPIC)
    };
    assert!(matches!(
        Task::restore(other, &bytes),
        Err(super::RestoreError::Misplaced { .. })
    ));
    assert!(matches!(
        Task::restore(partition(EVENTS_TOPIC), b"noise"),
        Err(super::RestoreError::Malformed(_))
    ));
}

#[test]
fn other_parameters_wait_for_a_checkpoint_at_their_offset() {
    let mut other = Parameters::default();
    other.rollup.levels.truncate(1);
    let mut task = new_task();
    assert!(!task.propose_parameters(&Parameters::default(), 2));
    assert!(task.propose_parameters(&other, 2));
    let mut levels_after = |first_offset, seq: u64| {
        task.apply(&batch(
            first_offset,
            &[received("bus", &format!(r#"{{"seq":{seq},"lat":1,"lon":2,"a":1}}"#))],
        ));
        let mut rows = Rows::default();
        task.collect(Due::All, &mut rows);
        let _ = task.checkpoint();
        rows.rollups.count.len()
    };
    assert_eq!(levels_after(0, 1), 9, "before the offset");
    assert_eq!(
        levels_after(1, 2),
        9,
        "collected before the checkpoint that changes them"
    );
    assert_eq!(levels_after(2, 3), 1, "after it");
}

fn any_message() -> impl Strategy<Value = Received> {
    let devices = prop_oneof![Just("a"), Just("b"), Just("c")];
    let seq = proptest::option::of(0..40u64);
    let place = proptest::option::of((0..4i32, 0..4i32));
    (devices, seq, 0..7_200i64, place, -9..9i32, 0..30_000i64, any::<bool>()).prop_map(
        |(device, seq, age_seconds, place, value, later_ms, timed)| {
            let mut payload = format!(r#"{{"v":{value}"#);
            if let Some(seq) = seq {
                payload += &format!(r#","seq":{seq}"#);
            }
            if timed {
                payload += &format!(r#","ts":{}"#, NOW_MS - age_seconds * 1_000);
            }
            if let Some((lat, lon)) = place {
                payload += &format!(r#","lat":{lat},"lon":{lon}"#);
            }
            Received {
                received_at_ms: NOW_MS + later_ms,
                ..received(device, &(payload + "}"))
            }
        },
    )
}

proptest! {
    /// Purity: wherever flushes and checkpoints fall, and however often it crashes, the state ends the same, byte by
    /// byte.
    #[test]
    fn the_same_records_give_the_same_state(
        messages in proptest::collection::vec(any_message(), 1..120), cuts in proptest::collection::vec(0..120usize, 0..8),
    ) {
        let (_, mut straight) = run(&messages);
        let mut task = new_task();
        let mut saved = task.checkpoint();
        for (offset, _) in messages.iter().enumerate() {
            if cuts.contains(&offset) {
                let mut rows = Rows::default();
                if offset % 2 == 0 {
                    task.collect(Due::All, &mut rows);
                    saved = task.checkpoint();
                } else {
                    task.collect(Due::Levels(offset as u32), &mut rows);
                    task = Task::restore(partition(EVENTS_TOPIC), &saved).expect("own checkpoint");
                    let from = task.next_offset();
                    task.apply(&batch(from, &messages[from as usize..offset]));
                }
            }
            task.apply(&batch(offset as u64, &messages[offset..=offset]));
        }
        task.collect(Due::All, &mut Rows::default());
        prop_assert!(task.checkpoint() == straight.checkpoint());
    }
}

/// All rows of the ledger, column by column as they matter here.
fn ledger_of(rows: &Rows) -> Vec<[u64; 7]> {
    let rows = &rows.ledger;
    (0..rows.chunk.len())
        .map(|index| {
            [
                rows.chunk[index],
                rows.first_offset[index],
                rows.last_offset[index],
                rows.records[index],
                rows.events[index],
                rows.duplicates[index],
                rows.measurements[index],
            ]
        })
        .collect()
}

#[test]
fn the_ledger_counts_what_became_of_every_record_chunk_by_chunk() {
    let event = |seq: u64| {
        let payload = format!(
            r#"{{"ts":{},"seq":{seq},"a":1,"b":2}}"#,
            1_789_999_990_000 + seq * 1_000
        );
        received("bus", &payload)
    };
    let chunk = crate::limits::LEDGER_CHUNK_RECORDS;
    let mut task = Task::new(partition(EVENTS_TOPIC), chunk - 2, 0, &Parameters::default());
    task.apply(&batch(chunk - 2, &[event(1), event(2), event(3), event(2)]));
    let mut rows = Rows::default();
    task.collect(Due::Levels(u32::MAX), &mut rows);
    assert!(ledger_of(&rows).is_empty(), "not everything it counts was written");
    task.collect(Due::All, &mut rows);
    assert_eq!(
        ledger_of(&rows),
        [[0, chunk - 2, chunk - 1, 2, 2, 0, 4], [1, chunk, chunk + 1, 2, 1, 1, 2]]
    );
    assert_eq!(rows.ledger.version, rows.ledger.last_offset);
    assert_eq!(
        (rows.ledger.ts_min_ms[0], rows.ledger.ts_max_ms[0]),
        (1_789_999_991_000, 1_789_999_992_000)
    );
    let mut again = Rows::default();
    task.collect(Due::All, &mut again);
    assert!(
        ledger_of(&again).is_empty(),
        "what has not changed is not written again"
    );
}

#[test]
fn a_restored_task_goes_on_with_the_same_books() {
    let events: Vec<Received> = (0..20)
        .map(|seq| {
            received(
                "bus",
                &format!(r#"{{"ts":{},"seq":{seq},"a":{seq}}}"#, 1_789_999_990_000_u64 + seq),
            )
        })
        .collect();
    let (straight, _) = run(&events);
    let mut task = new_task();
    task.apply(&batch(0, &events[..7]));
    task.collect(Due::All, &mut Rows::default());
    let mut task = Task::restore(partition(EVENTS_TOPIC), &task.checkpoint()).unwrap();
    task.apply(&batch(7, &events[7..]));
    let mut rows = Rows::default();
    task.collect(Due::All, &mut rows);
    assert_eq!(rows.ledger, straight.ledger);
    assert_ne!(rows.ledger.checksum, [0]);
}

#[test]
fn a_record_that_is_no_event_is_a_dead_letter_in_the_books() {
    let mut builder = RecordBatchBuilder::new(partition(EVENTS_TOPIC));
    builder.push(0, NOW_MS, b"acme/bus", b"no event", []);
    let mut task = new_task();
    task.apply(&builder.finish());
    let mut rows = Rows::default();
    task.collect(Due::All, &mut rows);
    assert_eq!(ledger_of(&rows), [[0, 0, 0, 1, 0, 0, 0]]);
    assert_eq!(rows.ledger.dead_letters, [1]);
}

#[test]
fn a_device_that_stands_still_has_a_cell_of_the_base_resolution_that_is_in_force() {
    let mut coarse = Parameters {
        base_resolution: 7,
        ..Parameters::default()
    };
    coarse.rollup.levels.retain(|level| level.resolution <= 7);
    let mut task = Task::new(partition(EVENTS_TOPIC), 0, 0, &coarse);
    let placed = received("bus", r#"{"seq":1,"lat":52.5,"lon":13.4,"a":1}"#);
    task.apply(&batch(0, std::slice::from_ref(&placed)));
    task.collect(Due::All, &mut Rows::default());
    let fine = Parameters::default();
    let mut task = Task::restore(partition(EVENTS_TOPIC), &task.checkpoint()).unwrap();
    task.propose_parameters(&fine, 1);
    let mut task = Task::restore(partition(EVENTS_TOPIC), &task.checkpoint()).unwrap();
    let stands_still = received("bus", r#"{"seq":2,"lat":52.5,"lon":13.4,"a":2}"#);
    let says_no_place = received("bus", r#"{"seq":3,"a":3}"#);
    task.apply(&batch(1, &[stands_still, says_no_place]));
    let mut rows = Rows::default();
    task.collect(Due::All, &mut rows);
    let resolution = |cell: &u64| u8::from(h3o::CellIndex::try_from(*cell).unwrap().resolution());
    assert_eq!(
        rows.measurements.cell.iter().map(resolution).collect::<Vec<_>>(),
        [fine.base_resolution; 2]
    );
}
