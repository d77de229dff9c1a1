//! Devices do not wait for `meridian up` to be ready: whatever they see acknowledged counts, from the first moment.

use std::{fs, net::TcpStream, path::Path, time::Duration};

use rig::{Daemon, ports};

use crate::{
    device::{Publish, Version, publish},
    meridian::{READY_MAX, daemon},
    store::Store,
};

const MESSAGES: u64 = 300;

fn start(data_dir: &Path, mqtt_port: u16) -> Daemon {
    let port = mqtt_port.to_string();
    let ports = ["--clickhouse-port", "0", "--http-port", "0", "--metrics-port", "0"];
    daemon(&["up", "--data-dir", data_dir.to_str().unwrap(), "--mqtt-port", &port])
        .args(ports)
        .current_dir(data_dir.parent().unwrap())
        .start()
        .unwrap()
}

/// Publishes the instant the port opens; returns when all is acknowledged.
async fn publish_at_once(mqtt_port: u16, first_seq: u64) {
    while TcpStream::connect(("127.0.0.1", mqtt_port)).is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let messages = (first_seq..first_seq + MESSAGES)
        .map(|seq| Publish::new("telemetry/acme/early", format!(r#"{{"seq":{seq},"v":1}}"#)))
        .collect();
    publish(&format!("mqtt://127.0.0.1:{mqtt_port}"), Version::V5, messages).await;
}

async fn wait_until_counted(running: &Daemon, data_dir: &Path, expected: u64) {
    let endpoints = data_dir.join("endpoints.json");
    running.wait_for_file(&endpoints, READY_MAX).unwrap();
    let endpoints: serde_json::Value = serde_json::from_slice(&fs::read(endpoints).unwrap()).unwrap();
    let store = Store::new(endpoints["clickhouse"].as_str().unwrap());
    store.wait_until_complete(expected).await;
}

#[tokio::test]
async fn what_is_acknowledged_before_anything_else_runs_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let port = ports::free();
    let mut running = start(&data_dir, port);
    publish_at_once(port, 0).await;
    wait_until_counted(&running, &data_dir, MESSAGES).await;
    assert_eq!(running.interrupt().unwrap().code(), Some(0), "{}", running.log());

    // Nor is anything lost when the broker has forgotten everything.
    fs::remove_dir_all(data_dir.join("mqtt")).unwrap();
    let mut running = start(&data_dir, port);
    publish_at_once(port, MESSAGES).await;
    wait_until_counted(&running, &data_dir, 2 * MESSAGES).await;
    assert_eq!(running.interrupt().unwrap().code(), Some(0), "{}", running.log());
}
