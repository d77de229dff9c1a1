//! The bound of the MQTT broker's memory, in a process where nothing else happens.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![allow(
    clippy::print_stdout,
    reason = "measured numbers, and words of child processes to their parents"
)]

use std::{net::SocketAddr, time::Duration};

use embedded::{
    limits::{MQTT_SEGMENT_BYTES, MQTT_SEGMENTS_MAX},
    mqtt::{MqttBroker, MqttConfig},
};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS};

const PAYLOAD_BYTES: usize = 2000;

fn client(broker: SocketAddr, id: &str) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(id, "127.0.0.1", broker.port());
    options.set_clean_session(false);
    AsyncClient::new(options, 1000)
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// This is the broker's known weakness, kept in sight: it acknowledges what it will drop.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_away_for_too_long_finds_the_newest_messages_and_memory_stays_bounded() {
    let broker = MqttBroker::start(MqttConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
    })
    .await
    .unwrap();
    let (subscriber, mut events) = client(broker.address(), "ingest");
    subscriber.subscribe("telemetry/+/+", QoS::AtLeastOnce).await.unwrap();
    while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::SubAck(_))) {}
    drop((subscriber, events));
    let capacity = MQTT_SEGMENT_BYTES * MQTT_SEGMENTS_MAX / PAYLOAD_BYTES;
    let sent = 2 * capacity;
    let before = resident_bytes();
    let (publisher, mut events) = client(broker.address(), "fleet");
    let publishing = tokio::spawn(async move {
        for number in 0..sent {
            let payload = format!("{number:0PAYLOAD_BYTES$}");
            publisher
                .publish("telemetry/acme/device", QoS::AtLeastOnce, false, payload)
                .await
                .unwrap();
        }
        publisher
    });
    let mut acknowledged = 0;
    while acknowledged < sent {
        acknowledged += usize::from(matches!(
            events.poll().await.unwrap(),
            Event::Incoming(Packet::PubAck(_))
        ));
    }
    drop(publishing.await.unwrap());
    let grown = resident_bytes().saturating_sub(before);
    let (_subscriber, mut events) = client(broker.address(), "ingest");
    let mut numbers: Vec<usize> = Vec::new();
    while let Ok(event) = tokio::time::timeout(Duration::from_secs(2), events.poll()).await {
        if let Event::Incoming(Packet::Publish(publish)) = event.unwrap() {
            numbers.push(std::str::from_utf8(&publish.payload).unwrap().parse().unwrap());
        }
    }
    let kept = numbers.len();
    println!("{sent} acknowledged, {kept} kept, memory grew by {} MiB", grown >> 20);
    let least = MQTT_SEGMENT_BYTES * (MQTT_SEGMENTS_MAX - 1) / (PAYLOAD_BYTES + 50);
    assert!(kept >= least && kept <= capacity + 100, "{kept} kept, {least} promised");
    assert_eq!(
        numbers,
        (sent - kept..sent).collect::<Vec<_>>(),
        "the newest, each once, in order"
    );
    assert!(
        grown < 3 * (MQTT_SEGMENT_BYTES * MQTT_SEGMENTS_MAX) as u64,
        "memory grew by {grown} bytes"
    );
    broker.stop().await;
}
