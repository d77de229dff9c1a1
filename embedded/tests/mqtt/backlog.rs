//! What waits for a subscriber that is away.

use std::time::{Duration, Instant};

use embedded::mqtt::MqttBroker;

use crate::rig::{Client, VERSIONS, broker, message};

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_messages_wait_for_an_absent_subscriber() {
    const MESSAGES: u64 = 100_000;
    for version in VERSIONS {
        let broker = broker().await;
        let mut subscriber = Client::new(version, broker.address(), "ingest", false);
        subscriber.connect().await;
        subscriber.subscribe("telemetry/+/+").await;
        drop(subscriber);
        let mut publisher = Client::new(version, broker.address(), "fleet", true);
        let started = Instant::now();
        publisher
            .publish((0..MESSAGES).map(|number| message(number, 200)))
            .await;
        println!("{version:?}: {MESSAGES} published in {:?}", started.elapsed());
        let mut subscriber = Client::new(version, broker.address(), "ingest", false);
        assert!(subscriber.connect().await);
        let started = Instant::now();
        for number in 0..MESSAGES {
            let message = subscriber.receive(Duration::from_secs(10)).await;
            let message = message.unwrap_or_else(|| panic!("{version:?}: message {number} never came"));
            assert_eq!(message.number(), number, "{version:?}");
            subscriber.acknowledge(&message).await;
        }
        println!("{version:?}: {MESSAGES} received in {:?}", started.elapsed());
        broker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_makes_publishers_wait_and_loses_nothing() {
    const STORED_BYTES_MAX: u64 = 4 << 20;
    const PAYLOAD_BYTES: usize = 10_000;
    for version in VERSIONS {
        let folder = tempfile::tempdir().unwrap();
        let mut config = crate::rig::config(folder.path());
        config.stored_bytes_max = STORED_BYTES_MAX;
        let broker = MqttBroker::start(config).await.unwrap();
        let mut subscriber = Client::new(version, broker.address(), "ingest", false);
        subscriber.connect().await;
        subscriber.subscribe("telemetry/+/+").await;
        drop(subscriber);
        let count = 3 * STORED_BYTES_MAX / PAYLOAD_BYTES as u64;
        let mut publisher = Client::new(version, broker.address(), "fleet", true);
        let mut publishing = tokio::spawn(async move {
            publisher
                .publish((0..count).map(|number| message(number, PAYLOAD_BYTES)))
                .await;
        });
        let waited = tokio::time::timeout(Duration::from_secs(3), &mut publishing).await;
        assert!(
            waited.is_err(),
            "{version:?}: three times as much as fits is not acknowledged"
        );
        let stored: u64 = std::fs::read_dir(folder.path().join("mqtt"))
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert!(stored < 2 * STORED_BYTES_MAX, "{version:?}: {stored} bytes");
        let mut subscriber = Client::new(version, broker.address(), "ingest", false);
        assert!(subscriber.connect().await);
        for number in 0..count {
            let message = subscriber.receive(Duration::from_secs(10)).await;
            let message = message.unwrap_or_else(|| panic!("{version:?}: message {number} never came"));
            assert_eq!(message.number(), number, "{version:?}");
            subscriber.acknowledge(&message).await;
        }
        publishing.await.unwrap();
        broker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_does_not_read_neither_holds_up_others_nor_misses_anything() {
    for version in VERSIONS {
        let broker = broker().await;
        let mut slow = Client::new(version, broker.address(), "slow", false);
        slow.connect().await;
        slow.subscribe("telemetry/+/+").await;
        let mut quick = Client::new(version, broker.address(), "quick", false);
        quick.connect().await;
        quick.subscribe("telemetry/+/+").await;
        let mut publisher = Client::new(version, broker.address(), "fleet", true);
        let publishing = tokio::spawn(async move {
            publisher.publish((0..2000).map(|number| message(number, 4000))).await;
        });
        // Eight megabytes: more than sockets and the queue in memory hold.
        for subscriber in [&mut quick, &mut slow] {
            for number in 0..2000 {
                let message = subscriber.receive(Duration::from_secs(10)).await.unwrap();
                assert_eq!(message.number(), number, "{version:?}");
                subscriber.acknowledge(&message).await;
            }
        }
        publishing.await.unwrap();
        broker.stop().await;
    }
}
