//! Roles in processes of their own: Kafka between them, and each may die alone.

use std::path::Path;

use rig::{Daemon, Kafka};
use tempfile::TempDir;

use crate::{
    device::{Publish, Version, publish},
    meridian::{READY_MAX, Up, command, daemon, embedded_service, errors},
    store::Store,
};

/// A deployment: services, and a configuration that names them.
pub(crate) struct Deployment {
    kafka: Kafka,
    broker: Daemon,
    engine: Daemon,
    pub(crate) mqtt: String,
    pub(crate) clickhouse: String,
    folder: TempDir,
}

impl Deployment {
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// With more sections of the configuration.
    pub(crate) fn start_with(sections: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (broker, mqtt) = embedded_service("mqtt", "broker", folder.path());
        let (engine, clickhouse) = embedded_service("clickhouse", "engine", folder.path());
        let kafka = Kafka::start();
        let bootstrap = kafka.bootstrap();
        let config = format!(
            "[[mqtt.brokers]]\nname = \"edge\"\nurl = \"{mqtt}\"\n[kafka]\nbrokers = \"{bootstrap}\"\n[log]\npartitions = 4\n\
             [clickhouse]\nurl = \"{clickhouse}\"\n[checkpoints]\nurl = \"file:./checkpoints\"\n{sections}"
        );
        std::fs::write(folder.path().join("meridian.toml"), config).unwrap();
        Self {
            kafka,
            broker,
            engine,
            mqtt,
            clickhouse,
            folder,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn role(&self, name: &str) -> Daemon {
        let role = daemon(&[name, "--config", "meridian.toml", "--metrics-port", "0"]).current_dir(self.path());
        role.start().unwrap()
    }

    pub(crate) fn stop(mut self) {
        assert_eq!(self.broker.terminate().unwrap().code(), Some(0));
        assert_eq!(self.engine.terminate().unwrap().code(), Some(0));
    }
}

fn events(sequence_numbers: std::ops::Range<u64>) -> Vec<Publish> {
    let payload = |seq| {
        format!(
            r#"{{"ts":{},"seq":{seq},"lat":48.1,"lon":11.6,"v":{seq}}}"#,
            1_700_000_000_000 + seq * 1000
        )
    };
    sequence_numbers
        .map(|seq| Publish::new(&format!("telemetry/acme/car-{}", seq % 9), payload(seq)))
        .collect()
}

#[tokio::test]
async fn roles_of_their_own_count_each_event_once_though_one_is_killed() {
    let deployment = Deployment::start();
    let checked = command(
        &["validate", "--connect", "--config", "meridian.toml"],
        deployment.path(),
    )
    .output()
    .unwrap();
    assert_eq!(checked.status.code(), Some(0), "{}", errors(&checked));
    let mut process = deployment.role("process");
    let mut ingest = deployment.role("ingest");
    process.wait_for_line("meridian process is ready", READY_MAX).unwrap();
    ingest.wait_for_line("meridian ingest is ready", READY_MAX).unwrap();
    let store = Store::new(&deployment.clickhouse);
    publish(&deployment.mqtt, Version::V5, events(0..1_000)).await;
    store.wait_until_complete(1_000).await;
    // Killed in the middle: what follows waits in Kafka, and nothing is counted twice.
    publish(&deployment.mqtt, Version::V311, events(1_000..2_000)).await;
    process.kill9();
    publish(&deployment.mqtt, Version::V5, events(2_000..3_000)).await;
    process.restart().unwrap();
    store.wait_until_complete(3_000).await;
    assert_eq!(ingest.interrupt().unwrap().code(), Some(0), "{}", ingest.log());
    assert_eq!(process.interrupt().unwrap().code(), Some(0), "{}", process.log());
    deployment.stop();
}

#[tokio::test]
async fn up_uses_the_services_that_the_configuration_names_and_tap_shows_what_passes() {
    let deployment = Deployment::start();
    let config = deployment.path().join("meridian.toml");
    let mut up = Up::start(&["--config", config.to_str().unwrap()]);
    let endpoints = up.endpoints();
    assert_eq!(endpoints["kafka"], deployment.kafka.bootstrap());
    assert_eq!(endpoints["mqtt"], deployment.mqtt);
    assert_eq!(endpoints["clickhouse"], deployment.clickhouse);
    let tap = |arguments: &[&str]| {
        let arguments = [&["tap", "--config", "meridian.toml", "--tenant", "acme"], arguments].concat();
        daemon(&arguments).current_dir(deployment.path()).start().unwrap()
    };
    let (mut lines, mut json) = (tap(&[]), tap(&["--device", "car-1", "--json"]));
    for tap in [&lines, &json] {
        tap.wait_for_line("watching", READY_MAX).unwrap();
    }
    publish(&deployment.mqtt, Version::V5, events(0..20)).await;
    lines
        .wait_for_line("acme/car-0 #0 (48.10000, 11.60000) v=0", READY_MAX)
        .unwrap();
    let event = json
        .wait_for_line("{\"tenant\":\"acme\",\"device\":\"car-1\"", READY_MAX)
        .unwrap();
    let event: serde_json::Value = serde_json::from_str(&event).unwrap();
    assert_eq!(
        (event["seq"].as_u64(), event["metrics"]["v"].as_f64()),
        (Some(1), Some(1.0))
    );
    assert!(!json.log().contains("car-2"), "only the device that was asked for");
    for tap in [&mut lines, &mut json] {
        assert_eq!(tap.interrupt().unwrap().code(), Some(0));
    }
    Store::new(&deployment.clickhouse).wait_until_complete(20).await;
    up.stop();
    deployment.stop();
}
