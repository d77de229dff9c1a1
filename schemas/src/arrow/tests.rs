//! Rows survive the Arrow stream.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::io::Cursor;

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{Float64Type, Int16Type, Int64Type, TimestampMillisecondType, UInt32Type, UInt64Type},
    ipc::reader::StreamReader,
};

use super::*;
use crate::rows::{
    COORDINATE_UNKNOWN_E7, DeadLetterRows, DeviceRows, ListColumn, MeasurementRows, RollupRows, TextColumn,
};

fn texts(values: &[&str]) -> TextColumn {
    let mut column = TextColumn::default();
    for value in values {
        column.push(value);
    }
    column
}

fn lists<T: Copy>(values: &[&[T]]) -> ListColumn<T> {
    let mut column = ListColumn::default();
    for value in values {
        column.push(value.iter().copied());
    }
    column
}

fn two_measurements(first_offset: u64) -> MeasurementRows {
    MeasurementRows {
        tenant: texts(&["acme", "acme"]),
        metric: texts(&["temperature", "position"]),
        device: texts(&["d1", ""]),
        ts_ms: vec![1_000, i64::MAX],
        value: vec![21.5, f64::NAN],
        latitude_e7: vec![377_749_000, COORDINATE_UNKNOWN_E7],
        longitude_e7: vec![-1_224_194_000, COORDINATE_UNKNOWN_E7],
        cell: vec![u64::MAX, 0],
        seq: vec![42, 0],
        received_at_ms: vec![1_250, i64::MIN],
        device_ts_ms: vec![1_000, 7],
        clock_suspect: vec![0, 1],
        altitude_m: vec![1.5, f32::NAN],
        speed_mps: vec![2.5, f32::NAN],
        heading_deg: vec![3.5, f32::NAN],
        accuracy_m: vec![4.5, f32::NAN],
        partition: vec![3, u16::MAX],
        offset: vec![first_offset, first_offset + 1],
    }
}

fn read(body: &Bytes) -> Vec<RecordBatch> {
    let reader = StreamReader::try_new(Cursor::new(body), None).unwrap();
    reader.collect::<Result<_, _>>().unwrap()
}

#[test]
fn measurements_come_back_from_the_stream_as_they_went_in() {
    let rows = Rows {
        measurements: two_measurements(8),
        ..Rows::default()
    };
    let encoded = encode_tables(&[TableBatches::from_rows(rows).unwrap()]).unwrap();
    assert_eq!(encoded.len(), 1, "tables without rows have no entry");
    assert_eq!((encoded[0].table, encoded[0].row_count), (Table::Measurements, 2));

    let batches = read(&encoded[0].body);
    assert_eq!(batches.len(), 1);
    let column = |name: &str| batches[0].column_by_name(name).unwrap();
    assert_eq!(column("tenant").as_binary::<i32>().value(1), b"acme");
    assert_eq!(column("metric").as_binary::<i32>().value(0), b"temperature");
    assert_eq!(column("device").as_binary::<i32>().value(1), b"");
    assert_eq!(
        column("ts").as_primitive::<TimestampMillisecondType>().values(),
        &[1_000, i64::MAX]
    );
    assert!(column("value").as_primitive::<Float64Type>().value(1).is_nan());
    assert_eq!(column("offset").as_primitive::<UInt64Type>().values(), &[8, 9]);
    let lag = column("received_lag_ms").as_primitive::<Int64Type>();
    assert_eq!(lag.value(0), 250);
    assert_eq!(
        i64::MAX.wrapping_add(lag.value(1)),
        i64::MIN,
        "distances are exact even at the edge"
    );
}

#[test]
fn shares_of_several_workers_become_batches_of_one_stream() {
    let share = |first_offset| {
        TableBatches::from_rows(Rows {
            measurements: two_measurements(first_offset),
            ..Rows::default()
        })
    };
    let encoded = encode_tables(&[share(0).unwrap(), TableBatches::default(), share(2).unwrap()]).unwrap();
    assert_eq!(encoded[0].row_count, 4);
    let offsets: Vec<u64> = read(&encoded[0].body)
        .iter()
        .flat_map(|batch| batch["offset"].as_primitive::<UInt64Type>().values().to_vec())
        .collect();
    assert_eq!(offsets, [0, 1, 2, 3]);
}

#[test]
fn lists_keep_their_borders_including_empty_ones() {
    let rows = RollupRows {
        tenant: texts(&["a", "b"]),
        metric: texts(&["m", "m"]),
        period_seconds: vec![60, 86_400],
        resolution: vec![9, 5],
        bucket_seconds: vec![0, u32::MAX],
        cell: vec![1, 2],
        partition: vec![0, 1],
        generation: vec![5, 6],
        version: vec![7, 8],
        count: vec![3, 0],
        sum: vec![1.0, 0.0],
        min: vec![-1.0, f64::INFINITY],
        max: vec![1.0, f64::NEG_INFINITY],
        bin_keys: lists(&[&[-24_000, 0, 24_000], &[]]),
        bin_counts: lists(&[&[1, 1, u64::MAX], &[]]),
        device_hashes: lists(&[&[0, u32::MAX], &[]]),
    };
    let batch = rollup_batch(rows).unwrap();
    let body = encode_stream(Table::Rollups, &[&batch]).unwrap();
    let back = &read(&body)[0];
    assert_eq!(back, &batch);
    let keys = back["bin_keys"].as_list::<i32>();
    assert_eq!(
        keys.value(0).as_primitive::<Int16Type>().values(),
        &[-24_000, 0, 24_000]
    );
    assert!(keys.value(1).is_empty());
    let hashes = back["device_hashes"].as_list::<i32>();
    assert_eq!(hashes.value(0).as_primitive::<UInt32Type>().values(), &[0, u32::MAX]);
}

#[test]
fn maps_and_payloads_keep_any_bytes() {
    let devices = DeviceRows {
        tenant: texts(&["acme", "acme"]),
        device: texts(&["d1", "d2"]),
        partition: vec![0, 0],
        version: vec![1, 2],
        ts_ms: vec![1, 2],
        received_at_ms: vec![3, 4],
        latitude_e7: vec![0, 1],
        longitude_e7: vec![0, 1],
        cell: vec![0, 1],
        seq: vec![0, 1],
        clock_suspect: vec![0, 1],
        clock_claim_count: vec![9; 2],
        clock_skew_ms: vec![-7; 2],
        clock_future_count: vec![2; 2],
        clock_past_count: vec![1; 2],
        clock_seen_at_ms: vec![1_767_225_600_000; 2],
        broker: texts(&["edge", "edge"]),
        metric_ends: vec![2, 2],
        metric_names: texts(&["t", "h"]),
        metric_values: vec![1.0, 2.0],
        attribute_ends: vec![0, 1],
        attribute_names: texts(&["fw"]),
        attribute_values: texts(&["1.2"]),
    };
    let batch = device_batch(devices).unwrap();
    let body = encode_stream(Table::Devices, &[&batch]).unwrap();
    let back = &read(&body)[0];
    assert_eq!(back, &batch);
    let names = back["metric_names"].as_list::<i32>().value(0);
    assert_eq!(
        names.as_binary::<i32>().iter().collect::<Vec<_>>(),
        [Some(&b"t"[..]), Some(b"h")]
    );
    assert!(back["metric_values"].as_list::<i32>().value(1).is_empty());

    let mut payload = TextColumn::default();
    payload.push(b"\xff\x00\n\n");
    let letters = DeadLetterRows {
        id: texts(&["1"]),
        received_at_ms: vec![5],
        stage: texts(&["ingest"]),
        reason: texts(&["invalid_json"]),
        detail: texts(&["bad"]),
        broker: texts(&["edge"]),
        topic: texts(&["telemetry/a/b"]),
        payload,
        replay_of: texts(&["0"]),
        replay_count: vec![2],
        first_received_at_ms: vec![1_767_225_500_000],
        partition: vec![0],
        offset: vec![1],
    };
    let batch = dead_letter_batch(letters).unwrap();
    let body = encode_stream(Table::DeadLetters, &[&batch]).unwrap();
    assert_eq!(read(&body)[0]["payload"].as_binary::<i32>().value(0), b"\xff\x00\n\n");
}

#[test]
fn columns_of_different_lengths_are_refused() {
    let mut rows = two_measurements(0);
    rows.value.pop();
    assert!(measurement_batch(rows).is_err());

    let mut rows = two_measurements(0);
    rows.tenant.ends[1] = 1;
    assert!(measurement_batch(rows).is_err(), "ends must rise");
}

#[test]
fn a_batch_of_another_table_is_refused() {
    let batch = measurement_batch(two_measurements(0)).unwrap();
    assert!(encode_stream(Table::Rollups, &[&batch]).is_err());
}
