//! The query API under load: what keeping answers is worth, whether many analysts are served from it, and what a spike does
//! to live streams.
//!
//! The subject is the real `meridian up --demo` with everything embedded, all in one run and under the load of its fleet:
//! hexagons asked again and again, then each time in a new box, then the same query sent to ClickHouse itself; 200 analysts
//! who pan and zoom; ten times as many for a minute, beside live streams. Run: `cargo xtask bench api [seconds]`.
//!
//! Must never report figures of a run in which a screen was wrong, an answer from memory was not what ClickHouse says, or a
//! request failed otherwise than by being told to come back: it fails instead. Whether rates and ratios are good enough is
//! said beside them.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    dead_code,
    reason = "a benchmark reports by printing, may fail loudly, and uses half of what tests have"
)]

mod analyst;
mod client;
#[path = "../../tests/embedded/device.rs"]
mod device;
mod screens;
mod straight;
#[path = "../../tests/embedded/stream.rs"]
mod stream;

use std::{
    env, fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rig::Daemon;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    analyst::Crowd,
    client::{Connection, Counts},
    screens::Screens,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_meridian");
const READY_MAX: Duration = Duration::from_secs(60);

/// What the fleet does before anything is measured: some minutes are over then, which history can be asked of.
const FLEET_ALONE: Duration = Duration::from_secs(180);

/// Clients of one kind that ask without a pause.
const CONNECTIONS: usize = 16;

const ANALYSTS: usize = 200;
const SPIKE: usize = 10;
const SPIKE_TIME: Duration = Duration::from_secs(60);

/// What the same query has to be slower by, and how many answers have to come from memory.
const WARM_FACTOR: f64 = 20.0;
const HIT_RATIO: f64 = 0.85;
const SPIKE_FACTOR: f64 = 2.0;

/// Addresses of what is measured.
pub(crate) struct Addresses {
    pub(crate) http: String,
    pub(crate) clickhouse: String,
    pub(crate) mqtt: String,
    metrics: String,
}

fn main() {
    let seconds = env::args().skip(1).find_map(|argument| argument.parse().ok());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(run(Duration::from_secs(seconds.unwrap_or(10))));
}

async fn run(time: Duration) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let ports = ["--mqtt-port", "--clickhouse-port", "--http-port", "--metrics-port"];
    let mut up = Daemon::command(PROGRAM)
        .args(["up", "--demo", "--data-dir", "data"])
        .args(ports.into_iter().flat_map(|port| [port, "0"]))
        .current_dir(folder.path())
        .start()
        .unwrap();
    let endpoints = folder.path().join("data/endpoints.json");
    up.wait_for_file(&endpoints, READY_MAX).unwrap();
    let endpoints: Value = serde_json::from_slice(&fs::read(endpoints).unwrap()).unwrap();
    let address = |name: &str| endpoints[name].as_str().unwrap().to_owned();
    let addresses = Arc::new(Addresses {
        http: address("http"),
        clickhouse: address("clickhouse"),
        mqtt: address("mqtt"),
        metrics: address("metrics"),
    });
    sleep(FLEET_ALONE).await;
    measure_cells(&addresses, time).await;
    measure_nearby(&addresses, time).await;
    measure_analysts(&addresses, time * 6).await;
    measure_spike(&addresses).await;
    let answers = Answers::read(&addresses.metrics).await;
    println!(
        "of all answers from memory, {} were compared with ClickHouse, {} disagreed",
        answers.inspected, answers.disagreed
    );
    assert_eq!(answers.disagreed, 0.0, "answers from memory were wrong");
    println!("memory in the end {} MiB", up.rss_bytes().unwrap() >> 20);
    up.interrupt().unwrap();
}

/// The rate and the latencies of clients that ask one after the other without a pause.
async fn rate<Q>(name: &str, url: &str, time: Duration, question: Q) -> f64
where
    Q: Fn(u64) -> client::Question + Clone + Send + 'static,
{
    let number = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let (number, question, url) = (number.clone(), question.clone(), url.to_owned());
        clients.push(tokio::spawn(async move {
            let mut connection = Connection::open(&url).await;
            let mut counts = Counts::default();
            while started.elapsed() < time {
                let asked = question(number.fetch_add(1, Ordering::Relaxed));
                connection.ask(&asked, &mut counts).await;
            }
            counts
        }));
    }
    let mut all = Counts::default();
    for client in clients {
        all.add(client.await.unwrap());
    }
    let rate = all.answered() as f64 / started.elapsed().as_secs_f64();
    print!("{name:<42} {rate:>8.1} a second, {}", all.latencies());
    match all.refused() {
        0 => println!(),
        refused => println!(", {refused} told to come back"),
    }
    assert_eq!(all.failed(), 0, "{name}: {all:?}");
    rate
}

async fn measure_cells(addresses: &Addresses, time: Duration) {
    // Over a range that has passed: what the fleet sends meanwhile changes nothing of it.
    let view = straight::View::of_berlin(now_seconds());
    let path = view.path(0);
    let direct = straight::query(&view);
    println!(
        "\nhexagons of {} minutes, {CONNECTIONS} connections:",
        straight::MINUTES
    );
    let first = client::text(&format!("{}{path}", addresses.http)).await;
    let first: Value = serde_json::from_str(&first).unwrap();
    println!("{} hexagons", first["cells"].as_array().unwrap().len());
    let warm = rate("asked again and again", &addresses.http, time, {
        let path = path.clone();
        move |_| client::Question::get(&path)
    })
    .await;
    let tag = client::tag(&format!("{}{path}", addresses.http)).await;
    rate(
        "the same by who has the answer (304)",
        &addresses.http,
        time,
        move |_| client::Question::get(&path).unless(&tag),
    )
    .await;
    let panned = view.clone();
    rate("a new box each time", &addresses.http, time, move |number| {
        client::Question::get(&panned.path(number + 1))
    })
    .await;
    rate("nothing kept", &addresses.http, time, move |number| {
        client::Question::get(&view.cold_path(number))
    })
    .await;
    let straight = rate(
        "the query itself, sent to ClickHouse",
        &addresses.clickhouse,
        time,
        move |_| direct.clone(),
    )
    .await;
    verdict(
        "warm to straight",
        warm / straight,
        WARM_FACTOR,
        warm / straight >= WARM_FACTOR,
    );
}

async fn measure_nearby(addresses: &Addresses, time: Duration) {
    let metrics = client::text(&addresses.metrics).await;
    let (devices, bytes) = (
        value(&metrics, "meridian_positions_held"),
        value(&metrics, "meridian_positions_held_bytes"),
    );
    println!("\nten nearest of {devices} devices, {bytes} bytes for all when they were last counted:");
    rate("from the index", &addresses.http, time, |number| {
        client::Question::get(&straight::nearby_path(number))
    })
    .await;
    rate(
        "the query itself, sent to ClickHouse",
        &addresses.clickhouse,
        time,
        straight::nearby_query,
    )
    .await;
}

async fn measure_analysts(addresses: &Arc<Addresses>, time: Duration) {
    let before = Answers::read(&addresses.metrics).await;
    let counts = Crowd::start(addresses, ANALYSTS).run_for(time).await;
    let answers = Answers::read(&addresses.metrics).await.since(&before);
    println!(
        "\n{ANALYSTS} analysts for {} s: {} answers, {}",
        time.as_secs(),
        counts.total(),
        counts.latencies()
    );
    assert_eq!(counts.failed(), 0, "{counts:?}");
    println!(
        "told to come back {}; from memory {}, shared with who was asking {}, from ClickHouse {}, older ones {}; compared {}, disagreed {}",
        counts.refused(),
        answers.memory,
        answers.shared,
        answers.store,
        answers.stale,
        answers.inspected,
        answers.disagreed
    );
    let hits = answers.hit_ratio();
    verdict(
        "answers without a query of their own",
        hits,
        HIT_RATIO,
        hits >= HIT_RATIO,
    );
}

async fn measure_spike(addresses: &Arc<Addresses>) {
    let screens = Screens::open(addresses).await;
    let calm_crowd = Crowd::start(addresses, ANALYSTS);
    let calm = screens.measure(SPIKE_TIME / 2).await;
    let counts = calm_crowd.stop().await;
    println!("\n{ANALYSTS} analysts: {}; {}", calm, counts.latencies());
    let crowd = Crowd::start(addresses, ANALYSTS * SPIKE);
    let spike = screens.measure(SPIKE_TIME).await;
    let counts = crowd.stop().await;
    println!("{} analysts: {}; {}", ANALYSTS * SPIKE, spike, counts.latencies());
    println!(
        "answered {}, told to come back {}, failed {}",
        counts.answered(),
        counts.refused(),
        counts.failed()
    );
    assert_eq!(counts.failed(), 0, "{counts:?}");
    screens.check(addresses).await;
    let factor = f64::from(spike.p99_ms) / f64::from(calm.p99_ms);
    verdict(
        "live p99 in the spike to calm",
        factor,
        SPIKE_FACTOR,
        factor <= SPIKE_FACTOR,
    );
}

fn verdict(name: &str, value: f64, wanted: f64, is_met: bool) {
    let word = if is_met { "met" } else { "NOT MET" };
    println!("{name}: {value:.2}, wanted {wanted}: {word}");
}

pub(crate) fn now_seconds() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// A number of a page of metrics; 0 where it has not been counted yet.
fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

/// Counters of answers about hexagons.
#[derive(Default)]
struct Answers {
    memory: f64,
    shared: f64,
    store: f64,
    stale: f64,
    inspected: f64,
    disagreed: f64,
}

impl Answers {
    async fn read(url: &str) -> Self {
        let text = client::text(url).await;
        let from = |from: &str| value(&text, &format!("meridian_answers_total{{from=\"{from}\"}}"));
        Self {
            memory: from("memory"),
            shared: from("shared"),
            store: from("store"),
            stale: from("stale"),
            inspected: value(&text, "meridian_answers_inspected_total"),
            disagreed: value(&text, "meridian_answers_disagreed_total"),
        }
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            memory: self.memory - before.memory,
            shared: self.shared - before.shared,
            store: self.store - before.store,
            stale: self.stale - before.stale,
            inspected: self.inspected - before.inspected,
            disagreed: self.disagreed - before.disagreed,
        }
    }

    fn hit_ratio(&self) -> f64 {
        let without = self.memory + self.shared + self.stale;
        without / (without + self.store)
    }
}
