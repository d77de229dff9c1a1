//! Sessions that exist before their clients: what is acknowledged on an empty folder is kept for who comes later.

use std::{path::Path, time::Duration};

use embedded::mqtt::{MqttBroker, MqttConfig, StandingSession};

use crate::rig::{self, Client, VERSIONS, Version, message};

fn config(folder: &Path, filters: &[&str]) -> MqttConfig {
    let mut config = rig::config(folder);
    config.sessions = vec![StandingSession {
        client_id: "ingest".to_owned(),
        filters: filters.iter().map(|filter| (*filter).to_owned()).collect(),
    }];
    config
}

/// What waits for a client that never asks for it, and whether the broker knew it.
async fn collect(broker: &MqttBroker, version: Version) -> (bool, Vec<(String, u64)>) {
    let mut subscriber = Client::new(version, broker.address(), "ingest", false);
    let is_known = subscriber.connect().await;
    let mut found = Vec::new();
    while let Some(message) = subscriber.receive(Duration::from_secs(1)).await {
        found.push((message.topic(), message.number()));
        subscriber.acknowledge(&message).await;
    }
    subscriber.settle().await;
    (is_known, found)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_message_on_an_empty_folder_is_kept_for_a_client_that_never_came() {
    for version in VERSIONS {
        let folder = tempfile::tempdir().unwrap();
        let broker = MqttBroker::start(config(folder.path(), &["telemetry/#"]))
            .await
            .unwrap();
        let mut publisher = Client::new(version, broker.address(), "fleet", true);
        publisher.publish((0..40).map(|number| message(number, 100))).await;
        broker.stop().await;
        // Nor does a second start lose what the first one kept.
        let broker = MqttBroker::start(config(folder.path(), &["telemetry/#"]))
            .await
            .unwrap();
        let mut publisher = Client::new(version, broker.address(), "fleet", true);
        publisher.publish((40..60).map(|number| message(number, 100))).await;
        let (is_known, found) = collect(&broker, version).await;
        assert!(is_known, "{version:?}");
        assert_eq!(
            found,
            (0..60).map(|number| (message(number, 8).0, number)).collect::<Vec<_>>(),
            "{version:?}"
        );
        broker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filters_are_those_of_the_last_start_and_bring_retained_messages() {
    let folder = tempfile::tempdir().unwrap();
    let broker = MqttBroker::start(config(folder.path(), &["old/#", "both/#"]))
        .await
        .unwrap();
    let mut publisher = Client::new(Version::V5, broker.address(), "fleet", true);
    let payload = |number: u64| message(number, 8).1;
    publisher.publish_retained("new/kept", payload(1)).await;
    publisher.publish([("old/a".to_owned(), payload(2))].into_iter()).await;
    broker.stop().await;
    let broker = MqttBroker::start(config(folder.path(), &["both/#", "new/#"]))
        .await
        .unwrap();
    let mut publisher = Client::new(Version::V5, broker.address(), "fleet", true);
    let topics = ["old/b", "both/a", "new/a"].map(str::to_owned);
    publisher.publish(topics.into_iter().zip((3..).map(payload))).await;
    let (_, found) = collect(&broker, Version::V5).await;
    let expected = [("old/a", 2), ("new/kept", 1), ("both/a", 4), ("new/a", 5)];
    assert_eq!(found, expected.map(|(topic, number)| (topic.to_owned(), number)));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_nobody_can_subscribe_to_is_named_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for filter in ["telemetry/#/a", "$share/group/telemetry/#"] {
        let refused = MqttBroker::start(config(folder.path(), &[filter])).await.unwrap_err();
        assert!(refused.to_string().contains(filter), "{refused}");
    }
}
