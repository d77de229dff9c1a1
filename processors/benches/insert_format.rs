//! Which format brings measurements into ClickHouse fastest: RowBinary or Arrow, plain or compressed.
//!
//! Runs against the embedded engine over its HTTP interface, 200,000 rows an INSERT, in the shape and order of a flush
//! of a busy instance (20,000 devices, four metrics, twelve partitions). Formats take turns, so that what disturbs one
//! disturbs all. Run: `cargo bench -p processors --bench insert_format`.
//!
//! Must never become part of the product: RowBinary lives here only, for comparison.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark reports on standard output"
)]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use clickhouse::{Client, Compression};
use embedded::clickhouse::{ClickHouseConfig, ClickHouseServer};
use processors::{
    migrate::{MigrateOptions, migrate},
    sink::INSERT_SETTINGS,
};
use schemas::{
    arrow::{Table, TableBatches, encode_tables},
    rows::{MeasurementRows, Rows},
};

const ROWS: u32 = 200_000;
const ROUNDS: u32 = 9;
const DEVICES: u32 = 20_000;
const METRICS: [&str; 4] = ["temperature", "humidity", "battery_voltage", "signal_dbm"];

#[derive(Clone, Copy)]
enum Format {
    RowBinary,
    ArrowStream,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run());
}

async fn run() {
    let folder = tempfile::tempdir().unwrap();
    let server = ClickHouseServer::start(ClickHouseConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        data_dir: folder.path().to_owned(),
        library: None,
        user: None,
    });
    let server = server.await.unwrap_or_else(|error| panic!("{error}"));
    let mut client = Client::default().with_url(server.url());
    for (name, value) in INSERT_SETTINGS {
        client = client.with_setting(name, value);
    }
    println!(
        "ClickHouse {}, {ROWS} rows an INSERT, median of {ROUNDS}",
        server.version()
    );
    println!("format           bytes/row  encode ms  insert ms  rows/s (both)");
    let candidates = [
        ("RowBinary", Format::RowBinary, Compression::None),
        ("RowBinary+LZ4", Format::RowBinary, Compression::Lz4),
        ("ArrowStream", Format::ArrowStream, Compression::None),
        ("ArrowStream+LZ4", Format::ArrowStream, Compression::Lz4),
    ];
    let mut samples = vec![Vec::new(); candidates.len()];
    let mut sizes = vec![0; candidates.len()];
    for (name, ..) in candidates {
        let database = database_of(name);
        migrate(
            &client,
            &MigrateOptions {
                database,
                ..MigrateOptions::default()
            },
        )
        .await
        .unwrap();
    }
    for round in 0..=ROUNDS {
        for (index, (name, format, compression)) in candidates.into_iter().enumerate() {
            let rows = rows(round);
            let client = client.clone().with_compression(compression);
            let (encoding, inserting, size) = measure(&client, &database_of(name), format, rows).await;
            sizes[index] = size;
            // The first round warms the server up.
            if round > 0 {
                samples[index].push((encoding, inserting));
            }
        }
    }
    for (((name, ..), samples), size) in candidates.into_iter().zip(samples).zip(sizes) {
        report(name, samples, size);
    }
    server.stop(Duration::from_secs(30)).await.unwrap();
}

fn database_of(name: &str) -> String {
    name.replace('+', "_")
}

async fn measure(
    client: &Client,
    database: &str,
    format: Format,
    rows: MeasurementRows,
) -> (Duration, Duration, usize) {
    let begun = Instant::now();
    let (body, format) = match format {
        Format::RowBinary => (Bytes::from(row_binary(&rows)), "RowBinary"),
        Format::ArrowStream => (arrow_stream(rows), "ArrowStream"),
    };
    let encoding = begun.elapsed();
    let size = body.len();
    let begun = Instant::now();
    let columns = Table::Measurements.columns();
    let statement = format!("INSERT INTO `{database}`.measurement_log ({columns}) FORMAT {format}");
    let mut insert = client.insert_formatted_with(statement);
    let mut rest = body;
    while !rest.is_empty() {
        insert.send(rest.split_to(rest.len().min(1024 * 1024))).await.unwrap();
    }
    insert.end().await.unwrap();
    (encoding, begun.elapsed(), size)
}

fn report(name: &str, mut samples: Vec<(Duration, Duration)>, size: usize) {
    let middle = samples.len() / 2;
    samples.sort_by_key(|sample| sample.0);
    let encoding = samples[middle].0.as_secs_f64();
    samples.sort_by_key(|sample| sample.1);
    let inserting = samples[middle].1.as_secs_f64();
    println!(
        "{name:<16} {:>9.1}  {:>9.1}  {:>9.1}  {:>13.0}",
        size as f64 / f64::from(ROWS),
        encoding * 1e3,
        inserting * 1e3,
        f64::from(ROWS) / (encoding + inserting)
    );
}

fn arrow_stream(measurements: MeasurementRows) -> Bytes {
    let rows = Rows {
        measurements,
        ..Rows::default()
    };
    let mut encoded = encode_tables(&[TableBatches::from_rows(rows).unwrap()]).unwrap();
    encoded.remove(0).body
}

fn row_binary(rows: &MeasurementRows) -> Vec<u8> {
    let mut body = Vec::with_capacity(rows.ts_ms.len() * 160);
    let texts = rows.tenant.iter().zip(rows.metric.iter()).zip(rows.device.iter());
    for (index, ((tenant, metric), device)) in texts.enumerate() {
        for text in [tenant, metric, device] {
            // One byte of length: names here are short.
            body.push(u8::try_from(text.len()).unwrap());
            body.extend_from_slice(text);
        }
        body.extend_from_slice(&rows.ts_ms[index].to_le_bytes());
        body.extend_from_slice(&rows.value[index].to_le_bytes());
        body.extend_from_slice(&rows.latitude_e7[index].to_le_bytes());
        body.extend_from_slice(&rows.longitude_e7[index].to_le_bytes());
        body.extend_from_slice(&rows.cell[index].to_le_bytes());
        body.extend_from_slice(&rows.seq[index].to_le_bytes());
        body.extend_from_slice(&(rows.received_at_ms[index] - rows.ts_ms[index]).to_le_bytes());
        body.extend_from_slice(&(rows.device_ts_ms[index] - rows.ts_ms[index]).to_le_bytes());
        body.push(rows.clock_suspect[index]);
        body.extend_from_slice(&rows.altitude_m[index].to_le_bytes());
        body.extend_from_slice(&rows.speed_mps[index].to_le_bytes());
        body.extend_from_slice(&rows.heading_deg[index].to_le_bytes());
        body.extend_from_slice(&rows.accuracy_m[index].to_le_bytes());
        body.extend_from_slice(&rows.partition[index].to_le_bytes());
        body.extend_from_slice(&rows.offset[index].to_le_bytes());
    }
    body
}

/// Events in order of arrival, each device heard every ten seconds.
fn rows(round: u32) -> MeasurementRows {
    let mut rows = MeasurementRows::default();
    let events = ROWS / METRICS.len() as u32;
    for event in 0..events {
        let number = round * events + event;
        let device = number.wrapping_mul(7_919) % DEVICES;
        let ts_ms = 1_767_225_600_000 + i64::from(number / DEVICES) * 10_000 + i64::from(number % 977);
        let (step, place) = ((number / DEVICES) as i32, device as i32);
        for (index, metric) in METRICS.into_iter().enumerate() {
            rows.tenant.push("acme");
            rows.metric.push(metric);
            rows.device.push(format!("device-{device:06}"));
            rows.ts_ms.push(ts_ms);
            rows.value
                .push(f64::from((number.wrapping_mul(31) + index as u32) % 1_000) / 10.0);
            rows.latitude_e7.push(377_000_000 + place * 971 + step * 137);
            rows.longitude_e7.push(-1_224_000_000 + place * 577 + step * 91);
            rows.cell.push(0x0892_8308_0000_ffff + u64::from(device / 20) * 0x10000);
            rows.seq.push(u64::from(number / DEVICES));
            rows.received_at_ms.push(ts_ms + 40 + i64::from(number % 60));
            rows.device_ts_ms.push(ts_ms);
            rows.clock_suspect.push(0);
            rows.altitude_m.push(f32::NAN);
            rows.speed_mps.push((number % 300) as f32 / 10.0);
            rows.heading_deg.push((number % 360) as f32);
            rows.accuracy_m.push(5.0);
            rows.partition.push((device % 12) as u16);
            rows.offset.push(u64::from(number / 12));
        }
    }
    rows
}
