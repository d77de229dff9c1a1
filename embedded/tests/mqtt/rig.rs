//! Brokers for tests, and one small client for both versions of MQTT.

use std::{net::SocketAddr, path::Path, time::Duration};

use embedded::mqtt::{MqttBroker, MqttConfig};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS, v5};
use tempfile::TempDir;

/// A broker on a folder of its own, which goes with it.
pub(crate) struct Broker {
    broker: MqttBroker,
    folder: TempDir,
}

impl Broker {
    pub(crate) fn address(&self) -> SocketAddr {
        self.broker.address()
    }

    pub(crate) async fn stop(self) {
        self.broker.stop().await;
    }

    /// Stops it and starts it anew on the same folder.
    pub(crate) async fn restart(self) -> Self {
        self.broker.stop().await;
        Self::start(self.folder).await
    }

    async fn start(folder: TempDir) -> Self {
        let broker = MqttBroker::start(config(folder.path())).await.unwrap();
        Self { broker, folder }
    }
}

pub(crate) fn config(folder: &Path) -> MqttConfig {
    MqttConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)), folder)
}

pub(crate) async fn broker() -> Broker {
    Broker::start(tempfile::tempdir().unwrap()).await
}

/// The same steps for MQTT 3.1.1 and 5.
pub(crate) enum Client {
    V4(AsyncClient, Box<EventLoop>),
    V5(v5::AsyncClient, Box<v5::EventLoop>),
}

/// A message that waits for its acknowledgement.
pub(crate) enum Received {
    V4(rumqttc::Publish),
    V5(v5::mqttbytes::v5::Publish),
}

impl Received {
    pub(crate) fn payload(&self) -> &[u8] {
        match self {
            Self::V4(publish) => &publish.payload,
            Self::V5(publish) => &publish.payload,
        }
    }

    pub(crate) fn topic(&self) -> String {
        match self {
            Self::V4(publish) => publish.topic.clone(),
            Self::V5(publish) => String::from_utf8(publish.topic.to_vec()).unwrap(),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        std::str::from_utf8(&self.payload()[..8])
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V4,
    V5,
}

pub(crate) const VERSIONS: [Version; 2] = [Version::V4, Version::V5];

impl Client {
    /// A client with a lasting session that acknowledges by hand.
    pub(crate) fn new(version: Version, broker: SocketAddr, id: &str, clean: bool) -> Self {
        let (host, port) = (broker.ip().to_string(), broker.port());
        match version {
            Version::V4 => {
                let mut options = MqttOptions::new(id, host, port);
                options
                    .set_clean_session(clean)
                    .set_manual_acks(true)
                    .set_keep_alive(Duration::from_secs(30));
                options.set_max_packet_size(2 << 20, 2 << 20).set_inflight(100);
                let (client, events) = AsyncClient::new(options, 1000);
                Self::V4(client, Box::new(events))
            }
            Version::V5 => {
                let mut options = v5::MqttOptions::new(id, host, port);
                options
                    .set_clean_start(clean)
                    .set_manual_acks(true)
                    .set_keep_alive(Duration::from_secs(30));
                options
                    .set_max_packet_size(Some(2 << 20))
                    .set_outgoing_inflight_upper_limit(100);
                if !clean {
                    options.set_session_expiry_interval(Some(3600));
                }
                let (client, events) = v5::AsyncClient::new(options, 1000);
                Self::V5(client, Box::new(events))
            }
        }
    }

    /// Waits for the connection; tells whether the broker had the session.
    pub(crate) async fn connect(&mut self) -> bool {
        loop {
            match self {
                Self::V4(_, events) => {
                    if let Event::Incoming(Packet::ConnAck(connack)) = events.poll().await.unwrap() {
                        return connack.session_present;
                    }
                }
                Self::V5(_, events) => {
                    let event = events.poll().await.unwrap();
                    if let v5::Event::Incoming(v5::Incoming::ConnAck(connack)) = event {
                        return connack.session_present;
                    }
                }
            }
        }
    }

    pub(crate) async fn subscribe(&mut self, filter: &str) {
        match self {
            Self::V4(client, events) => {
                client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
                while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::SubAck(_))) {}
            }
            Self::V5(client, events) => {
                client.subscribe(filter, v5::mqttbytes::QoS::AtLeastOnce).await.unwrap();
                while !matches!(
                    events.poll().await.unwrap(),
                    v5::Event::Incoming(v5::Incoming::SubAck(_))
                ) {}
            }
        }
    }

    /// Publishes with QoS 1 and waits for all acknowledgements.
    pub(crate) async fn publish(&mut self, messages: impl Iterator<Item = (String, Vec<u8>)>) {
        let mut open = 0_usize;
        for (topic, payload) in messages {
            match self {
                Self::V4(client, _) => client.publish(topic, QoS::AtLeastOnce, false, payload).await.unwrap(),
                Self::V5(client, _) => {
                    client
                        .publish(topic, v5::mqttbytes::QoS::AtLeastOnce, false, payload)
                        .await
                        .unwrap();
                }
            }
            open += 1;
            while open >= 500 {
                open -= self.acknowledged().await;
            }
        }
        while open > 0 {
            open -= self.acknowledged().await;
        }
    }

    /// Publishes one retained message with QoS 1, and waits for its acknowledgement.
    pub(crate) async fn publish_retained(&mut self, topic: &str, payload: Vec<u8>) {
        match self {
            Self::V4(client, _) => client.publish(topic, QoS::AtLeastOnce, true, payload).await.unwrap(),
            Self::V5(client, _) => {
                let qos = v5::mqttbytes::QoS::AtLeastOnce;
                client.publish(topic, qos, true, payload).await.unwrap();
            }
        }
        while self.acknowledged().await == 0 {}
    }

    /// Publishes beside the connection.
    pub(crate) fn sender(&self) -> Sender {
        match self {
            Self::V4(client, _) => Sender::V4(client.clone()),
            Self::V5(client, _) => Sender::V5(client.clone()),
        }
    }

    /// The next thing that happens: is it an acknowledgement? An error is the end of the connection.
    pub(crate) async fn try_acknowledged(&mut self) -> Result<bool, String> {
        match self {
            Self::V4(_, events) => {
                let event = events.poll().await.map_err(|error| error.to_string())?;
                Ok(matches!(event, Event::Incoming(Packet::PubAck(_))))
            }
            Self::V5(_, events) => {
                let event = events.poll().await.map_err(|error| error.to_string())?;
                Ok(matches!(event, v5::Event::Incoming(v5::Incoming::PubAck(_))))
            }
        }
    }

    /// The next thing that happens, which may be a message. An error is the end of the connection.
    pub(crate) async fn try_receive(&mut self) -> Result<Option<Received>, String> {
        match self {
            Self::V4(_, events) => match events.poll().await.map_err(|error| error.to_string())? {
                Event::Incoming(Packet::Publish(publish)) => Ok(Some(Received::V4(publish))),
                _ => Ok(None),
            },
            Self::V5(_, events) => match events.poll().await.map_err(|error| error.to_string())? {
                v5::Event::Incoming(v5::Incoming::Publish(publish)) => Ok(Some(Received::V5(publish))),
                _ => Ok(None),
            },
        }
    }

    /// Acknowledges without waiting for room.
    pub(crate) fn try_acknowledge(&self, message: &Received) -> Result<(), String> {
        match (self, message) {
            (Self::V4(client, _), Received::V4(publish)) => client.try_ack(publish).map_err(|error| error.to_string()),
            (Self::V5(client, _), Received::V5(publish)) => client.try_ack(publish).map_err(|error| error.to_string()),
            _ => panic!("a message of another client"),
        }
    }

    async fn acknowledged(&mut self) -> usize {
        usize::from(match self {
            Self::V4(_, events) => matches!(events.poll().await.unwrap(), Event::Incoming(Packet::PubAck(_))),
            Self::V5(_, events) => {
                matches!(
                    events.poll().await.unwrap(),
                    v5::Event::Incoming(v5::Incoming::PubAck(_))
                )
            }
        })
    }

    /// The next message, `None` when there is none for so long.
    pub(crate) async fn receive(&mut self, patience: Duration) -> Option<Received> {
        let until = tokio::time::Instant::now() + patience;
        loop {
            match self {
                Self::V4(_, events) => match tokio::time::timeout_at(until, events.poll()).await.ok()?.unwrap() {
                    Event::Incoming(Packet::Publish(publish)) => return Some(Received::V4(publish)),
                    _ => continue,
                },
                Self::V5(_, events) => match tokio::time::timeout_at(until, events.poll()).await.ok()?.unwrap() {
                    v5::Event::Incoming(v5::Incoming::Publish(publish)) => return Some(Received::V5(publish)),
                    _ => continue,
                },
            }
        }
    }

    pub(crate) async fn acknowledge(&mut self, message: &Received) {
        match (self, message) {
            (Self::V4(client, _), Received::V4(publish)) => client.ack(publish).await.unwrap(),
            (Self::V5(client, _), Received::V5(publish)) => client.ack(publish).await.unwrap(),
            _ => panic!("a message of another client"),
        }
    }

    /// Lets what was asked for reach the broker.
    pub(crate) async fn settle(&mut self) {
        while self.receive(Duration::from_millis(300)).await.is_some() {}
    }
}

/// The sending half of a client.
pub(crate) enum Sender {
    V4(AsyncClient),
    V5(v5::AsyncClient),
}

impl Sender {
    pub(crate) async fn publish(&self, topic: &str, payload: Vec<u8>) -> Result<(), String> {
        match self {
            Self::V4(client) => {
                let published = client.publish(topic, QoS::AtLeastOnce, false, payload).await;
                published.map_err(|error| error.to_string())
            }
            Self::V5(client) => {
                let qos = v5::mqttbytes::QoS::AtLeastOnce;
                let published = client.publish(topic, qos, false, payload).await;
                published.map_err(|error| error.to_string())
            }
        }
    }
}

/// Message `number` with this many bytes.
pub(crate) fn message(number: u64, bytes: usize) -> (String, Vec<u8>) {
    let mut payload = format!("{number:8}").into_bytes();
    payload.resize(bytes, b'x');
    (format!("telemetry/acme/device-{}", number % 50), payload)
}
