//! Both versions on one port, large messages, keep-alive 0, wills, and the tools people use.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    time::Duration,
};

use rumqttc::v5;

use crate::rig::{Client, VERSIONS, Version, broker, message};

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_meet_on_one_port() {
    let broker = broker().await;
    let mut subscribers = Vec::new();
    for version in VERSIONS {
        let mut subscriber = Client::new(version, broker.address(), &format!("subscriber-{version:?}"), true);
        subscriber.connect().await;
        subscriber.subscribe("telemetry/+/+").await;
        subscribers.push(subscriber);
    }
    for version in VERSIONS {
        let mut publisher = Client::new(version, broker.address(), &format!("publisher-{version:?}"), true);
        publisher.publish((0..20).map(|number| message(number, 50))).await;
    }
    for subscriber in &mut subscribers {
        for number in (0..20).chain(0..20) {
            let received = subscriber.receive(Duration::from_secs(5)).await.unwrap();
            assert_eq!(received.number(), number);
            assert_eq!(received.topic(), message(number, 0).0);
        }
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_offers_topic_aliases_still_sees_every_topic() {
    let broker = broker().await;
    let mut options = v5::MqttOptions::new("aliases", "127.0.0.1", broker.address().port());
    let mut properties = v5::mqttbytes::v5::ConnectProperties::new();
    properties.topic_alias_max = Some(10);
    options.set_connect_properties(properties);
    let (client, events) = v5::AsyncClient::new(options, 100);
    let mut subscriber = Client::V5(client, Box::new(events));
    subscriber.connect().await;
    subscriber.subscribe("telemetry/+/+").await;
    let mut publisher = Client::new(Version::V5, broker.address(), "fleet", true);
    publisher.publish((0..100).map(|number| message(number, 50))).await;
    for number in 0..100 {
        assert_eq!(
            subscriber.receive(Duration::from_secs(5)).await.unwrap().topic(),
            message(number, 0).0
        );
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_over_the_ingest_limit_gets_through_and_one_over_the_packet_limit_does_not() {
    for version in VERSIONS {
        let broker = broker().await;
        let mut subscriber = Client::new(version, broker.address(), "ingest", false);
        subscriber.connect().await;
        subscriber.subscribe("telemetry/+/+").await;
        let mut publisher = Client::new(version, broker.address(), "fleet", true);
        publisher.publish(std::iter::once(message(1, 3 << 19))).await;
        let received = subscriber.receive(Duration::from_secs(5)).await.unwrap();
        assert_eq!(received.payload().len(), 3 << 19, "{version:?}");
        let (mut stream, mut answer) = (TcpStream::connect(broker.address()).unwrap(), Vec::new());
        stream.write_all(b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01z").unwrap();
        stream.write_all(&[0x30, 0x80, 0x80, 0x80, 0x04]).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"\x20\x02\0\0", "a CONNACK, then the end");
        broker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keep_alive_zero_is_accepted_and_others_are_enforced() {
    let broker = broker().await;
    let connect = |keep_alive: u8, id: u8| {
        let mut stream = TcpStream::connect(broker.address()).unwrap();
        stream
            .write_all(&[&b"\x10\x0d\0\x04MQTT\x04\x02\0"[..], &[keep_alive, 0, 1, id]].concat())
            .unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut connack = [0; 4];
        stream.read_exact(&mut connack).unwrap();
        assert_eq!(connack, [0x20, 2, 0, 0]);
        stream
    };
    let (mut forever, mut short) = (connect(0, b'a'), connect(1, b'b'));
    assert_eq!(
        short.read(&mut [0; 1]).unwrap(),
        0,
        "silent for one and a half times its keep-alive"
    );
    forever.write_all(&[0xc0, 0]).unwrap();
    let mut pong = [0; 2];
    forever.read_exact(&mut pong).unwrap();
    assert_eq!(pong, [0xd0, 0]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_its_time_is_over() {
    let broker = broker().await;
    let connect = |expiry: u32| {
        let mut options = v5::MqttOptions::new("short", "127.0.0.1", broker.address().port());
        options.set_clean_start(false).set_session_expiry_interval(Some(expiry));
        let (client, events) = v5::AsyncClient::new(options, 100);
        Client::V5(client, Box::new(events))
    };
    assert!(!connect(1).connect().await);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(connect(1).connect().await, "within its time");
    tokio::time::sleep(Duration::from_millis(2000)).await;
    assert!(!connect(0).connect().await, "after its time");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!connect(0).connect().await, "an expiry of zero keeps nothing");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_broker_frees_its_port() {
    let broker = broker().await;
    let address = broker.address();
    let mut stream = TcpStream::connect(address).unwrap();
    broker.stop().await;
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert!(
        matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_)),
        "open connections are closed"
    );
    assert!(TcpStream::connect(address).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn mosquitto_tools_publish_in_both_versions_and_every_qos() {
    let broker = broker().await;
    let port = broker.address().port().to_string();
    let mut subscriber = Client::new(Version::V5, broker.address(), "ingest", false);
    subscriber.connect().await;
    subscriber.subscribe("telemetry/+/+").await;
    for version in ["311", "5"] {
        for qos in ["0", "1", "2"] {
            let text = format!("{version}-{qos}-{}", "x".repeat(20));
            let arguments = [
                "-p",
                &port,
                "-V",
                version,
                "-q",
                qos,
                "-t",
                "telemetry/acme/a",
                "-m",
                &text,
            ];
            let status = Command::new("mosquitto_pub").args(arguments).status();
            let status = status.expect("`mosquitto_pub` is installed: `cargo xtask setup` does it");
            assert!(status.success(), "{version} {qos}");
            let received = subscriber.receive(Duration::from_secs(5)).await.unwrap();
            assert_eq!(received.payload(), text.as_bytes());
            subscriber.acknowledge(&received).await;
        }
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_will_is_published_when_the_client_vanishes_only() {
    let broker = broker().await;
    let mut subscriber = Client::new(Version::V4, broker.address(), "ingest", false);
    subscriber.connect().await;
    subscriber.subscribe("telemetry/+/+").await;
    let connect = || {
        let mut stream = TcpStream::connect(broker.address()).unwrap();
        let body = b"\0\x04MQTT\x04\x06\0\x3c\0\x01w\0\x10telemetry/a/gone\0\x08       7";
        stream
            .write_all(&[&[0x10, u8::try_from(body.len()).unwrap()], body.as_slice()].concat())
            .unwrap();
        stream.read_exact(&mut [0; 4]).unwrap();
        stream
    };
    let mut polite = connect();
    polite.write_all(&[0xe0, 0]).unwrap();
    drop(polite);
    assert!(subscriber.receive(Duration::from_millis(700)).await.is_none());
    drop(connect());
    let will = subscriber.receive(Duration::from_secs(5)).await.unwrap();
    assert_eq!((will.topic().as_str(), will.number()), ("telemetry/a/gone", 7));
    broker.stop().await;
}
