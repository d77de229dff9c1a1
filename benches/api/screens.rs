//! Live streams beside the load: how old what they show is, and whether they end with what ClickHouse has.
//!
//! As in the benchmark `live`: a device publishes its own clock as the value of one hexagon after the other, and with
//! `agg=max` each delta says when its newest event was sent.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use clickhouse::{Client, Row};
use serde::Deserialize;
use tokio::{
    sync::Mutex,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    Addresses,
    device::{Publish, Version, publish},
    stream::{Stream, open},
};

const SCREENS: usize = 50;
const HEXAGONS: u64 = 100;
const TOGETHER: u64 = 10;
const PAUSE: Duration = Duration::from_millis(200);
/// Buckets of a minute are flushed every second.
const VIEW: &str = "metric=sent&tenant=bench&period=60&res=7&agg=max";
/// The device falls silent this far into a minute, and everything is shown long before its end.
const SILENT_FROM_MS: u64 = 5_000;
const SETTLED_MAX: Duration = Duration::from_secs(45);

/// What each screen shows: values and counts by hexagon.
type Shows = Mutex<Vec<BTreeMap<String, (f64, u64)>>>;

/// Open streams, and a device that is still publishing.
pub(crate) struct Screens {
    shown: Arc<Shows>,
    latencies: Arc<std::sync::Mutex<Vec<u32>>>,
    device: JoinHandle<()>,
}

/// How old changes were when they were shown.
pub(crate) struct Shown {
    p50_ms: u32,
    pub(crate) p99_ms: u32,
    count: usize,
}

impl fmt::Display for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50_ms, p99_ms, count } = self;
        write!(formatter, "live p50 {p50_ms} ms, p99 {p99_ms} ms of {count} changes")
    }
}

fn now_ms() -> u64 {
    u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap()
}

impl Screens {
    pub(crate) async fn open(addresses: &Arc<Addresses>) -> Self {
        let shown = Arc::new(Mutex::new(vec![BTreeMap::new(); SCREENS]));
        let latencies = Arc::new(std::sync::Mutex::new(Vec::new()));
        let url = Arc::new(format!("{}/api/v1/live?{VIEW}", addresses.http));
        for number in 0..SCREENS {
            let stream = open(&url).await;
            tokio::spawn(follow(stream, number, shown.clone(), latencies.clone()));
        }
        let device = tokio::spawn(report(addresses.mqtt.clone()));
        sleep(Duration::from_secs(5)).await;
        Self {
            shown,
            latencies,
            device,
        }
    }

    pub(crate) async fn measure(&self, time: Duration) -> Shown {
        self.latencies.lock().unwrap().clear();
        sleep(time).await;
        let mut latencies = std::mem::take(&mut *self.latencies.lock().unwrap());
        latencies.sort_unstable();
        assert!(!latencies.is_empty(), "nothing was shown");
        let quantile = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
        Shown {
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            count: latencies.len(),
        }
    }

    /// Once the device is silent, all screens become what ClickHouse has.
    pub(crate) async fn check(self, addresses: &Addresses) {
        sleep(Duration::from_millis(60_000 + SILENT_FROM_MS - now_ms() % 60_000)).await;
        self.device.abort();
        let started = Instant::now();
        loop {
            sleep(Duration::from_secs(2)).await;
            let stored = stored(&addresses.clickhouse).await;
            let shown = self.shown.lock().await;
            let wrong = shown.iter().filter(|shown| **shown != stored).count();
            if wrong == 0 && !stored.is_empty() {
                println!(
                    "all {SCREENS} screens end with what ClickHouse has, {} hexagons",
                    stored.len()
                );
                return;
            }
            assert!(
                started.elapsed() < SETTLED_MAX,
                "{wrong} screens are not what ClickHouse has"
            );
        }
    }
}

async fn report(mqtt: String) {
    let started = Instant::now();
    for round in 0.. {
        let first = u64::from(round) * TOGETHER;
        let event = |number: u64| {
            let hexagon = number % HEXAGONS;
            let (latitude, longitude) = (45.0 + (hexagon / 20) as f64 / 10.0, 9.0 + (hexagon % 20) as f64 / 10.0);
            let payload = format!(
                r#"{{"seq":{number},"lat":{latitude},"lon":{longitude},"sent":{}}}"#,
                now_ms()
            );
            Publish::new(&format!("telemetry/bench/device-{hexagon}"), payload)
        };
        publish(&mqtt, Version::V5, (first..first + TOGETHER).map(event).collect()).await;
        sleep_until(started + PAUSE * round).await;
    }
}

async fn follow(mut stream: Stream, number: usize, shown: Arc<Shows>, latencies: Arc<std::sync::Mutex<Vec<u32>>>) {
    // One that ends too early is not what ClickHouse has in the end.
    while let Some(event) = stream.next().await {
        let now = now_ms() as f64;
        if event.name == "delta" {
            let values = event.data["values"].as_array().unwrap();
            let ages = values
                .iter()
                .map(|value| (now - value.as_f64().unwrap()).max(0.0) as u32);
            latencies.lock().unwrap().extend(ages);
        }
        shown.lock().await[number].clone_from(&stream.shown);
    }
}

#[derive(Row, Deserialize)]
struct Cell {
    name: String,
    max: f64,
    count: u64,
}

async fn stored(url: &str) -> BTreeMap<String, (f64, u64)> {
    let client = Client::default().with_url(url).with_database("meridian");
    let cells: Vec<Cell> = client
        .query_raw(
            "SELECT lower(hex(cell)) AS name, max, count FROM rollups WHERE tenant = 'bench' AND metric = 'sent' \
             AND period = 60 AND res = 7 \
             AND bucket = (SELECT max(bucket) FROM rollups WHERE tenant = 'bench' AND metric = 'sent' AND period = 60)",
        )
        .fetch_all()
        .await
        .unwrap();
    let name = |cell: &Cell| cell.name.trim_start_matches('0').to_owned();
    cells.iter().map(|cell| (name(cell), (cell.max, cell.count))).collect()
}
