//! The publisher against a scripted broker: reordered acknowledgements, cut connections, small windows.

// Against a scripted broker that misbehaves in the ways that real ones do.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use bytes::BytesMut;
use platform::shutdown::Shutdown;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnAckProperties, ConnectReturnCode, Packet, PubAck, PubAckReason, Publish,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};

use super::*;
use crate::message::{Kind, Message, topic};

/// The broker's side of one connection.
struct Peer {
    stream: TcpStream,
    input: BytesMut,
}

impl Peer {
    async fn accept(listener: &TcpListener, receive_max: Option<u16>, session_present: bool) -> Self {
        let (stream, _) = listener.accept().await.unwrap();
        let mut peer = Self {
            stream,
            input: BytesMut::new(),
        };
        let Packet::Connect(connect, ..) = peer.packet().await.unwrap() else {
            panic!("the first packet is CONNECT");
        };
        assert_eq!(
            connect.clean_start, !session_present,
            "only a first connection starts clean"
        );
        let answer = ConnAck {
            session_present,
            code: ConnectReturnCode::Success,
            properties: receive_max.map(|receive_max| granting(Some(receive_max), None)),
        };
        peer.send(&Packet::ConnAck(answer)).await;
        peer
    }

    async fn packet(&mut self) -> Option<Packet> {
        loop {
            if let Ok(packet) = Packet::read(&mut self.input, None) {
                return Some(packet);
            }
            if self.stream.read_buf(&mut self.input).await.ok()? == 0 {
                return None;
            }
        }
    }

    async fn publish(&mut self) -> Option<Publish> {
        match self.packet().await? {
            Packet::Publish(publish) => Some(publish),
            Packet::Disconnect(_) => None,
            other => panic!("unexpected {other:?}"),
        }
    }

    /// What arrives until nothing has come for a while.
    async fn publishes_until_quiet(&mut self) -> Vec<Publish> {
        let mut publishes = Vec::new();
        while let Ok(Some(publish)) = tokio::time::timeout(Duration::from_millis(200), self.publish()).await {
            publishes.push(publish);
        }
        publishes
    }

    async fn send(&mut self, packet: &Packet) {
        let mut output = BytesMut::new();
        packet.write(&mut output, None).unwrap();
        self.stream.write_all(&output).await.unwrap();
    }

    async fn ack(&mut self, packet_id: u16, reason: PubAckReason) {
        let mut ack = PubAck::new(packet_id, None);
        ack.reason = reason;
        self.send(&Packet::PubAck(ack)).await;
    }
}

fn granting(receive_max: Option<u16>, max_packet_size: Option<u32>) -> ConnAckProperties {
    ConnAckProperties {
        session_expiry_interval: None,
        receive_max,
        max_qos: None,
        retain_available: None,
        max_packet_size,
        assigned_client_identifier: None,
        topic_alias_max: None,
        reason_string: None,
        user_properties: Vec::new(),
        wildcard_subscription_available: None,
        subscription_identifiers_available: None,
        shared_subscription_available: None,
        server_keep_alive: None,
        response_information: None,
        server_reference: None,
        authentication_method: None,
        authentication_data: None,
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Publishes `count` messages of one device, payload = number, and waits for the ledger.
async fn publish_numbers(address: SocketAddr, count: u64, patience: Duration) -> Ledger {
    let (_trigger, shutdown) = Shutdown::new();
    let options = PublisherOptions::new(format!("mqtt://{address}"), "test");
    let publisher = Publisher::connect(&options, &shutdown).await.unwrap();
    for number in 0..count {
        let message = Message {
            topic: topic("acme", "bus"),
            payload: number.to_string().into(),
            kind: Kind::Valid,
        };
        let outgoing = Outgoing {
            number,
            message,
            intended: Instant::now(),
        };
        publisher.publish(outgoing, &shutdown).await.unwrap();
    }
    publisher.finish(patience).await
}

fn numbers(publishes: &[Publish]) -> Vec<u64> {
    let number = |publish: &Publish| std::str::from_utf8(&publish.payload).unwrap().parse().unwrap();
    publishes.iter().map(number).collect()
}

fn fates(ledger: &Ledger) -> BTreeMap<u64, Fate> {
    ledger.entries.iter().map(|entry| (entry.number, entry.fate)).collect()
}

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn acknowledgements_out_of_order_are_matched_by_identifier() {
    let (listener, address) = listen().await;
    let run = tokio::spawn(publish_numbers(address, 4, PATIENCE));
    let mut peer = Peer::accept(&listener, None, false).await;
    let publishes = peer.publishes_until_quiet().await;
    let reasons = [
        PubAckReason::NotAuthorized,
        PubAckReason::Success,
        PubAckReason::NoMatchingSubscribers,
        PubAckReason::Success,
    ];
    for (publish, reason) in publishes.iter().zip(reasons).rev() {
        peer.ack(publish.pkid, reason).await;
    }
    let ledger = run.await.unwrap();
    let expected = [Fate::Refused, Fate::Acknowledged, Fate::Unrouted, Fate::Acknowledged];
    assert_eq!(fates(&ledger).into_values().collect::<Vec<_>>(), expected);
    assert_eq!(ledger.refusals, BTreeMap::from([("NotAuthorized".to_owned(), 1)]));
}

#[tokio::test]
async fn after_a_cut_the_unacknowledged_come_again_in_order_marked_as_duplicates() {
    let (listener, address) = listen().await;
    let run = tokio::spawn(publish_numbers(address, 6, PATIENCE));
    let mut first = Peer::accept(&listener, None, false).await;
    let publishes = first.publishes_until_quiet().await;
    assert_eq!(numbers(&publishes), [0, 1, 2, 3, 4, 5]);
    first.ack(publishes[0].pkid, PubAckReason::Success).await;
    first.ack(publishes[3].pkid, PubAckReason::Success).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(first);
    let mut second = Peer::accept(&listener, None, true).await;
    let again = second.publishes_until_quiet().await;
    assert_eq!(numbers(&again), [1, 2, 4, 5]);
    assert!(again.iter().all(|publish| publish.dup));
    for publish in &again {
        second.ack(publish.pkid, PubAckReason::Success).await;
    }
    let ledger = run.await.unwrap();
    assert_eq!(ledger.count(Fate::Acknowledged), 6);
    assert_eq!((ledger.resent_count, ledger.reconnect_count), (4, 1));
}

#[tokio::test]
async fn the_receive_maximum_of_the_broker_is_never_passed() {
    let (listener, address) = listen().await;
    let run = tokio::spawn(publish_numbers(address, 35, PATIENCE));
    let mut peer = Peer::accept(&listener, Some(10), false).await;
    let mut seen = Vec::new();
    while seen.len() < 35 {
        let publishes = peer.publishes_until_quiet().await;
        assert!((1..=10).contains(&publishes.len()), "{} at once", publishes.len());
        for publish in &publishes {
            peer.ack(publish.pkid, PubAckReason::Success).await;
        }
        seen.extend(numbers(&publishes));
    }
    assert_eq!(seen, (0..35).collect::<Vec<_>>());
    assert_eq!(run.await.unwrap().count(Fate::Acknowledged), 35);
}

#[tokio::test]
async fn without_acknowledgement_the_fate_is_unknown_and_nothing_is_claimed() {
    let (listener, address) = listen().await;
    let run = tokio::spawn(publish_numbers(address, 3, Duration::from_millis(500)));
    let mut peer = Peer::accept(&listener, Some(2), false).await;
    assert_eq!(peer.publishes_until_quiet().await.len(), 2);
    let ledger = run.await.unwrap();
    assert_eq!((ledger.count(Fate::Unknown), ledger.count(Fate::Unsent)), (2, 1));
    assert_eq!(ledger.total(), 3);
}

#[tokio::test]
async fn a_message_larger_than_the_broker_takes_is_refused_and_the_rest_goes_on() {
    let (listener, address) = listen().await;
    let run = tokio::spawn(async move {
        let (_trigger, shutdown) = Shutdown::new();
        let options = PublisherOptions::new(format!("mqtt://{address}"), "test");
        let publisher = Publisher::connect(&options, &shutdown).await.unwrap();
        for (number, payload_bytes) in [(0, 10), (1, 5000), (2, 10)] {
            let message = Message {
                topic: topic("acme", "bus"),
                payload: vec![b'x'; payload_bytes].into(),
                kind: Kind::Valid,
            };
            let intended = Instant::now();
            let outgoing = Outgoing {
                number,
                message,
                intended,
            };
            publisher.publish(outgoing, &shutdown).await.unwrap();
        }
        publisher.finish(PATIENCE).await
    });
    let (stream, _) = listener.accept().await.unwrap();
    let mut peer = Peer {
        stream,
        input: BytesMut::new(),
    };
    peer.packet().await.unwrap();
    let answer = ConnAck {
        session_present: false,
        code: ConnectReturnCode::Success,
        properties: Some(granting(None, Some(1000))),
    };
    peer.send(&Packet::ConnAck(answer)).await;
    for publish in peer.publishes_until_quiet().await {
        peer.ack(publish.pkid, PubAckReason::Success).await;
    }
    let ledger = run.await.unwrap();
    let expected = [Fate::Acknowledged, Fate::Refused, Fate::Acknowledged];
    assert_eq!(fates(&ledger).into_values().collect::<Vec<_>>(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_not_there_is_named_with_what_was_tried() {
    let (listener, address) = listen().await;
    drop(listener);
    let (_trigger, shutdown) = Shutdown::new();
    let options = PublisherOptions::new(format!("mqtt://{address}"), "test");
    let error = Publisher::connect(&options, &shutdown).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, PublishError::Unreachable { .. }), "{text}");
    assert!(
        text.contains(&format!("`mqtt://{address}`: Connection refused")),
        "{text}"
    );
}

#[tokio::test]
async fn shutdown_ends_the_wait_for_a_broker() {
    let (listener, address) = listen().await;
    let (trigger, shutdown) = Shutdown::new();
    trigger.request();
    let options = PublisherOptions::new(format!("mqtt://{address}"), "test");
    let outcome = Publisher::connect(&options, &shutdown).await;
    assert!(matches!(outcome, Err(PublishError::Shutdown)));
    drop(listener);
}
