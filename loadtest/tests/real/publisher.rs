//! The publisher against a real Mosquitto.

use std::{collections::BTreeMap, time::Duration};

use loadtest::{
    Kind, Message,
    message::topic,
    publisher::{Fate, Ledger, Outgoing, Publisher, PublisherOptions},
};
use platform::shutdown::Shutdown;
use rig::Mosquitto;
use tokio::time::Instant;

use crate::reference::subscribe;

const DEVICES: u64 = 50;

async fn publish(url: String, count: u64, pause: Duration) -> Ledger {
    let (_trigger, shutdown) = Shutdown::new();
    let options = PublisherOptions {
        connections: 4,
        ..PublisherOptions::new(url, "real")
    };
    let publisher = Publisher::connect(&options, &shutdown).await.unwrap();
    for number in 0..count {
        let message = Message {
            topic: topic("acme", &format!("bus-{}", number % DEVICES)),
            payload: number.to_string().into(),
            kind: Kind::Valid,
        };
        let intended = Instant::now();
        publisher
            .publish(
                Outgoing {
                    number,
                    message,
                    intended,
                },
                &shutdown,
            )
            .await
            .unwrap();
        if number % 100 == 0 {
            tokio::time::sleep(pause).await;
        }
    }
    publisher.finish(Duration::from_secs(30)).await
}

/// Numbers by device in the order of their first arrival, once `count` distinct ones have come.
async fn arrivals(
    inbox: &mut tokio::sync::mpsc::UnboundedReceiver<(bytes::Bytes, bytes::Bytes)>,
    count: u64,
) -> BTreeMap<u64, Vec<u64>> {
    let mut seen = std::collections::HashSet::new();
    let mut by_device: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    while (seen.len() as u64) < count {
        let received = tokio::time::timeout(Duration::from_secs(20), inbox.recv()).await;
        let (_, payload) = received.expect("messages keep coming").unwrap();
        let number: u64 = std::str::from_utf8(&payload).unwrap().parse().unwrap();
        if seen.insert(number) {
            by_device.entry(number % DEVICES).or_default().push(number);
        }
    }
    by_device
}

#[tokio::test]
async fn every_acknowledged_message_arrives_once_and_in_order_of_its_device() {
    let broker = Mosquitto::start();
    let mut inbox = subscribe(broker.port(), "watcher").await;
    let ledger = publish(broker.url(), 20_000, Duration::ZERO).await;
    assert_eq!(ledger.count(Fate::Acknowledged), 20_000);
    assert_eq!((ledger.resent_count, ledger.unsolicited_count), (0, 0));
    assert_eq!(ledger.entries.len(), 20_000);
    let by_device = arrivals(&mut inbox, 20_000).await;
    assert!(by_device.values().all(|numbers| numbers.is_sorted()));
    let extra = tokio::time::timeout(Duration::from_millis(300), inbox.recv()).await;
    assert!(extra.is_err(), "one more came: {extra:?}");
}

#[tokio::test]
async fn a_broker_restart_loses_nothing_and_changes_no_order() {
    let mut broker = Mosquitto::start();
    let mut inbox = subscribe(broker.port(), "watcher").await;
    let run = tokio::spawn(publish(broker.url(), 20_000, Duration::from_millis(10)));
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert!(!run.is_finished(), "the restart falls into the run");
        broker = tokio::task::spawn_blocking(move || {
            broker.restart();
            broker
        })
        .await
        .unwrap();
    }
    let ledger = run.await.unwrap();
    assert_eq!(ledger.count(Fate::Acknowledged), 20_000);
    assert!(ledger.reconnect_count >= 4, "{}", ledger.reconnect_count);
    let by_device = arrivals(&mut inbox, 20_000).await;
    assert!(by_device.values().all(|numbers| numbers.is_sorted()));
}

#[tokio::test]
async fn without_a_subscriber_the_broker_says_so_and_we_do_too() {
    let broker = Mosquitto::start();
    let ledger = publish(broker.url(), 10, Duration::ZERO).await;
    assert_eq!(
        (ledger.count(Fate::Unrouted), ledger.count(Fate::Acknowledged)),
        (10, 0)
    );
}
