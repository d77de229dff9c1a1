//! How fast one connection is, against a bare subscriber of the same client library in the same run.
//!
//! A broker that does nothing but send numbered publishes within a window feeds, in turn, a subscriber that
//! acknowledges at once and discards, and the whole of ingest over a log in memory:
//! `cargo run --release -p ingest --example throughput [messages] [window] [rounds]`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that fails says so on the terminal"
)]

use std::{
    env,
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

fn main() {
    let argument = |index: usize, default: u64| {
        let text = env::args().nth(index);
        text.map_or(default, |text| text.parse().expect("a number"))
    };
    let (count, window, rounds) = (argument(1, 500_000), argument(2, 1000), argument(3, 3));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        let bare = measure(count, window, |url| runtime.block_on(bare_subscriber(url, count)));
        let ours = measure(count, window, |url| runtime.block_on(whole_ingest(url, window, count)));
        println!(
            "round {round}: bare {bare:.0}/s, ingest {ours:.0}/s, ratio {:.2}",
            ours / bare
        );
        ratios.push(ours / bare);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.2}", ratios[ratios.len() / 2]);
}

/// Messages a second from the first publish to the last acknowledgement.
#[allow(
    clippy::cast_precision_loss,
    reason = "counts of a measurement are far below the limit"
)]
fn measure(count: u64, window: u64, subscriber: impl FnOnce(String)) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    let broker = thread::spawn(move || serve(&listener, count, window));
    subscriber(url);
    count as f64 / broker.join().unwrap().as_secs_f64()
}

/// Greets, grants, and sends `count` publishes with at most `window` unacknowledged.
fn serve(listener: &TcpListener, count: u64, window: u64) -> Duration {
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
    acks.join().unwrap();
    started.elapsed()
}

fn write_publish(number: u64, window: u64, out: &mut Vec<u8>) {
    let topic = format!("telemetry/acme/bus-{:03}", number % 500);
    let payload = format!(
        r#"{{"ts":{},"seq":{number},"lat":48.137154,"lon":11.576124,"accuracy_m":5.0,"speed_mps":12.5,"metrics":{{"temperature":21.5,"humidity":40.1,"battery":0.87}},"firmware":"1.4.2"}}"#,
        1_732_212_345_678 + number
    );
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

fn count_acks(mut stream: TcpStream, count: u64, acked: &AtomicU64, sender: &thread::Thread) {
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
