//! What waits for a subscriber that is away.

use std::time::{Duration, Instant};

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
