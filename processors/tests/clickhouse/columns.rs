//! Every column that is written comes back as it was, edge values included.

use schemas::rows::{COORDINATE_UNKNOWN_E7, DeadLetterRows, DeviceRows, MeasurementRows, Rows, TextColumn};

use crate::rig::{Database, Snapshot};

fn texts(values: &[&str]) -> TextColumn {
    let mut column = TextColumn::default();
    for value in values {
        column.push(value);
    }
    column
}

#[tokio::test]
async fn measurements_come_back_as_they_were() {
    let database = Database::migrated("columns_measurements").await;
    database
        .insert_measurements(MeasurementRows {
            tenant: texts(&["acme", "acme"]),
            metric: texts(&["temperature", "position"]),
            device: texts(&["d-1", "d:2"]),
            ts_ms: vec![1_767_225_600_123, 0],
            value: vec![-0.1, 1.0],
            latitude_e7: vec![377_749_001, COORDINATE_UNKNOWN_E7],
            longitude_e7: vec![-1_224_194_003, COORDINATE_UNKNOWN_E7],
            cell: vec![0x0892_8308_280f_ffff, 0],
            seq: vec![u64::MAX, 0],
            received_at_ms: vec![1_767_225_600_500, 86_400_000],
            device_ts_ms: vec![4_000_000_000_000, 0],
            clock_suspect: vec![1, 0],
            altitude_m: vec![-1.5, f32::NAN],
            speed_mps: vec![2.5, f32::NAN],
            heading_deg: vec![359.5, f32::NAN],
            accuracy_m: vec![0.25, f32::NAN],
            partition: vec![u16::MAX, 0],
            offset: vec![u64::MAX, 0],
        })
        .await;
    let sql = "SELECT tenant, device, metric, ts, value, lat = 377749001 / 1e7, lon = -1224194003 / 1e7, cell, seq, \
        received_at, device_ts, clock_suspect, alt, speed_mps, heading_deg, accuracy_m, partition, offset \
        FROM measurements WHERE device = 'd-1'";
    assert_eq!(
        database.text(sql).await,
        "acme\td-1\ttemperature\t2026-01-01 00:00:00.123\t-0.1\t1\t1\t617700169958293503\t18446744073709551615\t\
         2026-01-01 00:00:00.500\t2096-10-02 07:06:40.000\t1\t-1.5\t2.5\t359.5\t0.25\t65535\t18446744073709551615"
    );
    let sql = "SELECT metric, ts, value, lat, lon, cell, seq, received_at, device_ts, clock_suspect, alt, accuracy_m, \
        partition, offset FROM measurements WHERE device = 'd:2'";
    assert_eq!(
        database.text(sql).await,
        "position\t1970-01-01 00:00:00.000\t1\tnan\tnan\t0\t0\t1970-01-02 00:00:00.000\t1970-01-01 00:00:00.000\t0\t\
         nan\tnan\t0\t0"
    );
}

#[tokio::test]
async fn coordinates_in_sql_are_the_doubles_that_rust_computes() {
    let database = Database::migrated("columns_coordinates").await;
    let latitudes: Vec<i32> = (0..2_000).map(|step| -900_000_000 + step * 900_013).collect();
    let mut rows = crate::rig::measurements(2_000);
    rows.latitude_e7.clone_from(&latitudes);
    rows.longitude_e7 = latitudes.iter().map(|latitude| latitude * 2 - 1).collect();
    let longitudes = rows.longitude_e7.clone();
    database.insert_measurements(rows).await;
    let read: Vec<(f64, f64)> = database
        .client
        .query("SELECT lat, lon FROM measurements ORDER BY ts")
        .fetch_all()
        .await
        .unwrap();
    for ((latitude, longitude), read) in latitudes.iter().zip(longitudes).zip(read) {
        assert_eq!(read, (f64::from(*latitude) / 1e7, f64::from(longitude) / 1e7));
    }
}

#[tokio::test]
async fn rollups_come_back_as_they_were() {
    let database = Database::migrated("columns_rollups").await;
    let snapshot = Snapshot {
        metric: "humidity",
        bucket: 0,
        cell: u64::MAX,
        partition: u16::MAX,
        generation: u64::MAX,
        version: u64::MAX,
        count: 6,
        sum: -2.5,
        min: -1e300,
        max: 1e300,
        bins: vec![(-24_000, 1), (0, 2), (23_999, 3)],
        hashes: vec![0, 1, u32::MAX],
    };
    database.insert_rollups(&[snapshot]).await;
    assert_eq!(
        database.text("SELECT * EXCEPT (avg, p50, p90, p99) FROM rollups").await,
        "acme\thumidity\t3600\t9\t1970-01-01 00:00:00\t18446744073709551615\t6\t-2.5\t-1e300\t1e300\t3\t\
         [-24000,0,23999]\t[1,2,3]\t[0,1,4294967295]"
    );
    assert_eq!(
        database
            .text("SELECT partition, generation, version FROM rollup_log")
            .await,
        "65535\t18446744073709551615\t18446744073709551615"
    );
}

fn device(partition: u16, version: u64, ts_ms: i64, attribute: &str) -> DeviceRows {
    DeviceRows {
        tenant: texts(&["acme"]),
        device: texts(&["d-1"]),
        partition: vec![partition],
        version: vec![version],
        ts_ms: vec![ts_ms],
        received_at_ms: vec![ts_ms + 7],
        latitude_e7: vec![377_749_000],
        longitude_e7: vec![COORDINATE_UNKNOWN_E7],
        cell: vec![9],
        seq: vec![version],
        clock_suspect: vec![1],
        clock_claim_count: vec![9],
        clock_skew_ms: vec![-7],
        clock_future_count: vec![2],
        clock_past_count: vec![1],
        clock_seen_at_ms: vec![1_767_225_600_000],
        broker: texts(&["edge-1"]),
        metric_ends: vec![2],
        metric_names: texts(&["humidity", "temperature"]),
        metric_values: vec![40.5, -1.5],
        attribute_ends: vec![1],
        attribute_names: texts(&["firmware"]),
        attribute_values: texts(&[attribute]),
    }
}

#[tokio::test]
async fn a_device_shows_its_newest_event_over_all_partitions() {
    let database = Database::migrated("columns_devices").await;
    let state = |partition, version, ts_ms, attribute| Rows {
        devices: device(partition, version, ts_ms, attribute),
        ..Rows::default()
    };
    for rows in [
        state(0, 5, 1_000, "newest version of 0"),
        state(0, 4, 9_000, "older version of 0"),
        state(1, 1, 2_000, "newest time"),
        state(2, 9, 500, "oldest time"),
    ] {
        database.insert(rows).await;
    }
    assert_eq!(
        database.text("SELECT * FROM devices").await,
        "acme\td-1\t1970-01-01 00:00:02.000\t1970-01-01 00:00:02.007\t37.7749\tnan\t9\t1\t1\tedge-1\t\
         {'humidity':40.5,'temperature':-1.5}\t{'firmware':'newest time'}"
    );
}

#[tokio::test]
async fn dead_letters_keep_any_bytes_and_appear_once() {
    let database = Database::migrated("columns_dead_letters").await;
    let mut payload = TextColumn::default();
    payload.push(b"\xff\x00\n\n{");
    let letters = DeadLetterRows {
        id: texts(&["1-2"]),
        received_at_ms: vec![1_767_225_600_123],
        stage: texts(&["ingest"]),
        reason: texts(&["invalid_json"]),
        detail: texts(&["unexpected end"]),
        broker: texts(&["edge-1"]),
        topic: texts(&["telemetry/acme/d-1"]),
        payload,
        replay_of: texts(&["1-1"]),
        replay_count: vec![2],
        first_received_at_ms: vec![1_767_225_500_000],
        partition: vec![1],
        offset: vec![2],
    };
    let mut redelivered = letters.clone();
    redelivered.received_at_ms = vec![1_777_225_600_123];
    for dead_letters in [letters.clone(), letters, redelivered] {
        database
            .insert(Rows {
                dead_letters,
                ..Rows::default()
            })
            .await;
    }
    let sql = "SELECT id, stage, reason, detail, broker, topic, hex(payload), partition, offset, replay_of, replay_count, first_received_at FROM dead_letters";
    assert_eq!(
        database.text(sql).await,
        "1-2\tingest\tinvalid_json\tunexpected end\tedge-1\ttelemetry/acme/d-1\tFF000A0A7B\t1\t2\t1-1\t2\t2025-12-31 23:58:20.000"
    );
}
