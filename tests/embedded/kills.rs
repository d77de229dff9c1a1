//! The whole process is killed in the middle of a stream, broker and all: what devices saw acknowledged is counted
//! exactly once.

use std::time::Duration;

use rumqttc::v5;

use crate::{
    device::{Publish, Version, publish},
    meridian::Up,
};

/// One device that counts its events goes on until the broker is gone; returns how many were acknowledged.
async fn stream_until_killed(url: String, first: u64) -> u64 {
    let (host, port) = url.strip_prefix("mqtt://").unwrap().rsplit_once(':').unwrap();
    let mut options = v5::MqttOptions::new("stream", host, port.parse().unwrap());
    options.set_outgoing_inflight_upper_limit(500);
    let (client, mut connection) = v5::AsyncClient::new(options, 100);
    let sending = tokio::spawn(async move {
        let qos = v5::mqttbytes::QoS::AtLeastOnce;
        for seq in first.. {
            let payload = counted(seq);
            if client
                .publish("telemetry/acme/stream", qos, false, payload)
                .await
                .is_err()
            {
                return;
            }
        }
    });
    let mut acknowledged = 0;
    while let Ok(event) = connection.poll().await {
        let is_acknowledgement = matches!(event, v5::Event::Incoming(v5::mqttbytes::v5::Packet::PubAck(_)));
        acknowledged += u64::from(is_acknowledgement);
    }
    sending.abort();
    acknowledged
}

/// Without `ts`: the number alone makes it one event, however often it is sent.
fn counted(seq: u64) -> String {
    format!(r#"{{"seq":{seq},"temperature":21.5}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_the_whole_process_was_killed_is_counted_exactly_once() {
    // Enough for packet identifiers to come round: those of earlier processes must not be taken for repetitions.
    const ROUNDS: u64 = 8;
    const EQUAL_MESSAGES: u64 = 150;
    let mut up = Up::start(&[]);
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let url = up.mqtt();
        let stream = tokio::spawn(stream_until_killed(url.clone(), acknowledged));
        tokio::time::sleep(Duration::from_millis(150 + 200 * (round % 4))).await;
        // Neither `seq` nor `ts`, and all the same: each is an event of its own, known by its delivery only.
        let version = if round % 2 == 0 { Version::V5 } else { Version::V311 };
        let equal = Publish::new("telemetry/acme/plain", r#"{"temperature":21.5}"#);
        publish(&url, version, vec![equal; EQUAL_MESSAGES as usize]).await;
        up.daemon.kill9();
        acknowledged += stream.await.unwrap();
        up.restart();
    }
    // What had been sent and not acknowledged is sent again, and may be there already.
    let rest = (acknowledged..acknowledged + 1000).map(|seq| Publish::new("telemetry/acme/stream", counted(seq)));
    publish(&up.mqtt(), Version::V5, rest.collect()).await;
    let store = up.store();
    let of_device = |device: &str| format!("SELECT count() FROM measurements WHERE device = '{device}'");
    store.wait_for(&of_device("stream"), acknowledged + 1000).await;
    let numbers = "SELECT uniqExact(seq) FROM measurements WHERE device = 'stream'";
    assert_eq!(store.number(numbers).await, acknowledged + 1000);
    store.wait_for(&of_device("plain"), ROUNDS * EQUAL_MESSAGES).await;
    store
        .wait_until_complete(acknowledged + 1000 + ROUNDS * EQUAL_MESSAGES)
        .await;
    assert!(acknowledged > 1000, "there was something to lose: {acknowledged}");
    assert_eq!(store.dead_letters().await, 0);
    up.stop();
}
