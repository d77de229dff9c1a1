//! With real Mosquitto, as the product configures it.

use std::time::Duration;

use eventlog::MemoryLog;
use ingest::{BrokerSettings, Protocol};
use rig::{Mosquitto, MosquittoOptions};
use rumqttc::v5::mqttbytes::QoS;

use crate::{
    publisher::{events, publish_all, publish_all_at},
    running::{Running, memory_log, settings, stored_dead_letters, stored_events},
};

fn broker(mosquitto: &Mosquitto, protocol: Protocol) -> BrokerSettings {
    let mut broker = BrokerSettings::new("edge", &mosquitto.url());
    broker.protocol = protocol;
    broker.keep_alive = Duration::from_secs(5);
    broker
}

async fn start(mosquitto: &Mosquitto, protocol: Protocol, log: &MemoryLog) -> Running {
    let running = Running::start(settings(broker(mosquitto, protocol)), log);
    running.until_ready().await;
    running
}

async fn twenty_thousand_messages_arrive_once_each(protocol: Protocol) {
    let (mosquitto, log) = (Mosquitto::start(), memory_log());
    let running = start(&mosquitto, protocol, &log).await;
    publish_all(&mosquitto.url(), events(0..20_000)).await;
    let totals = running
        .until("all acknowledged", |totals| totals.acknowledged == 20_000)
        .await;
    assert_eq!((totals.received, totals.redelivered, totals.in_flight), (20_000, 0, 0));
    let stored = stored_events(&log);
    assert_eq!(stored.len(), 20_000);
    assert!(stored.values().all(|count| *count == 1));
    running.stop().await.unwrap();
    // Had the broker missed an acknowledgement, it would send the message to the next connection.
    let again = start(&mosquitto, protocol, &log).await;
    publish_all(&mosquitto.url(), events(20_000..20_001)).await;
    again.until("the last one", |totals| totals.acknowledged == 1).await;
    assert_eq!(again.totals().received, 1);
    again.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_messages_arrive_once_each_over_mqtt_5() {
    twenty_thousand_messages_arrive_once_each(Protocol::V5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_messages_arrive_once_each_over_mqtt_3_1_1() {
    twenty_thousand_messages_arrive_once_each(Protocol::V311).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_every_qos_arrive() {
    let (mosquitto, log) = (Mosquitto::start(), memory_log());
    let running = start(&mosquitto, Protocol::V5, &log).await;
    for (qos, range) in [
        (QoS::AtMostOnce, 0..100),
        (QoS::AtLeastOnce, 100..200),
        (QoS::ExactlyOnce, 200..300),
    ] {
        publish_all_at(&mosquitto.url(), qos, events(range)).await;
    }
    running.until("all released", |totals| totals.acknowledged == 300).await;
    assert_eq!(stored_events(&log).len(), 300);
}

/// What section 3 of the contract refuses, with the reason for each.
fn bad_messages() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let deep = format!(r#"{{"a":1,"x":{}1{}}}"#, "[".repeat(9), "]".repeat(9));
    let many: Vec<String> = (0..257).map(|number| format!(r#""m{number}":1"#)).collect();
    let batch = format!("[{}]", vec![r#"{"a":1}"#; 10_001].join(","));
    let good = r#"{"a":1}"#;
    [
        ("invalid_topic", "telemetry/acme", good.to_owned()),
        ("invalid_topic", "telemetry/acme/b us", good.to_owned()),
        ("invalid_topic", "telemetry//bus", good.to_owned()),
        (
            "payload_too_large",
            "telemetry/acme/bus",
            format!(r#"{{"a":1,"x":"{}"}}"#, "y".repeat(256 << 10)),
        ),
        ("invalid_json", "telemetry/acme/bus", "{".to_owned()),
        ("invalid_json", "telemetry/acme/bus", String::new()),
        ("not_an_object", "telemetry/acme/bus", "42".to_owned()),
        ("non_finite_number", "telemetry/acme/bus", r#"{"a":NaN}"#.to_owned()),
        ("non_finite_number", "telemetry/acme/bus", r#"{"a":1e999}"#.to_owned()),
        (
            "latitude_out_of_range",
            "telemetry/acme/bus",
            r#"{"lat":91,"lon":0}"#.to_owned(),
        ),
        (
            "longitude_out_of_range",
            "telemetry/acme/bus",
            r#"{"lat":0,"lon":181}"#.to_owned(),
        ),
        (
            "incomplete_position",
            "telemetry/acme/bus",
            r#"{"lat":1,"a":1}"#.to_owned(),
        ),
        ("no_data", "telemetry/acme/bus", "{}".to_owned()),
        ("nesting_too_deep", "telemetry/acme/bus", deep),
        (
            "too_many_metrics",
            "telemetry/acme/bus",
            format!("{{{}}}", many.join(",")),
        ),
        ("batch_too_large", "telemetry/acme/bus", batch),
    ]
    .map(|(reason, topic, payload)| (reason, topic, payload.into_bytes()))
    .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_bad_message_is_one_dead_letter_and_harms_no_neighbour() {
    let (mosquitto, log) = (Mosquitto::start(), memory_log());
    let running = start(&mosquitto, Protocol::V5, &log).await;
    let bad = bad_messages();
    let mut good = events(0..100);
    let mut messages = Vec::new();
    for (_, topic, payload) in &bad {
        messages.extend(good.next());
        messages.push(((*topic).to_owned(), payload.clone()));
    }
    messages.extend(good);
    let count = messages.len() as u64;
    publish_all(&mosquitto.url(), messages).await;
    let totals = running
        .until("all released", |totals| {
            totals.acknowledged + totals.dead_lettered == count
        })
        .await;
    assert_eq!((totals.acknowledged, totals.dead_lettered), (100, bad.len() as u64));
    assert_eq!(stored_events(&log).len(), 100);
    let mut expected: Vec<_> = bad.into_iter().map(|(reason, _, payload)| (reason, payload)).collect();
    expected.sort_unstable();
    assert!(
        stored_dead_letters(&log) == expected,
        "each with its reason and its original bytes"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_restarts_delivers_what_it_kept() {
    let (mut mosquitto, log) = (Mosquitto::start(), memory_log());
    let running = start(&mosquitto, Protocol::V5, &log).await;
    publish_all(&mosquitto.url(), events(0..1_000)).await;
    running
        .until("the first thousand", |totals| totals.acknowledged == 1_000)
        .await;
    mosquitto.restart();
    publish_all(&mosquitto.url(), events(1_000..2_000)).await;
    // What the broker had not heard acknowledged when it stopped comes twice; nothing is missing.
    running.until("all of it", |_| stored_events(&log).len() == 2_000).await;
    let totals = running.until("all released", |totals| totals.in_flight == 0).await;
    assert_eq!((totals.connections, totals.session_gaps), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_forgot_us_is_subscribed_again_and_the_gap_is_counted() {
    let forgetful = MosquittoOptions::default().with("persistence", "false");
    let (mut mosquitto, log) = (Mosquitto::start_with(forgetful), memory_log());
    let running = start(&mosquitto, Protocol::V5, &log).await;
    mosquitto.kill9();
    mosquitto.restart();
    running.until("a gap", |totals| totals.session_gaps == 1).await;
    running.until_ready().await;
    publish_all(&mosquitto.url(), events(0..100)).await;
    running
        .until("what came after", |totals| totals.acknowledged == 100)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_broker_is_left_and_found_again() {
    let (mosquitto, log) = (Mosquitto::start(), memory_log());
    let running = start(&mosquitto, Protocol::V5, &log).await;
    mosquitto.pause();
    let started = std::time::Instant::now();
    while running.health.report().is_ready() {
        assert!(started.elapsed() < Duration::from_secs(30), "nobody noticed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    mosquitto.resume();
    running
        .until("a new connection", |totals| totals.connections >= 2)
        .await;
    publish_all(&mosquitto.url(), events(0..100)).await;
    running
        .until("what came after", |totals| totals.acknowledged == 100)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_log_is_down_nothing_is_acknowledged_and_all_comes_after() {
    let (mosquitto, log) = (Mosquitto::start(), memory_log());
    let running = start(&mosquitto, Protocol::V5, &log).await;
    log.set_unavailable(true);
    publish_all(&mosquitto.url(), events(0..20_000)).await;
    running
        .until("a filled window", |totals| totals.in_flight >= 1_000)
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let down = running.totals();
    assert_eq!((down.acknowledged, down.dead_lettered, down.events), (0, 0, 0));
    assert!(down.in_flight <= 5_000, "{down:?}");
    log.set_unavailable(false);
    running
        .until("all of it", |_| stored_events(&log).len() == 20_000)
        .await;
    running.until("all released", |totals| totals.in_flight == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_mid_stream_loses_nothing_that_was_acknowledged() {
    let (mosquitto, log) = (Mosquitto::start(), memory_log());
    let mut running = start(&mosquitto, Protocol::V5, &log).await;
    let url = mosquitto.url();
    let device = tokio::spawn(async move { publish_all(&url, events(0..20_000)).await });
    for crash in 1..=3 {
        running
            .until("some traffic", |totals| {
                totals.acknowledged >= 1_000 || stored_events(&log).len() > 15_000
            })
            .await;
        running.crash().await;
        assert!(crash <= 3);
        running = start(&mosquitto, Protocol::V5, &log).await;
    }
    device.await.unwrap();
    let started = std::time::Instant::now();
    while stored_events(&log).len() < 20_000 {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "{} stored",
            stored_events(&log).len()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    running.until("all released", |totals| totals.in_flight == 0).await;
    assert_eq!(running.totals().session_gaps, 0);
}
