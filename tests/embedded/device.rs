//! Devices: MQTT clients of both versions that publish and know when they were acknowledged.

use std::time::Duration;

use rumqttc::{AsyncClient, Event, MqttOptions, Outgoing, Packet, QoS, v5};

/// Which MQTT a device speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V311,
    V5,
}

/// What a device publishes.
#[derive(Clone, Debug)]
pub(crate) struct Publish {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    /// 0, 1 or 2.
    pub(crate) qos: u8,
}

impl Publish {
    /// A message with QoS 1.
    pub(crate) fn new(topic: &str, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            topic: topic.to_owned(),
            payload: payload.into(),
            qos: 1,
        }
    }
}

/// All acknowledgements are there long before.
const PUBLISHED_MAX: Duration = Duration::from_secs(60);
/// The largest message that any test sends fits.
const PACKET_BYTES_MAX: u32 = 16 << 20;

/// Publishes everything over one connection, in order, and returns when all of it is acknowledged.
pub(crate) async fn publish(url: &str, version: Version, messages: Vec<Publish>) {
    let published = async {
        match version {
            Version::V311 => publish_v4(url, messages).await,
            Version::V5 => publish_v5(url, messages).await,
        }
    };
    tokio::time::timeout(PUBLISHED_MAX, published)
        .await
        .expect("the broker acknowledges everything");
}

fn address(url: &str) -> (String, u16) {
    let (host, port) = url.strip_prefix("mqtt://").unwrap().rsplit_once(':').unwrap();
    (host.to_owned(), port.parse().unwrap())
}

fn client_id() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!(
        "device-{}-{}",
        std::process::id(),
        NUMBER.fetch_add(1, Ordering::Relaxed)
    )
}

async fn publish_v4(url: &str, messages: Vec<Publish>) {
    let (host, port) = address(url);
    let mut options = MqttOptions::new(client_id(), host, port);
    let bytes_max = PACKET_BYTES_MAX as usize;
    options.set_max_packet_size(bytes_max, bytes_max);
    let (client, mut connection) = AsyncClient::new(options, 16);
    let count = messages.len();
    let sending = tokio::spawn(async move {
        for message in messages {
            let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(message.qos)];
            client
                .publish(message.topic, qos, false, message.payload)
                .await
                .unwrap();
        }
        client
    });
    let mut done = 0;
    while done < count {
        match connection.poll().await.unwrap() {
            Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_)) => done += 1,
            // QoS 0 has no packet identifier, and nothing to wait for.
            Event::Outgoing(Outgoing::Publish(0)) => done += 1,
            _ => {}
        }
    }
    let client = sending.await.unwrap();
    client.disconnect().await.unwrap();
    while connection.poll().await.is_ok() {}
}

async fn publish_v5(url: &str, messages: Vec<Publish>) {
    use v5::mqttbytes::{QoS, v5::Packet};
    let (host, port) = address(url);
    let mut options = v5::MqttOptions::new(client_id(), host, port);
    options.set_max_packet_size(Some(PACKET_BYTES_MAX));
    let (client, mut connection) = v5::AsyncClient::new(options, 16);
    let count = messages.len();
    let sending = tokio::spawn(async move {
        for message in messages {
            let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(message.qos)];
            client
                .publish(message.topic, qos, false, message.payload)
                .await
                .unwrap();
        }
        client
    });
    let mut done = 0;
    while done < count {
        match connection.poll().await.unwrap() {
            v5::Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_)) => done += 1,
            v5::Event::Outgoing(Outgoing::Publish(0)) => done += 1,
            _ => {}
        }
    }
    let client = sending.await.unwrap();
    client.disconnect().await.unwrap();
    while connection.poll().await.is_ok() {}
}
