//! Live streams at scale: what a client costs, how long an event takes from its publication to every screen, and whether
//! all screens end with what ClickHouse has.
//!
//! The subject is the real `meridian up` with everything embedded. Clients come first, then a device publishes its own
//! clock as the value of one hexagon after the other; with `agg=max` each delta says when its newest event was sent. Not a
//! load on the pipeline: rates are those of `end_to_end`. Run: `cargo xtask bench live [clients [seconds]]`.
//!
//! Must never report a latency of a run in which a screen was wrong in the end: it fails instead.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    dead_code,
    reason = "a benchmark reports by printing, may fail loudly, and uses half of what tests have"
)]

#[path = "../../tests/embedded/device.rs"]
mod device;
#[path = "../../tests/embedded/stream.rs"]
mod stream;

use std::{
    collections::BTreeMap,
    env, fs,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clickhouse::{Client, Row};
use rig::Daemon;
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, sleep, sleep_until},
};

use crate::{
    device::{Publish, Version, publish},
    stream::{SHOWN_MAX, Stream, open},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_meridian");
const READY_MAX: Duration = Duration::from_secs(60);

/// Hexagons that change, and events a second: each changes about every two seconds.
const HEXAGONS: u64 = 200;
const EVENTS_PER_SECOND: u64 = 100;
/// Events published together.
const EVENTS_TOGETHER: u64 = 10;
/// Clients that connect side by side: a backlog of sockets is not what is measured.
const OPENING_MAX: usize = 64;

/// Buckets of a minute are flushed every second.
const VIEW: &str = "metric=sent&period=60&res=7&agg=max";
/// All is measured within one of them.
const SECONDS_MAX: u64 = 45;

fn main() {
    let numbers: Vec<u64> = env::args()
        .skip(1)
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let clients = numbers.first().copied().unwrap_or(5_000);
    let seconds = numbers.get(1).copied().unwrap_or(30).min(SECONDS_MAX);
    tokio::runtime::Runtime::new().unwrap().block_on(run(clients, seconds));
}

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

async fn run(clients: u64, seconds: u64) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let ports = ["--mqtt-port", "--clickhouse-port", "--http-port", "--metrics-port"];
    let ports = ports.into_iter().flat_map(|port| [port, "0"]);
    let mut up = Daemon::command(PROGRAM)
        .args(["up", "--data-dir", "data"])
        .args(ports)
        .current_dir(folder.path())
        .start()
        .unwrap();
    let endpoints = folder.path().join("data/endpoints.json");
    up.wait_for_file(&endpoints, READY_MAX).unwrap();
    let endpoints: Value = serde_json::from_slice(&fs::read(endpoints).unwrap()).unwrap();
    let address = |name: &str| endpoints[name].as_str().unwrap().to_owned();

    // Everything is in place before it is counted what a client adds.
    publish(&address("mqtt"), Version::V5, events(0..HEXAGONS)).await;
    let url = Arc::new(format!("{}/api/v1/live?{VIEW}", address("http")));
    let mut first = open(&url).await;
    first
        .until("the first events", |stream| stream.total() == HEXAGONS)
        .await;
    let before = up.rss_bytes().unwrap();
    let (opened, mut all_open) = watch::channel(0_u64);
    let opened = Arc::new(opened);
    let (total, published) = watch::channel(None);
    let turns = Arc::new(Semaphore::new(OPENING_MAX));
    let mut tasks = Vec::new();
    for _ in 0..clients {
        let (url, opened, turns, published) = (url.clone(), opened.clone(), turns.clone(), published.clone());
        tasks.push(tokio::spawn(async move {
            let turn = turns.acquire().await.unwrap();
            let mut stream = open(&url).await;
            stream.next().await.unwrap();
            drop(turn);
            opened.send_modify(|count| *count += 1);
            follow(stream, published).await
        }));
    }
    all_open.wait_for(|count| *count == clients).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let after = up.rss_bytes().unwrap();
    println!("{clients} clients, {EVENTS_PER_SECOND} events a second on {HEXAGONS} hexagons for {seconds} s");
    println!(
        "memory of a client that reads: {:.1} KiB",
        after.saturating_sub(before) as f64 / clients as f64 / 1_024.0
    );

    // From the beginning of a minute on: then it ends within it.
    sleep(Duration::from_millis(61_000 - now_ms() % 60_000)).await;
    let started = Instant::now();
    let mut sent = HEXAGONS;
    while started.elapsed() < Duration::from_secs(seconds) {
        publish(&address("mqtt"), Version::V5, events(sent..sent + EVENTS_TOGETHER)).await;
        sent += EVENTS_TOGETHER;
        let due = (sent - HEXAGONS) * 1_000 / EVENTS_PER_SECOND;
        sleep_until(started + Duration::from_millis(due)).await;
    }
    total.send_replace(Some(sent - HEXAGONS));
    let mut latencies = Vec::new();
    let mut screens = Vec::new();
    for task in tasks {
        let (stream, of_client) = task.await.unwrap();
        latencies.extend(of_client);
        screens.push(stream.shown);
    }
    let stored = stored(&address("clickhouse")).await;
    let wrong = screens.iter().filter(|shown| **shown != stored).count();
    assert_eq!(wrong, 0, "{wrong} of {clients} screens are not what ClickHouse has");
    latencies.sort_unstable();
    let quantile = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    println!(
        "{sent} events published, {} hexagons changed on screens",
        latencies.len()
    );
    println!(
        "from publishing to a screen: p50 {} ms, p99 {} ms, longest {} ms",
        quantile(0.5),
        quantile(0.99),
        quantile(1.0)
    );
    println!(
        "all screens are what ClickHouse has; memory in the end {} MiB",
        up.rss_bytes().unwrap() >> 20
    );
    drop(screens);
    up.interrupt().unwrap();
}

/// Events with the time of sending as their value, one hexagon after the other.
fn events(numbers: std::ops::Range<u64>) -> Vec<Publish> {
    let event = |number: u64| {
        let hexagon = number % HEXAGONS;
        let (latitude, longitude) = (45.0 + (hexagon / 20) as f64 / 10.0, 9.0 + (hexagon % 20) as f64 / 10.0);
        let payload = format!(
            r#"{{"seq":{number},"lat":{latitude},"lon":{longitude},"sent":{}}}"#,
            now_ms()
        );
        Publish::new(&format!("telemetry/bench/device-{hexagon}"), payload)
    };
    numbers.map(event).collect()
}

/// Reads until everything that was published is shown; returns how old each change was on arrival.
async fn follow(mut stream: Stream, published: watch::Receiver<Option<u64>>) -> (Stream, Vec<u32>) {
    let mut latencies = Vec::new();
    let mut last = Instant::now();
    while published.borrow().is_none_or(|total| stream.total() != total) {
        let Ok(event) = tokio::time::timeout(Duration::from_secs(1), stream.next()).await else {
            assert!(
                published.borrow().is_none() || last.elapsed() < SHOWN_MAX,
                "all events are shown"
            );
            continue;
        };
        last = Instant::now();
        let (event, now) = (event.expect("the stream stays open"), now_ms() as f64);
        if event.name == "delta" {
            let values = event.data["values"].as_array().unwrap();
            latencies.extend(
                values
                    .iter()
                    .map(|value| (now - value.as_f64().unwrap()).max(0.0) as u32),
            );
        }
    }
    (stream, latencies)
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
            "SELECT lower(hex(cell)) AS name, max, count FROM rollups WHERE metric = 'sent' AND period = 60 AND res = 7 \
             AND bucket = (SELECT max(bucket) FROM rollups WHERE metric = 'sent' AND period = 60)",
        )
        .fetch_all()
        .await
        .unwrap();
    let name = |cell: &Cell| cell.name.trim_start_matches('0').to_owned();
    cells.iter().map(|cell| (name(cell), (cell.max, cell.count))).collect()
}
