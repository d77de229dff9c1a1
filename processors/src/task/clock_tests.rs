//! Bad clocks are told of, and move nobody else's data.

use eventlog::{RecordBatch, RecordBatchBuilder};
use schemas::{Replay, record::EVENTS_TOPIC, rows::Rows};

use super::{
    Due, Task, TaskStats,
    tests::{NOW_MS, Received, batch, new_task, partition, received, texts},
};

const YEARS_MS: i64 = 10 * 365 * 86_400_000;

/// Two good devices and a bad one, taking turns. The bad clock is off by this.
fn traffic(off_ms: i64) -> Vec<Received> {
    (0..900)
        .map(|index| {
            let now_ms = NOW_MS + index * 1_000;
            let (device, claimed_ms) = match index % 3 {
                0 => ("bus", now_ms - 40),
                1 => ("tram", now_ms - 90_000),
                _ => ("bad", now_ms + off_ms),
            };
            Received {
                received_at_ms: now_ms,
                ..received(
                    device,
                    &format!(r#"{{"ts":{claimed_ms},"seq":{index},"lat":52.5,"lon":13.4,"{device}":{index}}}"#),
                )
            }
        })
        .collect()
}

/// The same records in the same places, without those of one device.
fn without(records: &RecordBatch, device: &str) -> RecordBatch {
    let mut builder = RecordBatchBuilder::new(partition(EVENTS_TOPIC));
    let key = format!("acme/{device}");
    for record in records.iter().filter(|record| record.key != key.as_bytes()) {
        builder.push(record.offset, record.timestamp_ms, record.key, record.value, []);
    }
    builder.finish()
}

fn apply(records: &RecordBatch) -> (Rows, TaskStats) {
    let mut task = new_task();
    task.apply(records);
    let mut rows = Rows::default();
    task.collect(Due::All, &mut rows);
    (rows, task.stats())
}

/// Rollup rows of the good devices, in no order: metrics are named as their devices.
fn rollups_of_neighbours(rows: &Rows) -> Vec<String> {
    let rollups = &rows.rollups;
    let metrics = texts(&rollups.metric);
    let mut found: Vec<String> = (0..metrics.len())
        .filter(|row| metrics[*row] != "bad")
        .map(|row| {
            format!(
                "{} {} {} {} {} {} {} {} {} {}",
                metrics[row],
                rollups.period_seconds[row],
                rollups.resolution[row],
                rollups.bucket_seconds[row],
                rollups.cell[row],
                rollups.generation[row],
                rollups.version[row],
                rollups.count[row],
                rollups.sum[row],
                rollups.max[row]
            )
        })
        .collect();
    found.sort();
    found
}

#[test]
fn a_clock_ten_years_off_moves_neither_watermark_nor_rollups_of_its_neighbours() {
    for off_ms in [YEARS_MS, -YEARS_MS, 61_000, i64::MAX / 4] {
        // Ends with a good device, so that the last receipt is the same in both.
        let mut messages = traffic(off_ms.min(4_294_967_295_000 - NOW_MS - 1_000_000));
        messages.pop();
        let all = batch(0, &messages);
        let (with_it, with_stats) = apply(&all);
        let (without_it, without_stats) = apply(&without(&all, "bad"));
        assert!(with_it.measurements.offset.len() > without_it.measurements.offset.len());
        assert_eq!(
            rollups_of_neighbours(&with_it),
            rollups_of_neighbours(&without_it),
            "{off_ms}"
        );
        let behind_ms = without_stats.log_clock_ms - without_stats.watermark_ms;
        let moved_ms = with_stats.watermark_ms - without_stats.watermark_ms;
        // A clock that is ahead is taken for the time of receipt, which is a second newer at most.
        assert!(
            (0..=1_000).contains(&moved_ms) && behind_ms < 12_000,
            "{off_ms}: {moved_ms}"
        );
    }
}

#[test]
fn the_row_of_a_device_tells_how_good_its_clock_is_also_after_a_restart() {
    let messages = traffic(-YEARS_MS);
    let (first, second) = messages.split_at(450);
    let mut task = new_task();
    task.apply(&batch(0, first));
    task.collect(Due::All, &mut Rows::default());
    let state = task.checkpoint();
    let mut task = Task::restore(partition(EVENTS_TOPIC), &state).unwrap();
    assert_eq!(task.checkpoint(), state, "a checkpoint holds all of it");
    task.apply(&batch(450, second));
    let mut rows = Rows::default();
    task.collect(Due::All, &mut rows);
    let devices = texts(&rows.devices.device);
    for (device, skew_ms, past_count) in [("bad", YEARS_MS, 300), ("bus", 40, 0), ("tram", 90_000, 0)] {
        let row = devices.iter().position(|name| name == device).unwrap();
        assert_eq!(rows.devices.clock_claim_count[row], 300, "{device}");
        assert_eq!(rows.devices.clock_skew_ms[row], skew_ms, "{device}");
        assert_eq!(rows.devices.clock_past_count[row], past_count, "{device}");
        assert_eq!(rows.devices.clock_future_count[row], 0, "{device}");
    }
}

#[test]
fn only_what_a_device_claims_itself_says_something_of_its_clock() {
    let replayed = Received {
        replay: Replay::new("run-1", 1, NOW_MS - YEARS_MS),
        ..received("bus", r#"{"ts":1400000000000,"a":1}"#)
    };
    let (rows, _) = apply(&batch(0, &[received("bus", r#"{"a":1}"#), replayed]));
    assert_eq!(rows.devices.clock_claim_count, [0]);
    assert_eq!(rows.devices.clock_seen_at_ms, [0]);
}

/// Six events of a clock that is 90 s fast, as they are received at this time.
fn fast(received_at_ms: i64) -> Vec<Received> {
    let message = |seq: i64| Received {
        received_at_ms,
        ..received(
            "bus",
            &format!(r#"{{"ts":{},"seq":{seq},"a":{seq}}}"#, NOW_MS + 90_000 + seq),
        )
    };
    (0..6).map(message).collect()
}

#[test]
fn what_comes_again_is_a_repetition_though_its_time_is_judged_differently() {
    // What is more than 60 s ahead is not believed; later, or by a clock of ours that was set since, it is, and it is not.
    for (first_ms, again_ms) in [(NOW_MS, NOW_MS + 60_000), (NOW_MS + 60_000, NOW_MS)] {
        let messages = [fast(first_ms), fast(again_ms)].concat();
        let (rows, stats) = apply(&batch(0, &messages));
        assert_eq!(rows.measurements.offset.len(), 6, "{first_ms} {again_ms}");
        assert_eq!((stats.duplicates, stats.restarts), (6, 0), "{first_ms} {again_ms}");
    }
    // A device that starts again, its clock right by then, is another matter.
    let started_again = Received {
        received_at_ms: NOW_MS + 60_000,
        ..received("bus", &format!(r#"{{"ts":{},"seq":0,"a":7}}"#, NOW_MS + 60_000))
    };
    let (rows, stats) = apply(&batch(0, &[fast(NOW_MS), vec![started_again]].concat()));
    assert_eq!((rows.measurements.offset.len(), stats.restarts), (7, 1));
}
