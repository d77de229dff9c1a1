//! How many messages of QoS 1 an MQTT broker takes from ten publishers and hands to one subscriber with a lasting
//! session, each acknowledged on both sides.
//!
//! ```text
//! cargo run --release -p embedded --example mqtt_throughput                        # the broker of this crate
//! cargo run --release -p embedded --example mqtt_throughput -- 127.0.0.1:1883     # any other one
//! ```
//!
//! Clients are bare sockets, so that the broker is what is measured: publishers keep 1,000 messages unacknowledged, the
//! subscriber acknowledges whatever one read brought in one write. After the rounds, 5,000 idle connections are opened to
//! the broker of this crate, and what they cost is printed.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement ends at the first surprise"
)]

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use embedded::mqtt::{MqttBroker, MqttConfig};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

const PUBLISHERS: u64 = 10;
const MESSAGES: u64 = 1_000_000;
const PAYLOAD_BYTES: usize = 200;
const WINDOW: u64 = 1000;
const ROUNDS: u32 = 5;
/// What has not come by then after the last message is lost.
const PATIENCE: Duration = Duration::from_secs(5);
const IDLE_CONNECTIONS: usize = 5000;

#[tokio::main]
async fn main() {
    let (given, folder) = (std::env::args().nth(1), tempfile::tempdir().unwrap());
    let broker = match &given {
        Some(_) => None,
        None => {
            let config = MqttConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)), folder.path());
            Some(MqttBroker::start(config).await.unwrap())
        }
    };
    let address = broker
        .as_ref()
        .map_or_else(|| given.unwrap().parse().unwrap(), MqttBroker::address);
    for round in 0..ROUNDS {
        let (received, elapsed) = measure(address, round).await;
        let (per_second, lost) = (received as f64 / elapsed.as_secs_f64(), MESSAGES - received);
        println!(
            "round {round}: {received} messages in {elapsed:.2?}: {per_second:.0}/s; acknowledged and lost: {lost}"
        );
    }
    if let Some(broker) = broker {
        measure_idle(address).await;
        broker.stop().await;
    }
}

/// Messages received, and the time until the last of them.
async fn measure(address: SocketAddr, round: u32) -> (u64, Duration) {
    let topic = format!("bench/{round}/+");
    let (reading, mut writing) = connect(address, &format!("subscriber-{round}"), true).await;
    let mut subscribe = vec![0, 1, 0];
    put_text(&mut subscribe, &topic);
    subscribe.push(1);
    writing.write_all(&frame(0x82, &subscribe)).await.unwrap();
    let mut frames = Frames::new(reading);
    assert_eq!(frames.next().await.0, 0x90, "SUBACK");
    let started = Instant::now();
    let publishing: Vec<_> = (0..PUBLISHERS)
        .map(|number| tokio::spawn(publish(address, round, number)))
        .collect();
    let (mut received, mut acknowledgements, mut elapsed) = (0, Vec::new(), Duration::ZERO);
    while received < MESSAGES {
        let Ok((kind, body)) = tokio::time::timeout(PATIENCE, frames.next()).await else {
            break;
        };
        if kind >> 4 == 3 {
            received += 1;
            let topic_bytes = usize::from(u16::from_be_bytes([body[0], body[1]]));
            acknowledgements.extend_from_slice(&[0x40, 2, body[2 + topic_bytes], body[3 + topic_bytes]]);
        }
        if frames.is_dry() {
            writing.write_all(&acknowledgements).await.unwrap();
            acknowledgements.clear();
            elapsed = started.elapsed();
        }
    }
    writing.write_all(&acknowledgements).await.unwrap();
    for publisher in publishing {
        publisher.await.unwrap();
    }
    // The session must not be in the way of the next round.
    connect(address, &format!("subscriber-{round}"), false).await;
    (received, elapsed)
}

async fn publish(address: SocketAddr, round: u32, number: u64) {
    let (mut reading, mut writing) = connect(address, &format!("publisher-{round}-{number}"), false).await;
    let acknowledged = std::sync::Arc::new(AtomicU64::new(0));
    let total = MESSAGES / PUBLISHERS;
    let counting = {
        let acknowledged = acknowledged.clone();
        tokio::spawn(async move {
            let (mut buffer, mut bytes) = (vec![0; 1 << 16], 0);
            // A PUBACK of success has four bytes, in both versions.
            while bytes < total * 4 {
                bytes += reading.read(&mut buffer).await.unwrap() as u64;
                acknowledged.store(bytes / 4, Ordering::Release);
            }
        })
    };
    let (mut sent, mut buffer) = (0, Vec::new());
    while sent < total {
        let room = WINDOW - (sent - acknowledged.load(Ordering::Acquire));
        if room == 0 {
            tokio::task::yield_now().await;
            continue;
        }
        for _ in 0..room.min(total - sent).min(200) {
            let mut body = Vec::with_capacity(PAYLOAD_BYTES + 40);
            put_text(&mut body, &format!("bench/{round}/device-{number}"));
            body.extend_from_slice(&u16::try_from(sent % 65_535 + 1).unwrap().to_be_bytes());
            body.push(0);
            body.resize(body.len() + PAYLOAD_BYTES, b'x');
            buffer.extend_from_slice(&frame(0x32, &body));
            sent += 1;
        }
        writing.write_all(&buffer).await.unwrap();
        buffer.clear();
    }
    counting.await.unwrap();
}

async fn measure_idle(address: SocketAddr) {
    let before = resident_bytes();
    let mut held = Vec::new();
    for number in 0..IDLE_CONNECTIONS {
        held.push(connect(address, &format!("idle-{number}"), false).await);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let per_connection = (resident_bytes().saturating_sub(before)) / IDLE_CONNECTIONS as u64;
    println!("{IDLE_CONNECTIONS} idle connections: {per_connection} bytes each, both ends");
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Connects with MQTT 5, with a session that lasts an hour or ends with the connection.
async fn connect(address: SocketAddr, client_id: &str, lasting: bool) -> (OwnedReadHalf, OwnedWriteHalf) {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let mut body = b"\0\x04MQTT\x05".to_vec();
    body.push(if lasting { 0 } else { 2 });
    body.extend_from_slice(&[0, 0, 8, 0x21, 0x1f, 0x40, 0x11, 0, 0]);
    body.extend_from_slice(if lasting { &[0x0e, 0x10] } else { &[0, 0] });
    put_text(&mut body, client_id);
    writing.write_all(&frame(0x10, &body)).await.unwrap();
    let mut head = [0; 2];
    reading.read_exact(&mut head).await.unwrap();
    assert!(head[0] == 0x20 && head[1] < 0x80, "a short CONNACK");
    reading.read_exact(&mut vec![0; head[1].into()]).await.unwrap();
    (reading, writing)
}

fn put_text(body: &mut Vec<u8>, text: &str) {
    body.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
    body.extend_from_slice(text.as_bytes());
}

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind];
    let mut length = body.len();
    while length >= 0x80 {
        packet.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    packet.push(u8::try_from(length).unwrap());
    packet.extend_from_slice(body);
    packet
}

/// Packets off a socket.
struct Frames {
    reading: OwnedReadHalf,
    buffer: bytes::BytesMut,
}

impl Frames {
    fn new(reading: OwnedReadHalf) -> Self {
        Self {
            reading,
            buffer: bytes::BytesMut::new(),
        }
    }

    async fn next(&mut self) -> (u8, bytes::BytesMut) {
        loop {
            if let Some((header, length)) = self.head() {
                let mut packet = self.buffer.split_to(header + length);
                let kind = packet[0];
                return (kind, packet.split_off(header));
            }
            self.buffer.reserve(1 << 16);
            assert!(
                self.reading.read_buf(&mut self.buffer).await.unwrap() > 0,
                "the broker left"
            );
        }
    }

    /// No complete packet is left.
    fn is_dry(&self) -> bool {
        self.head().is_none()
    }

    fn head(&self) -> Option<(usize, usize)> {
        let mut length = 0;
        for (index, byte) in self.buffer.get(1..)?.iter().enumerate() {
            length |= usize::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                return (self.buffer.len() >= index + 2 + length).then_some((index + 2, length));
            }
        }
        None
    }
}
