//! What a subscriber did not acknowledge comes again, and only that.

use std::time::Duration;

use embedded::limits::MQTT_IN_FLIGHT_DEFAULT;

use crate::rig::{Client, VERSIONS, broker, message};

#[tokio::test(flavor = "multi_thread")]
async fn unacknowledged_messages_come_again_after_a_crash_and_no_others() {
    for version in VERSIONS {
        let broker = broker().await;
        let mut subscriber = Client::new(version, broker.address(), "ingest", false);
        assert!(!subscriber.connect().await, "{version:?}: a new session");
        subscriber.subscribe("telemetry/+/+").await;
        let mut publisher = Client::new(version, broker.address(), "fleet", true);
        publisher.publish((0..60).map(|number| message(number, 100))).await;
        let mut received = Vec::new();
        for _ in 0..60 {
            received.push(subscriber.receive(Duration::from_secs(5)).await.unwrap());
        }
        for message in &received[..25] {
            subscriber.acknowledge(message).await;
        }
        subscriber.settle().await;
        // Dropped without a DISCONNECT: the socket just closes.
        drop(subscriber);
        publisher.publish((60..70).map(|number| message(number, 100))).await;
        let mut subscriber = Client::new(version, broker.address(), "ingest", false);
        assert!(subscriber.connect().await, "{version:?}: the session was kept");
        let mut numbers = Vec::new();
        while let Some(message) = subscriber.receive(Duration::from_secs(1)).await {
            numbers.push(message.number());
            subscriber.acknowledge(&message).await;
        }
        assert_eq!(numbers, (25..70).collect::<Vec<u64>>(), "{version:?}");
        drop(subscriber);
        let mut subscriber = Client::new(version, broker.address(), "ingest", false);
        assert!(subscriber.connect().await);
        assert!(
            subscriber.receive(Duration::from_secs(1)).await.is_none(),
            "{version:?}: all was acknowledged"
        );
        broker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_window_is_bounded_and_moves_with_the_acknowledgements() {
    for version in VERSIONS {
        let broker = broker().await;
        let mut subscriber = Client::new(version, broker.address(), "ingest", false);
        subscriber.connect().await;
        subscriber.subscribe("telemetry/+/+").await;
        let mut publisher = Client::new(version, broker.address(), "fleet", true);
        publisher.publish((0..1000).map(|number| message(number, 100))).await;
        let mut received = Vec::new();
        while let Some(message) = subscriber.receive(Duration::from_secs(1)).await {
            received.push(message);
        }
        assert_eq!(received.len(), MQTT_IN_FLIGHT_DEFAULT, "{version:?}");
        let mut next = 0;
        while next < received.len() {
            subscriber.acknowledge(&received[next]).await;
            next += 1;
            if next % 50 == 0 || next == received.len() {
                while let Some(message) = subscriber.receive(Duration::from_millis(200)).await {
                    received.push(message);
                }
            }
        }
        let numbers: Vec<u64> = received.iter().map(crate::rig::Received::number).collect();
        assert_eq!(
            numbers,
            (0..1000).collect::<Vec<u64>>(),
            "{version:?}: each once, in order"
        );
        broker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_connection_of_a_client_takes_the_session_over() {
    for version in VERSIONS {
        let broker = broker().await;
        let mut first = Client::new(version, broker.address(), "ingest", false);
        first.connect().await;
        first.subscribe("telemetry/+/+").await;
        let mut publisher = Client::new(version, broker.address(), "fleet", true);
        publisher.publish((0..10).map(|number| message(number, 100))).await;
        first.receive(Duration::from_secs(5)).await.unwrap();
        let mut second = Client::new(version, broker.address(), "ingest", false);
        assert!(second.connect().await);
        for number in 0..10 {
            let message = second.receive(Duration::from_secs(5)).await.unwrap();
            assert_eq!(message.number(), number, "{version:?}");
            second.acknowledge(&message).await;
        }
        publisher.publish((10..20).map(|number| message(number, 100))).await;
        for number in 10..20 {
            assert_eq!(
                second.receive(Duration::from_secs(5)).await.unwrap().number(),
                number,
                "{version:?}"
            );
        }
        broker.stop().await;
    }
}
