//! A device that publishes to a real broker and keeps book of what the broker acknowledged.

use std::time::Duration;

use rumqttc::{
    Outgoing,
    v5::{AsyncClient, Event, Incoming, MqttOptions, mqttbytes::QoS},
};
use tokio::time::timeout;

use crate::running::PATIENCE;

/// Publishes all of it at QoS 1 and returns when the broker has acknowledged every message.
pub(crate) async fn publish_all(url: &str, messages: impl IntoIterator<Item = (String, Vec<u8>)>) {
    publish_all_at(url, QoS::AtLeastOnce, messages).await;
}

/// The same at any QoS.
pub(crate) async fn publish_all_at(url: &str, qos: QoS, messages: impl IntoIterator<Item = (String, Vec<u8>)>) {
    let (host, port) = url.strip_prefix("mqtt://").unwrap().rsplit_once(':').unwrap();
    let mut options = MqttOptions::new("device", host, port.parse().unwrap());
    options
        .set_keep_alive(Duration::from_secs(30))
        .set_max_packet_size(Some(1 << 20))
        .set_outgoing_inflight_upper_limit(500);
    let (client, mut event_loop) = AsyncClient::new(options, 1000);
    let messages: Vec<_> = messages.into_iter().collect();
    let count = messages.len();
    let sender = tokio::spawn(async move {
        for (topic, payload) in messages {
            client.publish(topic, qos, false, payload).await.unwrap();
        }
        client
    });
    let mut settled = 0;
    while settled < count {
        let event = timeout(PATIENCE, event_loop.poll()).await.unwrap().unwrap();
        let one = match event {
            Event::Incoming(Incoming::PubAck(_) | Incoming::PubComp(_)) => qos != QoS::AtMostOnce,
            Event::Outgoing(Outgoing::Publish(_)) => qos == QoS::AtMostOnce,
            _ => false,
        };
        settled += usize::from(one);
    }
    let client = sender.await.unwrap();
    client.disconnect().await.unwrap();
    // An event is told before its bytes leave. The broker closes when it has read the goodbye, and so all before it.
    while timeout(PATIENCE, event_loop.poll()).await.unwrap().is_ok() {}
}

/// Numbered events of some devices.
pub(crate) fn events(range: std::ops::Range<u64>) -> impl Iterator<Item = (String, Vec<u8>)> {
    range.map(|seq| {
        let device = seq % 10;
        (
            format!("telemetry/acme/bus-{device}"),
            format!(r#"{{"seq":{seq},"lat":48.1,"lon":11.5,"temperature":{}}}"#, seq % 40).into_bytes(),
        )
    })
}
