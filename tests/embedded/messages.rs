//! Every form of a good message, in every quality of service and both versions of MQTT, becomes exact rows.

use std::{
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use clickhouse::Row;
use serde::Deserialize;

use crate::{
    device::{Publish, Version, publish},
    meridian::Up,
};

pub(crate) fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A measurement as the view shows it; positions as text, since NaN equals nothing.
#[derive(Debug, PartialEq, Row, Deserialize)]
struct Measured {
    device: String,
    metric: String,
    ts_ms: i64,
    value: f64,
    position: String,
    seq: u64,
}

fn measured(device: &str, metric: &str, ts_ms: u64, value: f64, position: &str, seq: u64) -> Measured {
    Measured {
        device: device.to_owned(),
        metric: metric.to_owned(),
        ts_ms: i64::try_from(ts_ms).unwrap(),
        value,
        position: position.to_owned(),
        seq,
    }
}

const MEASURED: &str = "SELECT device, metric, toUnixTimestamp64Milli(ts) AS ts_ms, value, \
    if(isNaN(lat), '', concat(toString(lat), ' ', toString(lon))) AS position, seq \
    FROM measurements WHERE tenant = 'acme' ORDER BY device, ts, metric";

#[tokio::test]
async fn every_form_of_a_message_becomes_the_rows_it_says() {
    let mut up = Up::start(&[]);
    // Whole seconds, so that every unit of time can say it.
    let second = now_ms() / 1000 - 100;
    let ms = second * 1000;
    let rfc3339 = jiff::Timestamp::from_second(i64::try_from(second).unwrap()).unwrap();
    let forms = [
        (
            "a",
            format!(
                r#"{{"ts":{ms},"seq":42,"lat":37.7749,"lon":-122.4194,"accuracy_m":5.0,"metrics":{{"temperature":21.5,"humidity":40.1}}}}"#
            ),
        ),
        // Without a position: the last known one of the device.
        ("a", format!(r#"{{"ts":{},"seq":43,"temperature":22}}"#, ms + 1000)),
        (
            "b",
            format!(
                r#"[{{"ts":{second},"seq":1,"v":1}},{{"ts":{ms},"seq":2,"v":2}},{{"ts":{ms}000,"seq":3,"v":3}},{{"ts":{ms}000000,"seq":4,"v":4}}]"#
            ),
        ),
        (
            "c",
            format!(r#"{{"ts":"{rfc3339}","metrics":{{"on":true,"off":false}},"firmware":"1.2"}}"#),
        ),
        (
            "d",
            format!(
                r#"{{"ts":{ms},"lat":-33.8688,"lon":151.2093,"alt":58.5,"speed_mps":3.5,"heading_deg":270,"seq":7}}"#
            ),
        ),
    ];
    for (index, (device, payload)) in forms.into_iter().enumerate() {
        let version = if index % 2 == 0 { Version::V5 } else { Version::V311 };
        publish(
            &up.mqtt(),
            version,
            vec![Publish::new(&format!("telemetry/acme/{device}"), payload)],
        )
        .await;
    }
    let store = up.store();
    store.wait_until_complete(10).await;
    let here = "37.7749 -122.4194";
    let expected = [
        measured("a", "humidity", ms, 40.1, here, 42),
        measured("a", "temperature", ms, 21.5, here, 42),
        measured("a", "temperature", ms + 1000, 22.0, here, 43),
        measured("b", "v", ms, 1.0, "", 1),
        measured("b", "v", ms, 2.0, "", 2),
        measured("b", "v", ms, 3.0, "", 3),
        measured("b", "v", ms, 4.0, "", 4),
        measured("c", "off", ms, 0.0, "", 0),
        measured("c", "on", ms, 1.0, "", 0),
        measured("d", "position", ms, 1.0, "-33.8688 151.2093", 7),
    ];
    let mut found: Vec<Measured> = store.rows(MEASURED).await;
    found.sort_by(|left, right| (&left.device, left.seq, &left.metric).cmp(&(&right.device, right.seq, &right.metric)));
    assert_eq!(found, expected);
    assert_eq!(store.number("SELECT count() FROM devices").await, 4);
    let known = "SELECT count() FROM devices WHERE device = 'a' AND lat = 37.7749 AND metrics['temperature'] = 22 AND metrics['humidity'] = 40.1";
    assert_eq!(store.number(known).await, 1);
    assert_eq!(
        store
            .number("SELECT count() FROM devices WHERE device = 'c' AND attributes['firmware'] = '1.2'")
            .await,
        1
    );
    assert_eq!(
        store
            .number("SELECT count() FROM measurements WHERE device = 'd' AND alt = 58.5 AND heading_deg = 270")
            .await,
        1
    );
    assert_eq!(store.dead_letters().await, 0);
    up.stop();
}

#[tokio::test]
async fn cells_are_those_of_the_position_and_its_parents() {
    let mut up = Up::start(&[]);
    let ts = now_ms() - 5_000;
    let payload = format!(r#"[{{"ts":{ts},"seq":1,"lat":37.7749,"lon":-122.4194,"v":2}},{{"ts":{ts},"seq":2,"v":4}}]"#);
    let topic = "telemetry/acme/a";
    publish(&up.mqtt(), Version::V5, vec![Publish::new(topic, payload)]).await;
    publish(
        &up.mqtt(),
        Version::V5,
        vec![Publish::new(
            "telemetry/acme/nowhere",
            format!(r#"{{"ts":{ts},"v":8}}"#),
        )],
    )
    .await;
    let store = up.store();
    store.wait_until_complete(3).await;
    let position = h3o::LatLng::new(37.7749, -122.4194).unwrap();
    for (res, resolution) in [
        (9, h3o::Resolution::Nine),
        (7, h3o::Resolution::Seven),
        (5, h3o::Resolution::Five),
    ] {
        let cell = u64::from(position.to_cell(h3o::Resolution::Nine).parent(resolution).unwrap());
        let exact = format!(
            "SELECT count() FROM rollups WHERE metric = 'v' AND period = 60 AND res = {res} AND cell = {cell} AND tenant = 'acme' \
             AND count = 2 AND sum = 6 AND min = 2 AND max = 4 AND avg = 3 AND devices = 1"
        );
        assert_eq!(store.number(&exact).await, 1, "resolution {res}");
        let nowhere = format!("SELECT sum(sum) = 8 FROM rollups WHERE cell = 0 AND period = 60 AND res = {res}");
        assert_eq!(store.rows::<u8>(&nowhere).await, [1]);
    }
    up.stop();
}

#[tokio::test]
async fn every_quality_of_service_counts_each_event_once() {
    let mut up = Up::start(&[]);
    let start = now_ms() - 60_000;
    for version in [Version::V5, Version::V311] {
        let mut messages = Vec::new();
        for seq in 0..300_u64 {
            let payload = format!(
                r#"{{"ts":{},"seq":{seq},"lat":52.5,"lon":13.4,"v":{seq}}}"#,
                start + seq
            );
            messages.push(Publish {
                qos: u8::try_from(seq % 3).unwrap(),
                ..Publish::new(&format!("telemetry/{version:?}/device-{}", seq % 7), payload)
            });
        }
        publish(&up.mqtt(), version, messages).await;
    }
    let store = up.store();
    store.wait_until_complete(600).await;
    assert_eq!(
        store
            .number("SELECT uniqExact(tenant, device, seq) FROM measurements")
            .await,
        600
    );
    up.stop();
}

#[tokio::test]
async fn what_is_sent_twice_counts_once() {
    let mut up = Up::start(&[]);
    let start = now_ms() - 60_000;
    let with_seq = (0..50).map(|seq| format!(r#"{{"ts":{},"seq":{seq},"v":1}}"#, start + seq));
    let without = (0..50).map(|index| format!(r#"{{"ts":{},"v":{index}}}"#, start + index));
    let messages: Vec<Publish> = with_seq
        .map(|payload| Publish::new("telemetry/acme/counts", payload))
        .chain(without.map(|payload| Publish::new("telemetry/acme/plain", payload)))
        .collect();
    publish(&up.mqtt(), Version::V5, messages.clone()).await;
    publish(&up.mqtt(), Version::V311, messages).await;
    // Comes after all others of its device, so nothing is still on its way when it is there.
    let last = ["counts", "plain"].map(|device| {
        Publish::new(
            &format!("telemetry/acme/{device}"),
            format!(r#"{{"ts":{},"seq":1000,"last":1}}"#, start + 1000),
        )
    });
    publish(&up.mqtt(), Version::V5, last.into()).await;
    let store = up.store();
    store
        .wait_for("SELECT count() FROM measurements WHERE metric = 'last'", 2)
        .await;
    store.wait_until_complete(102).await;
    up.stop();
}

#[tokio::test]
async fn a_fast_clock_is_kept_as_claimed_and_not_believed() {
    let mut up = Up::start(&[]);
    let claimed = now_ms() + 3_600_000;
    publish(
        &up.mqtt(),
        Version::V5,
        vec![Publish::new(
            "telemetry/acme/fast",
            format!(r#"{{"ts":{claimed},"v":1}}"#),
        )],
    )
    .await;
    let store = up.store();
    store.wait_until_complete(1).await;
    let suspect = format!(
        "SELECT count() FROM measurements WHERE clock_suspect = 1 AND toUnixTimestamp64Milli(device_ts) = {claimed} \
         AND ts = received_at AND abs(toUnixTimestamp64Milli(ts) - {}) < 600000",
        now_ms()
    );
    assert_eq!(store.number(&suspect).await, 1);
    up.stop();
}

/// The client that people have at hand.
#[tokio::test]
async fn mosquitto_pub_is_understood() {
    let mut up = Up::start(&[]);
    let port = up.mqtt().rsplit_once(':').unwrap().1.to_owned();
    for (version, device) in [("311", "old"), ("5", "new")] {
        let program = rig::cache::program("mosquitto_pub").unwrap();
        let topic = format!("telemetry/acme/{device}");
        let arguments = [
            "-p",
            &port,
            "-V",
            version,
            "-q",
            "1",
            "-t",
            &topic,
            "-m",
            r#"{"temperature":21.5}"#,
        ];
        assert!(Command::new(program).args(arguments).status().unwrap().success());
    }
    up.store().wait_until_complete(2).await;
    up.stop();
}
