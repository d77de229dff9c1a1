//! The bound of the MQTT broker's memory, in a process where nothing else happens.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![allow(
    clippy::print_stdout,
    reason = "measured numbers, and words of child processes to their parents"
)]

use std::{net::SocketAddr, time::Duration};

use embedded::mqtt::{MqttBroker, MqttConfig};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS};

const PAYLOAD_BYTES: usize = 4000;
const MESSAGES: usize = 60_000;
/// A quarter of what waits on disk, for buffers of both ends and what the allocator keeps.
const MEMORY_BYTES_MAX: u64 = 60 << 20;

fn client(broker: SocketAddr, id: &str) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(id, "127.0.0.1", broker.port());
    options.set_clean_session(false);
    AsyncClient::new(options, 100)
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_away_for_long_finds_everything_and_memory_stays_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let config = MqttConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)), folder.path());
    let broker = MqttBroker::start(config).await.unwrap();
    let (subscriber, mut events) = client(broker.address(), "ingest");
    subscriber.subscribe("telemetry/+/+", QoS::AtLeastOnce).await.unwrap();
    while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::SubAck(_))) {}
    drop((subscriber, events));
    let before = resident_bytes();
    let (publisher, mut events) = client(broker.address(), "fleet");
    let publishing = tokio::spawn(async move {
        for number in 0..MESSAGES {
            let payload = format!("{number:0PAYLOAD_BYTES$}");
            let topic = "telemetry/acme/device";
            publisher
                .publish(topic, QoS::AtLeastOnce, false, payload)
                .await
                .unwrap();
        }
        publisher
    });
    let mut acknowledged = 0;
    while acknowledged < MESSAGES {
        let event = events.poll().await.unwrap();
        acknowledged += usize::from(matches!(event, Event::Incoming(Packet::PubAck(_))));
    }
    drop(publishing.await.unwrap());
    let grown_away = resident_bytes().saturating_sub(before);
    let (_subscriber, mut events) = client(broker.address(), "ingest");
    let mut next = 0;
    while next < MESSAGES {
        let event = tokio::time::timeout(Duration::from_secs(10), events.poll()).await;
        if let Event::Incoming(Packet::Publish(publish)) = event.expect("more comes").unwrap() {
            let number: usize = std::str::from_utf8(&publish.payload).unwrap().parse().unwrap();
            assert_eq!(number, next, "each once, in order");
            next += 1;
        }
    }
    let grown = resident_bytes().saturating_sub(before);
    println!(
        "memory grew by {} MiB while away, {} MiB in all",
        grown_away >> 20,
        grown >> 20
    );
    assert!(
        grown_away.max(grown) < MEMORY_BYTES_MAX,
        "memory grew by {grown_away}, then {grown} bytes"
    );
    broker.stop().await;
}
