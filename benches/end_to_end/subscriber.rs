//! What the reference runs between broker and engine: decode, index the place, insert. It acknowledges what it has read,
//! whatever becomes of it.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use clickhouse::{Client, Row};
use h3o::{LatLng, Resolution};
use rumqttc::v5::{
    AsyncClient, Event, Incoming, MqttOptions,
    mqttbytes::{QoS, v5::Publish},
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// First argument of this program when it is to be the subscriber.
pub(crate) const NAME: &str = "subscriber";
/// What it says when it is subscribed.
pub(crate) const READY: &str = "subscribed";
pub(crate) const TABLE: &str = "
    CREATE TABLE plain
    (
        tenant LowCardinality(String), metric LowCardinality(String), device String, ts DateTime64(3, 'UTC'),
        value Float64, lat Float64, lon Float64, cell UInt64, seq UInt64, received_at DateTime64(3, 'UTC'),
        alt Float32, speed_mps Float32, heading_deg Float32, accuracy_m Float32
    )
    ENGINE = MergeTree PARTITION BY toYYYYMMDD(ts) ORDER BY (tenant, metric, device, ts)";

const ROWS_PER_INSERT: usize = 100_000;
/// After this long without a message the rest is inserted.
const IDLE_AFTER: Duration = Duration::from_millis(200);
/// A backlog that no run reaches: the broker should be the one to wait.
const BACKLOG_MESSAGES: usize = 1 << 16;
const PACKET_BYTES_MAX: u32 = 1 << 20;

#[derive(Deserialize)]
struct Reading<'a> {
    ts: i64,
    seq: u64,
    lat: f64,
    lon: f64,
    alt: f32,
    speed_mps: f32,
    heading_deg: f32,
    accuracy_m: f32,
    #[serde(borrow)]
    metrics: HashMap<&'a str, f64>,
}

#[derive(Row, Serialize)]
struct PlainRow {
    tenant: String,
    metric: String,
    device: String,
    ts: i64,
    value: f64,
    lat: f64,
    lon: f64,
    cell: u64,
    seq: u64,
    received_at: i64,
    alt: f32,
    speed_mps: f32,
    heading_deg: f32,
    accuracy_m: f32,
}

/// Runs until it is killed.
pub(crate) async fn run(mqtt: &str, clickhouse: &str) {
    let (host, port) = mqtt.strip_prefix("mqtt://").unwrap().rsplit_once(':').unwrap();
    let mut options = MqttOptions::new("reference", host, port.parse().unwrap());
    options
        .set_keep_alive(Duration::from_secs(30))
        .set_max_packet_size(Some(PACKET_BYTES_MAX));
    let (client, mut events) = AsyncClient::new(options, 16);
    client.subscribe("telemetry/#", QoS::AtLeastOnce).await.unwrap();
    let (messages, inbox) = mpsc::channel(BACKLOG_MESSAGES);
    let (inserts, outbox) = mpsc::channel(4);
    tokio::spawn(decode(inbox, inserts));
    tokio::spawn(insert(
        Client::default().with_url(clickhouse).with_validation(false),
        outbox,
    ));
    loop {
        match events.poll().await.unwrap() {
            Event::Incoming(Incoming::SubAck(_)) => println!("{READY}"),
            Event::Incoming(Incoming::Publish(Publish { topic, payload, .. })) => {
                messages.send((topic, payload)).await.unwrap();
            }
            _ => {}
        }
    }
}

async fn decode(mut inbox: mpsc::Receiver<(Bytes, Bytes)>, inserts: mpsc::Sender<Vec<PlainRow>>) {
    let mut rows = Vec::with_capacity(ROWS_PER_INSERT);
    loop {
        let is_due = match tokio::time::timeout(IDLE_AFTER, inbox.recv()).await {
            Ok(Some((topic, payload))) => {
                add(&topic, &payload, &mut rows);
                rows.len() >= ROWS_PER_INSERT
            }
            Ok(None) => return,
            Err(_) => !rows.is_empty(),
        };
        if is_due {
            let due = std::mem::replace(&mut rows, Vec::with_capacity(ROWS_PER_INSERT));
            inserts.send(due).await.unwrap();
        }
    }
}

fn add(topic: &[u8], payload: &[u8], rows: &mut Vec<PlainRow>) {
    let received_at = i64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let mut names = std::str::from_utf8(topic).unwrap().split('/').skip(1);
    let (tenant, device) = (names.next().unwrap(), names.next().unwrap());
    let readings = if payload.first() == Some(&b'[') {
        serde_json::from_slice::<Vec<Reading<'_>>>(payload).unwrap()
    } else {
        vec![serde_json::from_slice(payload).unwrap()]
    };
    for reading in readings {
        let cell = LatLng::new(reading.lat, reading.lon).unwrap().to_cell(Resolution::Nine);
        rows.extend(reading.metrics.iter().map(|(metric, value)| PlainRow {
            tenant: tenant.to_owned(),
            metric: (*metric).to_owned(),
            device: device.to_owned(),
            ts: reading.ts,
            value: *value,
            lat: reading.lat,
            lon: reading.lon,
            cell: cell.into(),
            seq: reading.seq,
            received_at,
            alt: reading.alt,
            speed_mps: reading.speed_mps,
            heading_deg: reading.heading_deg,
            accuracy_m: reading.accuracy_m,
        }));
    }
}

async fn insert(client: Client, mut outbox: mpsc::Receiver<Vec<PlainRow>>) {
    while let Some(rows) = outbox.recv().await {
        let mut insert = client.insert::<PlainRow>("plain").await.unwrap();
        for row in &rows {
            insert.write(row).await.unwrap();
        }
        insert.end().await.unwrap();
    }
}
