//! An MQTT 5 broker that does exactly what a test says, and shows every byte it gets.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::running::PATIENCE;

pub(crate) const PUBACK: u8 = 4;
pub(crate) const SUBSCRIBE: u8 = 8;
pub(crate) const DISCONNECT: u8 = 14;
const CONNECT: u8 = 1;
const PINGREQ: u8 = 12;

pub(crate) struct FakeBroker {
    listener: TcpListener,
}

pub(crate) struct FakeConnection {
    pub(crate) stream: TcpStream,
}

/// Kind (the upper four bits of the first byte) and what follows the length.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) kind: u8,
    pub(crate) body: Vec<u8>,
}

impl FakeBroker {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener }
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://{}", self.listener.local_addr().unwrap())
    }

    /// Takes the next connection and greets it.
    pub(crate) async fn accept(&self, session_present: bool) -> FakeConnection {
        let (stream, _) = timeout(PATIENCE, self.listener.accept()).await.unwrap().unwrap();
        let mut connection = FakeConnection { stream };
        assert_eq!(connection.next().await.unwrap().kind, CONNECT);
        connection.write(&[0x20, 3, u8::from(session_present), 0, 0]).await;
        connection
    }

    /// Takes the next connection and grants its subscription.
    pub(crate) async fn accept_subscribed(&self, session_present: bool) -> FakeConnection {
        let mut connection = self.accept(session_present).await;
        connection.grant(1).await;
        connection
    }

    /// True when nobody connects for that long.
    pub(crate) async fn is_left_alone(&self, for_long: Duration) -> bool {
        timeout(for_long, self.listener.accept()).await.is_err()
    }
}

impl FakeConnection {
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Answers the subscription with this code: 0 to 2 grant a QoS, from 128 on it is refused.
    pub(crate) async fn grant(&mut self, code: u8) {
        let subscribe = self.next().await.unwrap();
        assert_eq!(subscribe.kind, SUBSCRIBE);
        self.write(&[0x90, 4, subscribe.body[0], subscribe.body[1], 0, code])
            .await;
    }

    pub(crate) async fn publish(&mut self, packet_id: u16, topic: &[u8], payload: &[u8]) {
        self.write(&publish(packet_id, topic, payload)).await;
    }

    /// The next packet, or None at the end of the connection. Answers pings itself.
    pub(crate) async fn next(&mut self) -> Option<Packet> {
        loop {
            let packet = timeout(PATIENCE, read_packet(&mut self.stream)).await.unwrap()?;
            if packet.kind != PINGREQ {
                return Some(packet);
            }
            self.write(&[0xd0, 0]).await;
        }
    }

    /// The packet ids of the next acknowledgements.
    pub(crate) async fn acks(&mut self, count: usize) -> Vec<u16> {
        let mut ids = Vec::new();
        while ids.len() < count {
            let packet = self
                .next()
                .await
                .expect("the connection ended before all acknowledgements came");
            assert_eq!(packet.kind, PUBACK, "{packet:?}");
            ids.push(u16::from_be_bytes([packet.body[0], packet.body[1]]));
        }
        ids
    }

    /// Panics when anything comes within that time.
    pub(crate) async fn stays_quiet(&mut self, for_long: Duration) {
        if let Ok(packet) = timeout(for_long, self.next()).await {
            panic!("came too early: {packet:?}");
        }
    }
}

/// A publish at QoS 1, or at QoS 0 for packet id 0.
pub(crate) fn publish(packet_id: u16, topic: &[u8], payload: &[u8]) -> Vec<u8> {
    let qos_1 = packet_id != 0;
    let mut length = 2 + topic.len() + usize::from(qos_1) * 2 + 1 + payload.len();
    let mut bytes = vec![if qos_1 { 0x32 } else { 0x30 }];
    loop {
        let low = u8::try_from(length % 128).unwrap();
        length /= 128;
        bytes.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    bytes.extend(u16::try_from(topic.len()).unwrap().to_be_bytes());
    bytes.extend(topic);
    if qos_1 {
        bytes.extend(packet_id.to_be_bytes());
    }
    bytes.push(0);
    bytes.extend(payload);
    bytes
}

async fn read_packet(stream: &mut TcpStream) -> Option<Packet> {
    let first = stream.read_u8().await.ok()?;
    let (mut length, mut shift) = (0, 0);
    loop {
        let byte = stream.read_u8().await.ok()?;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Packet { kind: first >> 4, body })
}
