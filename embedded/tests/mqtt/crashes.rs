//! What was acknowledged is there after `kill -9` at any moment, in order; a folder has one owner.
//!
//! The broker that is killed is a child process: this test binary, told by the environment to be one.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use embedded::mqtt::MqttBroker;
use rand::RngExt;

use crate::rig::{self, Client, Received, VERSIONS, Version, broker};

const FOLDER_VARIABLE: &str = "MERIDIAN_TEST_BROKER_FOLDER";

/// Not a test of its own: the body of the child process. Without the variable there is nothing to serve.
#[tokio::test(flavor = "multi_thread")]
async fn child_broker() {
    let Some(folder) = std::env::var_os(FOLDER_VARIABLE) else {
        return;
    };
    match MqttBroker::start(rig::config(Path::new(&folder))).await {
        Err(error) => println!("\nrefused: {error}"),
        Ok(broker) => {
            println!("\nlistening: {}", broker.address());
            std::future::pending::<()>().await;
        }
    }
}

struct Killable {
    child: Child,
    address: SocketAddr,
    /// Kept open: the child writes to it to its end.
    output: BufReader<ChildStdout>,
}

impl Killable {
    fn start(folder: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "crashes::child_broker", "--nocapture"]);
        let mut child = command
            .env(FOLDER_VARIABLE, folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            output,
        };
        let mut line = String::new();
        while server.output.read_line(&mut line).unwrap() > 0 {
            if let Some(address) = std::mem::take(&mut line).trim_end().strip_prefix("listening: ") {
                server.address = address.parse().unwrap();
                return server;
            }
        }
        panic!("the broker ended without a word");
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        // Without effect when it has been killed and waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Publishes numbers from `first` on until the broker is gone; returns how many of them it acknowledged.
async fn publish_until_killed(version: Version, address: SocketAddr, first: u64) -> u64 {
    let mut publisher = Client::new(version, address, &format!("fleet-{version:?}"), true);
    let topic = topic(version);
    let sender = publisher.sender();
    let sending = tokio::spawn(async move {
        for number in first.. {
            let (_, payload) = rig::message(number, 100);
            if sender.publish(&topic, payload).await.is_err() {
                return;
            }
        }
    });
    let mut acknowledged = 0;
    while let Ok(is_acknowledgement) = publisher.try_acknowledged().await {
        acknowledged += u64::from(is_acknowledgement);
    }
    sending.abort();
    acknowledged
}

fn topic(version: Version) -> String {
    format!("telemetry/acme/{version:?}")
}

/// Reads until the broker is gone, and acknowledges most of it late.
async fn read_until_killed(version: Version, address: SocketAddr) -> Vec<(String, u64)> {
    let mut subscriber = Client::new(version, address, &format!("ingest-{version:?}"), false);
    let (mut read, mut open) = (Vec::new(), Vec::new());
    while let Ok(received) = subscriber.try_receive().await {
        let Some(message) = received else { continue };
        read.push((message.topic(), message.number()));
        open.push(message);
        if open.len() >= 40 {
            for message in open.drain(..30) {
                if subscriber.try_acknowledge(&message).is_err() {
                    return read;
                }
            }
        }
    }
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_message_survives_kills_at_random_moments_in_order() {
    const ROUNDS: usize = 6;
    let folder = tempfile::tempdir().unwrap();
    let mut next = [0_u64; 2];
    let mut read: [Vec<(String, u64)>; 2] = [Vec::new(), Vec::new()];
    let server = Killable::start(folder.path());
    for version in VERSIONS {
        let mut subscriber = Client::new(version, server.address, &format!("ingest-{version:?}"), false);
        subscriber.connect().await;
        subscriber.subscribe("telemetry/+/+").await;
    }
    server.kill();
    for round in 0..ROUNDS {
        let server = Killable::start(folder.path());
        let address = server.address;
        let publishers =
            VERSIONS.map(|version| tokio::spawn(publish_until_killed(version, address, next[version as usize])));
        // One of the subscribers is away in every other round.
        let present = VERSIONS.map(|version| round % 2 == 0 || version == Version::V5);
        let subscribers = VERSIONS.map(|version| {
            tokio::spawn(async move {
                match present[version as usize] {
                    true => read_until_killed(version, address).await,
                    false => Vec::new(),
                }
            })
        });
        tokio::time::sleep(Duration::from_millis(rand::rng().random_range(100..700))).await;
        server.kill();
        for (index, publisher) in publishers.into_iter().enumerate() {
            next[index] += publisher.await.unwrap();
        }
        for (index, subscriber) in subscribers.into_iter().enumerate() {
            read[index].extend(subscriber.await.unwrap());
        }
    }
    let server = Killable::start(folder.path());
    for version in VERSIONS {
        let mut subscriber = Client::new(version, server.address, &format!("ingest-{version:?}"), false);
        assert!(subscriber.connect().await, "{version:?}: the session survived");
        while let Some(message) = subscriber.receive(Duration::from_secs(2)).await {
            read[version as usize].push((message.topic(), message.number()));
            subscriber.acknowledge(&message).await;
        }
    }
    server.kill();
    println!("acknowledged: {next:?}");
    assert!(
        next.iter().all(|acknowledged| *acknowledged > 100),
        "there was something to lose: {next:?}"
    );
    for (subscriber, publisher) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let topic = topic(VERSIONS[publisher]);
        let of_publisher = read[subscriber].iter().filter(|(of, _)| *of == topic);
        let mut seen = 0;
        for (_, number) in of_publisher {
            assert!(
                *number <= seen,
                "subscriber {subscriber}: {topic} {number} came before {seen}"
            );
            seen = seen.max(number + 1);
        }
        assert!(
            seen >= next[publisher],
            "subscriber {subscriber} of {topic}: {seen} of {}",
            next[publisher]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_after_a_kill_says_so_and_keeps_its_packet_identifier() {
    for version in VERSIONS {
        let folder = tempfile::tempdir().unwrap();
        let server = Killable::start(folder.path());
        let mut subscriber = Client::new(version, server.address, "ingest", false);
        subscriber.connect().await;
        subscriber.subscribe("telemetry/+/+").await;
        let mut publisher = Client::new(version, server.address, "fleet", true);
        publisher.publish((0..30).map(|number| rig::message(number, 50))).await;
        let mut first = Vec::new();
        for _ in 0..30 {
            let message = subscriber.receive(Duration::from_secs(5)).await.unwrap();
            assert!(!message.is_again(), "{version:?}");
            first.push((message.number(), message.packet_id()));
            if message.number() < 10 {
                subscriber.acknowledge(&message).await;
            }
        }
        subscriber.settle().await;
        server.kill();
        let server = Killable::start(folder.path());
        let mut subscriber = Client::new(version, server.address, "ingest", false);
        assert!(subscriber.connect().await);
        let mut again = Vec::new();
        while let Some(message) = subscriber.receive(Duration::from_secs(1)).await {
            assert!(message.is_again(), "{version:?}");
            again.push((message.number(), message.packet_id()));
        }
        assert_eq!(again, first[10..], "{version:?}");
        let mut publisher = Client::new(version, server.address, "fleet", true);
        publisher.publish(std::iter::once(rig::message(30, 50))).await;
        let fresh = subscriber.receive(Duration::from_secs(5)).await.unwrap();
        assert!(fresh.number() == 30 && !fresh.is_again(), "{version:?}");
        server.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_and_a_start_change_nothing_for_sessions_and_retained_messages() {
    for version in VERSIONS {
        let broker = broker().await;
        let mut subscriber = Client::new(version, broker.address(), "ingest", false);
        subscriber.connect().await;
        subscriber.subscribe("telemetry/+/+").await;
        let mut publisher = Client::new(version, broker.address(), "fleet", true);
        publisher.publish((0..20).map(|number| rig::message(number, 50))).await;
        publisher.publish_retained("state/door", b"open".to_vec()).await;
        for number in 0..20 {
            let message = subscriber.receive(Duration::from_secs(5)).await.unwrap();
            if number < 15 {
                subscriber.acknowledge(&message).await;
            }
        }
        subscriber.settle().await;
        let broker = broker.restart().await;
        let mut subscriber = Client::new(version, broker.address(), "ingest", false);
        assert!(subscriber.connect().await, "{version:?}");
        for number in 15..20 {
            let message = subscriber.receive(Duration::from_secs(5)).await.unwrap();
            assert!(message.number() == number && message.is_again(), "{version:?}");
        }
        subscriber.subscribe("state/#").await;
        let retained = subscriber.receive(Duration::from_secs(5)).await.unwrap();
        assert_eq!(
            (retained.topic().as_str(), retained.payload()),
            ("state/door", &b"open"[..])
        );
        assert!(retained.is_retained(), "{version:?}");
        broker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_unfinished_is_cut_off_and_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Killable::start(folder.path());
    let mut subscriber = Client::new(Version::V5, server.address, "ingest", false);
    subscriber.connect().await;
    subscriber.subscribe("telemetry/+/+").await;
    drop(subscriber);
    let mut publisher = Client::new(Version::V4, server.address, "fleet", true);
    publisher.publish((0..20).map(|number| rig::message(number, 50))).await;
    publisher.publish_retained("state/door", b"open".to_vec()).await;
    server.kill();
    let path = folder.path().join("mqtt");
    // The start of a record that says it goes on, noise, and a new file that was not even begun.
    for (name, garbage) in [
        ("0000000000000001.log", &b"\xff\0\0\0\x12\x34\x56\x78\x03"[..]),
        ("retained.log", b"\x09noise"),
        ("0000000000000002.log", b"\x11\0\0"),
    ] {
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(path.join(name))
            .unwrap();
        file.write_all(garbage).unwrap();
    }
    for round in 1..3 {
        let server = Killable::start(folder.path());
        let mut publisher = Client::new(Version::V4, server.address, "fleet", true);
        publisher.publish(std::iter::once(rig::message(19 + round, 50))).await;
        publisher
            .publish_retained(&format!("state/{round}"), b"open".to_vec())
            .await;
        let mut subscriber = Client::new(Version::V5, server.address, "ingest", false);
        assert!(subscriber.connect().await);
        for number in 0..20 + round {
            assert_eq!(
                subscriber.receive(Duration::from_secs(5)).await.unwrap().number(),
                number
            );
        }
        let mut reader = Client::new(Version::V5, server.address, "reader", true);
        reader.connect().await;
        reader.subscribe("state/#").await;
        for _ in 0..=round {
            assert!(reader.receive(Duration::from_secs(5)).await.unwrap().is_retained());
        }
        server.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = MqttBroker::start(rig::config(folder.path())).await.unwrap();
    let refused = MqttBroker::start(rig::config(folder.path())).await.unwrap_err();
    assert!(refused.to_string().contains("in use by another process"), "{refused}");
    first.stop().await;
    MqttBroker::start(rig::config(folder.path()))
        .await
        .unwrap()
        .stop()
        .await;
}

impl Received {
    fn is_again(&self) -> bool {
        match self {
            Self::V4(publish) => publish.dup,
            Self::V5(publish) => publish.dup,
        }
    }

    fn is_retained(&self) -> bool {
        match self {
            Self::V4(publish) => publish.retain,
            Self::V5(publish) => publish.retain,
        }
    }

    fn packet_id(&self) -> u16 {
        match self {
            Self::V4(publish) => publish.pkid,
            Self::V5(publish) => publish.pkid,
        }
    }
}
