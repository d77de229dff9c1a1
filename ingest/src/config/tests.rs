//! Settings are refused with every fault named at once, and never show a password.

use schemas::topic::TopicPattern;

use super::*;

fn settings() -> IngestSettings {
    let route = Route {
        filter: Filter("telemetry/+/+".into()),
        topic: TopicPattern::parse("telemetry/{tenant}/{device}").unwrap(),
        format: PayloadFormat::Json,
    };
    IngestSettings::new(
        "one",
        vec![BrokerSettings::new("edge", "mqtt://localhost:1883")],
        vec![route],
    )
}

#[test]
fn defaults_are_valid() {
    settings().check().unwrap();
}

#[test]
fn every_fault_is_named_at_once() {
    let mut bad = settings();
    bad.instance.clear();
    bad.brokers[0].url = "http://localhost".into();
    bad.brokers[0].receive_maximum = 0;
    bad.brokers.push(bad.brokers[0].clone());
    let text = bad.check().unwrap_err().to_string();
    for part in [
        "`instance`",
        "`mqtt.brokers[0].url`",
        "`mqtt.brokers[1].receive_maximum`",
        "client_id",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn client_ids_are_stable_and_differ_between_connections() {
    let mut several = settings();
    assert_eq!(several.client_id(&several.brokers[0], 0), "meridian-one-edge");
    several.brokers[0].connections = vec![vec![Filter("a/#".into())], vec![Filter("b/#".into())]];
    assert_eq!(several.client_id(&several.brokers[0], 1), "meridian-one-edge-1");
    several.check().unwrap();
}

#[test]
fn a_password_is_never_printed() {
    let mut broker = BrokerSettings::new("edge", "mqtt://localhost");
    broker.password = Some("hunter2".into());
    assert!(!format!("{broker:?}").contains("hunter2"));
}
