//! Every kind of bad message becomes one dead letter with its reason and its bytes, and harms no neighbour.

use clickhouse::Row;
use loadtest::poison::PoisonKind;
use serde::Deserialize;

use crate::{
    device::{Publish, Version, publish},
    meridian::Up,
};

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Row, Deserialize)]
struct Letter {
    reason: String,
    topic: String,
    payload: String,
    broker: String,
    stage: String,
}

#[tokio::test]
async fn every_kind_of_bad_message_is_one_dead_letter_and_its_neighbours_are_stored() {
    let mut up = Up::start(&[]);
    let mut expected = Vec::new();
    for (version, mark) in [(Version::V5, 1), (Version::V311, 2)] {
        let mut messages = Vec::new();
        for (index, kind) in PoisonKind::ALL.into_iter().enumerate() {
            let bad = kind.message("acme", "bad", mark);
            let topic = String::from_utf8(bad.topic.to_vec()).unwrap();
            expected.push(Letter {
                reason: kind.reason().as_str().to_owned(),
                topic: topic.clone(),
                payload: hex(&bad.payload),
                broker: "embedded".to_owned(),
                stage: "ingest".to_owned(),
            });
            messages.push(Publish {
                qos: u8::try_from(index % 2 + 1).unwrap(),
                ..Publish::new(&topic, bad.payload.to_vec())
            });
            messages.push(Publish::new(
                &format!("telemetry/acme/good-{mark}"),
                format!(r#"{{"seq":{index},"v":1}}"#),
            ));
        }
        publish(&up.mqtt(), version, messages).await;
    }
    let store = up.store();
    let kinds = PoisonKind::ALL.len() as u64;
    store.wait_until_complete(2 * kinds).await;
    store.wait_for("SELECT count() FROM dead_letters", 2 * kinds).await;
    let mut found: Vec<Letter> = store
        .rows("SELECT reason, topic, lower(hex(payload)) AS payload, broker, stage FROM dead_letters")
        .await;
    found.sort();
    expected.sort();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        // Not `assert_eq!`: one of them is 256 KiB long.
        assert!(
            found == expected,
            "{} {} / {} {}",
            found.reason,
            found.topic,
            expected.reason,
            expected.topic
        );
    }
    assert_eq!(store.number("SELECT uniqExact(id) FROM dead_letters").await, 2 * kinds);
    up.stop();
}

#[tokio::test]
async fn a_topic_with_a_level_too_few_or_too_many_is_one_dead_letter() {
    let mut up = Up::start(&[]);
    let topics = [
        "telemetry",
        "telemetry/acme",
        "telemetry/acme/a/b",
        "telemetry/acme/a/b/c/d",
    ];
    for version in [Version::V5, Version::V311] {
        let mut messages: Vec<Publish> = topics.map(|topic| Publish::new(topic, r#"{"v":1}"#)).into();
        messages.push(Publish::new("telemetry/acme/good", r#"{"v":1}"#));
        publish(&up.mqtt(), version, messages).await;
    }
    let store = up.store();
    store.wait_until_complete(2).await;
    store.wait_for("SELECT count() FROM dead_letters", 8).await;
    for topic in topics {
        let sql = format!(
            "SELECT count() FROM dead_letters WHERE topic = '{topic}' AND reason = 'invalid_topic' AND payload = '{{\"v\":1}}'"
        );
        assert_eq!(store.number(&sql).await, 2, "{topic}");
    }
    up.stop();
}

/// A good message that is mostly padding, which decoding leaves out.
fn padded(bytes: usize) -> String {
    let mut payload = r#"{"v":1,"padding":[""#.to_owned();
    payload.extend(std::iter::repeat_n('x', bytes - payload.len() - 3));
    payload + "\"]}"
}

#[tokio::test]
async fn a_payload_of_many_times_the_bound_is_a_dead_letter_and_the_connection_lives() {
    let mut up = Up::start(&[]);
    for version in [Version::V5, Version::V311] {
        let sizes = [(1 << 20) + 1, 3 << 20, (8 << 20) - 100];
        let mut messages: Vec<Publish> = sizes
            .map(|bytes| Publish::new("telemetry/acme/large", padded(bytes)))
            .into();
        messages.push(Publish::new("telemetry/acme/good", r#"{"v":1}"#));
        publish(&up.mqtt(), version, messages).await;
    }
    let store = up.store();
    store.wait_until_complete(2).await;
    let letters = "SELECT count() FROM dead_letters WHERE reason = 'payload_too_large'";
    store.wait_for(letters, 6).await;
    assert_eq!(store.dead_letters().await, 6);
    up.stop();
}

#[tokio::test]
async fn the_broker_takes_whatever_the_configuration_lets_ingest_decode() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("meridian.toml");
    std::fs::write(&file, "[ingest]\npayload_bytes_max = \"4MiB\"\n").unwrap();
    let mut up = Up::start(&["--config", file.to_str().unwrap()]);
    let messages = [4 << 20, (16 << 20) - 100].map(|bytes| Publish::new("telemetry/acme/large", padded(bytes)));
    publish(&up.mqtt(), Version::V5, messages.into()).await;
    let store = up.store();
    store.wait_until_complete(1).await;
    store
        .wait_for("SELECT count() FROM dead_letters WHERE reason = 'payload_too_large'", 1)
        .await;
    up.stop();
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}
