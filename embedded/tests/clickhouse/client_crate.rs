//! The official `clickhouse` crate: what the pipeline itself uses.

use std::{sync::Arc, time::Instant};

use arrow::{
    array::{Float64Array, RecordBatch, StringArray, TimestampMillisecondArray, UInt16Array, UInt64Array},
    datatypes::{DataType, Field, Schema, TimeUnit},
    ipc::writer::StreamWriter,
};
use clickhouse::{Client, Compression, Row, error::Error};
use serde::{Deserialize, Serialize};

use crate::rig::{database, run, server};

fn client(database: &str) -> Client {
    Client::default()
        .with_url(format!("http://{}", server()))
        .with_database(database)
        .with_compression(Compression::Lz4)
}

#[derive(Row, Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Measurement {
    tenant: String,
    metric: String,
    device: String,
    ts: i64,
    value: f64,
    lat: f64,
    lon: f64,
    cell: u64,
    seq: u64,
    partition: u16,
    offset: u64,
}

fn create_measurements(database: &str) {
    run(
        database,
        "CREATE TABLE measurement_log (tenant LowCardinality(String), metric LowCardinality(String), device String,
            ts DateTime64(3, 'UTC'), value Float64, lat Float64, lon Float64, cell UInt64, seq UInt64, partition UInt16,
            offset UInt64)
         ENGINE = ReplacingMergeTree PARTITION BY toYYYYMMDD(ts) PRIMARY KEY (tenant, metric, device, ts)
         ORDER BY (tenant, metric, device, ts, partition, offset)",
    );
}

fn measurement(number: u64) -> Measurement {
    let spread = (number % 20_000) as f64;
    Measurement {
        tenant: "acme".to_owned(),
        metric: if number.is_multiple_of(2) {
            "temperature"
        } else {
            "humidity"
        }
        .to_owned(),
        device: format!("device-{:05}", number % 20_000),
        ts: 1_767_225_600_000 + (number / 20) as i64,
        value: (number % 1000) as f64 / 10.0,
        lat: 37.7 + spread / 1e6,
        lon: -122.4 + spread / 1e6,
        cell: 617_700_169_958_293_503 + number % 5000,
        seq: number / 20_000,
        partition: (number % 12) as u16,
        offset: number / 12,
    }
}

fn arrow_stream(rows: &[Measurement]) -> Vec<u8> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("tenant", DataType::Utf8, false),
        Field::new("metric", DataType::Utf8, false),
        Field::new("device", DataType::Utf8, false),
        Field::new(
            "ts",
            DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            false,
        ),
        Field::new("value", DataType::Float64, false),
        Field::new("lat", DataType::Float64, false),
        Field::new("lon", DataType::Float64, false),
        Field::new("cell", DataType::UInt64, false),
        Field::new("seq", DataType::UInt64, false),
        Field::new("partition", DataType::UInt16, false),
        Field::new("offset", DataType::UInt64, false),
    ]));
    let text = |column: fn(&Measurement) -> &str| Arc::new(StringArray::from_iter_values(rows.iter().map(column)));
    let number = |column: fn(&Measurement) -> u64| Arc::new(UInt64Array::from_iter_values(rows.iter().map(column)));
    let float = |column: fn(&Measurement) -> f64| Arc::new(Float64Array::from_iter_values(rows.iter().map(column)));
    let times = TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.ts)).with_timezone("UTC");
    let batch = RecordBatch::try_new(
        Arc::clone(&schema),
        vec![
            text(|row| &row.tenant),
            text(|row| &row.metric),
            text(|row| &row.device),
            Arc::new(times),
            float(|row| row.value),
            float(|row| row.lat),
            float(|row| row.lon),
            number(|row| row.cell),
            number(|row| row.seq),
            Arc::new(UInt16Array::from_iter_values(rows.iter().map(|row| row.partition))),
            number(|row| row.offset),
        ],
    )
    .unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

const ROWS: u64 = 1_000_000;
const INSERT_ROWS: usize = 100_000;

async fn check_rows(client: &Client) {
    let query = "SELECT count(), uniqExact(partition, offset), sum(seq), round(sum(value)) FROM measurement_log";
    let found: (u64, u64, u64, f64) = client.query(query).fetch_one().await.unwrap();
    let seq: u64 = (0..ROWS).map(|number| number / 20_000).sum();
    let value: f64 = (0..ROWS).map(|number| (number % 1000) as f64 / 10.0).sum();
    assert_eq!(found, (ROWS, ROWS, seq, value.round()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_rows_by_row_binary() {
    let database = database("row_binary_million");
    create_measurements(&database);
    let client = client(&database);
    let rows: Vec<Measurement> = (0..ROWS).map(measurement).collect();
    let started = Instant::now();
    for part in rows.chunks(INSERT_ROWS) {
        let mut insert = client.insert::<Measurement>("measurement_log").await.unwrap();
        for row in part {
            insert.write(row).await.unwrap();
        }
        insert.end().await.unwrap();
    }
    println!(
        "RowBinary: {:.0} rows/s in inserts of {INSERT_ROWS}",
        ROWS as f64 / started.elapsed().as_secs_f64()
    );
    check_rows(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_rows_by_arrow() {
    let database = database("arrow_million");
    create_measurements(&database);
    let rows: Vec<Measurement> = (0..ROWS).map(measurement).collect();
    for (name, compression) in [("plain", Compression::None), ("LZ4", Compression::Lz4)] {
        run(&database, "TRUNCATE TABLE measurement_log");
        let client = client(&database).with_compression(compression);
        let bodies: Vec<Vec<u8>> = rows.chunks(INSERT_ROWS).map(arrow_stream).collect();
        let started = Instant::now();
        for body in bodies {
            let statement = "INSERT INTO measurement_log FORMAT ArrowStream";
            let mut insert = client
                .insert_formatted_with(statement)
                .with_setting("async_insert", "0")
                .with_setting("max_insert_threads", "1")
                .with_setting("optimize_on_insert", "0");
            insert.send(body.into()).await.unwrap();
            insert.end().await.unwrap();
        }
        println!(
            "Arrow, {name}: {:.0} rows/s in inserts of {INSERT_ROWS}",
            ROWS as f64 / started.elapsed().as_secs_f64()
        );
        check_rows(&client).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_back_as_they_went_in() {
    let database = database("crate_rows");
    create_measurements(&database);
    for compression in [Compression::None, Compression::Lz4] {
        run(&database, "TRUNCATE TABLE measurement_log");
        let client = client(&database).with_compression(compression);
        let rows: Vec<Measurement> = (0..1000).map(measurement).collect();
        let mut insert = client.insert::<Measurement>("measurement_log").await.unwrap();
        for row in &rows {
            insert.write(row).await.unwrap();
        }
        insert.end().await.unwrap();
        let query = client.query("SELECT ?fields FROM measurement_log ORDER BY partition, offset");
        let mut found = query.fetch_all::<Measurement>().await.unwrap();
        found.sort_by_key(|row| (row.offset, row.partition));
        assert_eq!(found, rows);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn binds_and_parameters_reach_the_engine() {
    let client = client("default");
    let query = client
        .query("SELECT toUInt64(? + number), ? FROM numbers(?)")
        .bind(40)
        .bind("it's")
        .bind(2);
    assert_eq!(
        query.fetch_all::<(u64, String)>().await.unwrap(),
        [(40, "it's".to_owned()), (41, "it's".to_owned())]
    );
    let query = client
        .query("SELECT toUInt64({a:UInt32} * 2), {s:String}")
        .param("a", 21)
        .param("s", "x'\ty\\");
    assert_eq!(
        query.fetch_one::<(u64, String)>().await.unwrap(),
        (42, "x'\ty\\".to_owned())
    );
    let query = client
        .query("SELECT toUInt64(getSetting('max_block_size'))")
        .with_setting("max_block_size", "99");
    assert_eq!(query.fetch_one::<u64>().await.unwrap(), 99);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_arrive_as_faults_early_and_late() {
    let client = client("default");
    let missing = client.query("SELECT * FROM missing").fetch_one::<u8>().await;
    assert!(
        matches!(&missing, Err(Error::BadResponse(text)) if text.contains("Code: 60.")),
        "{missing:?}"
    );
    for compression in [Compression::None, Compression::Lz4] {
        let client = client.clone().with_compression(compression);
        let query = "SELECT number + throwIf(number = 2000000) FROM numbers(3000000) SETTINGS max_block_size = 10000";
        let late = client.query(query).fetch_all::<u64>().await;
        assert!(
            matches!(&late, Err(Error::BadResponse(text)) if text.contains("Code: 395.")),
            "{compression:?}: {late:?}"
        );
    }
}
