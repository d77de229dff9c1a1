//! How many messages a second one connection takes, beside a bare subscriber of the same client library in the same run.
//!
//! A broker that does nothing but send numbered publishes within a window feeds, in turn, a subscriber that acknowledges
//! at once and discards, and the whole of ingest over a log in memory. CPU time is that of the subscriber alone: the
//! broker's threads count their own and are taken off. Run: `cargo xtask bench ingest [messages]`.
//!
//! Must never be read as the speed of the product: the log of the product is durable, and devices are not one sender.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that fails says so on the terminal"
)]

use std::{
    env, fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use eventlog::{Log, LogConfig, MemoryLog, TopicSpec};
use ingest::{BrokerSettings, Filter, IngestSettings, Ledger, PayloadFormat, Route, Services};
use platform::{clock::SystemClock, health::Health, shutdown::Shutdown};
use rumqttc::v5::{AsyncClient, Event, Incoming, MqttOptions, mqttbytes::QoS};
use schemas::{
    record::{DEAD_LETTERS_TOPIC, EVENTS_TOPIC},
    topic::TopicPattern,
};

/// Messages of one measurement.
const MESSAGES_DEFAULT: u64 = 300_000;
/// The default of `receive_maximum`, and one that hides every latency.
const WINDOWS: [u64; 2] = [1_000, 20_000];
const ROUNDS: usize = 3;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let given = env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let count = given.map_or(MESSAGES_DEFAULT, |text| text.parse().expect("a number of messages"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!(
        "{count} messages of {} bytes, QoS 1, one connection; median of {ROUNDS}",
        payload(0).len()
    );
    println!("window   subscriber           messages/s   CPU us/message   ratio");
    for window in WINDOWS {
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            bare.push(measure(count, window, |url| {
                runtime.block_on(bare_subscriber(url, count));
            }));
            ours.push(measure(count, window, |url| {
                runtime.block_on(whole_ingest(url, window, count));
            }));
        }
        // Neighbours in time, so that what slows the machine slows both.
        let ratios = bare
            .iter()
            .zip(&ours)
            .map(|(bare, ours)| ours.per_second / bare.per_second);
        let ratio = median(ratios.collect());
        for (name, runs, ratio) in [("bare rumqttc", bare, None), ("the whole of ingest", ours, Some(ratio))] {
            println!(
                "{window:<6}   {name:<20} {:>10.0}   {:>14.2}   {}",
                median(runs.iter().map(|run| run.per_second).collect()),
                median(runs.iter().map(|run| run.cpu_us).collect()),
                ratio.map_or_else(|| "1".to_owned(), |ratio| format!("{ratio:.2}")),
            );
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

struct Run {
    /// From the first publish to the last acknowledgement.
    per_second: f64,
    /// CPU time of the subscriber for each message, in microseconds.
    cpu_us: f64,
}

fn measure(count: u64, window: u64, subscriber: impl FnOnce(String)) -> Run {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    let cpu_before = process_cpu();
    let broker = thread::spawn(move || serve(&listener, count, window));
    subscriber(url);
    let (took, broker_cpu) = broker.join().unwrap();
    let cpu = process_cpu() - cpu_before - broker_cpu;
    Run {
        per_second: count as f64 / took.as_secs_f64(),
        cpu_us: cpu.as_secs_f64() * 1e6 / count as f64,
    }
}

/// CPU time of this process so far, ended threads included.
fn process_cpu() -> Duration {
    // The kernel counts in hundredths of a second for everybody.
    const TICK_MS: u64 = 10;
    let statistics = fs::read_to_string("/proc/self/stat").unwrap();
    // The name stands in parentheses and may hold anything; user and system time are the 12th and 13th word after it.
    let (_, rest) = statistics.rsplit_once(')').unwrap();
    let ticks = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|word| word.parse::<u64>().unwrap());
    Duration::from_millis(ticks.sum::<u64>() * TICK_MS)
}

/// CPU time of this thread so far.
fn thread_cpu() -> Duration {
    let statistics = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(statistics.split_whitespace().next().unwrap().parse().unwrap())
}

/// Greets, grants, and sends `count` publishes with at most `window` unacknowledged. Returns how long that took, and the
/// CPU time of the broker.
fn serve(listener: &TcpListener, count: u64, window: u64) -> (Duration, Duration) {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_nodelay(true).unwrap();
    read_packet(&mut stream);
    stream.write_all(&[0x20, 3, 0, 0, 0]).unwrap();
    let subscribe = read_packet(&mut stream);
    stream.write_all(&[0x90, 4, subscribe[0], subscribe[1], 0, 1]).unwrap();
    let acked = Arc::new(AtomicU64::new(0));
    let (reader, counter, sender) = (stream.try_clone().unwrap(), acked.clone(), thread::current());
    let acks = thread::spawn(move || count_acks(reader, count, &counter, &sender));
    let started = Instant::now();
    let mut buffer = Vec::new();
    let mut sent = 0;
    while sent < count {
        let room = window - (sent - acked.load(Ordering::Acquire));
        if room == 0 {
            thread::park();
            continue;
        }
        buffer.clear();
        let next = count.min(sent + room.min(256));
        (sent..next).for_each(|number| write_publish(number, window, &mut buffer));
        sent = next;
        stream.write_all(&buffer).unwrap();
    }
    let acks_cpu = acks.join().unwrap();
    (started.elapsed(), thread_cpu() + acks_cpu)
}

fn write_publish(number: u64, window: u64, out: &mut Vec<u8>) {
    let topic = format!("telemetry/acme/bus-{:03}", number % 500);
    let payload = payload(number);
    let length = 2 + topic.len() + 2 + 1 + payload.len();
    out.push(0x32);
    out.push(u8::try_from(length % 128).unwrap() | 0x80);
    out.push(u8::try_from(length / 128).unwrap());
    out.extend(u16::try_from(topic.len()).unwrap().to_be_bytes());
    out.extend(topic.as_bytes());
    // Twice the window, so that an identifier is never in use when it comes again.
    out.extend(u16::try_from(number % (2 * window) + 1).unwrap().to_be_bytes());
    out.push(0);
    out.extend(payload.as_bytes());
}

fn payload(number: u64) -> String {
    format!(
        r#"{{"ts":{},"seq":{number},"lat":48.137154,"lon":11.576124,"accuracy_m":5.0,"speed_mps":12.5,"metrics":{{"temperature":21.5,"humidity":40.1,"battery":0.87}},"firmware":"1.4.2"}}"#,
        1_732_212_345_678 + number
    )
}

/// Returns its CPU time.
fn count_acks(mut stream: TcpStream, count: u64, acked: &AtomicU64, sender: &thread::Thread) -> Duration {
    let mut buffer = [0; 64 << 10];
    let (mut held, mut total) = (0, 0);
    while total < count {
        let read = stream.read(&mut buffer[held..]).unwrap();
        assert!(read > 0, "the subscriber left early");
        let filled = held + read;
        let mut at = 0;
        while filled - at >= 2 && filled - at >= 2 + usize::from(buffer[at + 1]) {
            total += u64::from(buffer[at] >> 4 == 4);
            at += 2 + usize::from(buffer[at + 1]);
        }
        buffer.copy_within(at..filled, 0);
        held = filled - at;
        acked.store(total, Ordering::Release);
        sender.unpark();
    }
    thread_cpu()
}

fn read_packet(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    let mut body = vec![0; usize::from(head[1])];
    stream.read_exact(&mut body).unwrap();
    body
}

/// What the client library can do when nothing is done with the messages.
async fn bare_subscriber(url: String, count: u64) {
    let (host, port) = url.strip_prefix("mqtt://").unwrap().rsplit_once(':').unwrap();
    let mut options = MqttOptions::new("bare", host, port.parse().unwrap());
    options
        .set_manual_acks(true)
        .set_clean_start(false)
        .set_keep_alive(Duration::from_secs(30))
        .set_max_packet_size(Some(1 << 20))
        .set_outgoing_inflight_upper_limit(16);
    let (client, mut event_loop) = AsyncClient::new(options, 70_000);
    client.try_subscribe("telemetry/#", QoS::AtLeastOnce).unwrap();
    let reading = tokio::spawn(async move {
        let (mut received, mut acked) = (0, 0);
        while received < count || acked < count {
            match event_loop.poll().await.unwrap() {
                Event::Incoming(Incoming::Publish(publish)) => {
                    received += 1;
                    client.try_ack(&publish).unwrap();
                }
                Event::Outgoing(rumqttc::Outgoing::PubAck(_)) => acked += 1,
                _ => {}
            }
        }
    });
    reading.await.unwrap();
}

async fn whole_ingest(url: String, window: u64, count: u64) {
    let memory = MemoryLog::new();
    memory
        .ensure_topics(&[EVENTS_TOPIC, DEAD_LETTERS_TOPIC].map(|name| TopicSpec::new(name, 4)))
        .unwrap();
    let log = Log::open(LogConfig::Memory(memory)).unwrap();
    let route = Route {
        filter: Filter("telemetry/#".into()),
        topic: TopicPattern::parse("telemetry/{tenant}/{device}").unwrap(),
        format: PayloadFormat::Json,
    };
    let mut broker = BrokerSettings::new("flood", &url);
    broker.receive_maximum = u16::try_from(window).unwrap();
    let mut settings = IngestSettings::new("throughput", vec![broker], vec![route]);
    settings.window.messages_max = settings
        .window
        .messages_max
        .max(2 * usize::from(u16::try_from(window).unwrap()));
    let (trigger, shutdown) = Shutdown::new();
    let clock = Arc::new(SystemClock::new());
    let services = Services {
        health: Health::new(clock.clone()),
        clock,
        shutdown,
        ledger: Ledger::default(),
    };
    let ledger = services.ledger.clone();
    let task = tokio::spawn(async move { ingest::run(settings, &log, services).await });
    while ledger
        .snapshot()
        .values()
        .map(|totals| totals.acknowledged)
        .sum::<u64>()
        < count
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Handed over is not yet written: shutting down waits for that.
    trigger.request();
    task.await.unwrap().unwrap();
}
