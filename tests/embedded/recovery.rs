//! All checkpoints are lost and the log was cut off, over the real binary: what was counted stays counted once, and what
//! comes goes on.

use std::{collections::BTreeSet, fs, time::Duration};

use eventlog::{EmbeddedConfig, TopicSpec, embedded::EmbeddedLog};
use rig::{Daemon, Kafka, Mosquitto, MosquittoOptions};
use schemas::record::{DEAD_LETTERS_TOPIC, EVENTS_TOPIC};

use crate::{
    audit::{DEVICES, EVENTS, MEASUREMENTS, assert_clean, audit, messages, wait_for_ledger},
    device::{Publish, Version, publish},
    meridian::{READY_MAX, Up, command, daemon},
    store::Store,
};

/// Partitions of `meridian up`.
const UP_PARTITIONS: u16 = 12;
const PARTITIONS: u32 = 2;
const GROUP: &str = "meridian";

/// Events alone: refused messages would come again with the rest.
fn events(first_seq: u64) -> Vec<Publish> {
    let mut events = messages(first_seq);
    events.truncate(usize::try_from(DEVICES * EVENTS).unwrap());
    events
}

/// Retention takes whatever the group has read.
fn cut_off_log(up: &Up) {
    let log = EmbeddedLog::open(EmbeddedConfig::new(up.data_dir().join("log"))).unwrap();
    let topic = |name: &str| TopicSpec {
        retention_ms: Some(1),
        ..TopicSpec::new(name, UP_PARTITIONS)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(log.ensure_topics(&[topic(EVENTS_TOPIC)])).unwrap();
    let removed = log.remove_old().unwrap();
    assert!(removed.records > 0 && removed.uncommitted_records == 0, "{removed:?}");
}

#[tokio::test]
async fn up_goes_on_without_its_checkpoints_and_without_what_it_has_read() {
    let mut up = Up::start(&[]);
    publish(&up.mqtt(), Version::V5, events(0)).await;
    let store = up.store();
    store.wait_until_complete(MEASUREMENTS).await;
    wait_for_ledger(&store, DEVICES * EVENTS).await;
    // A quiet partition is checkpointed and committed two seconds after its last checkpoint; only then may records go.
    tokio::time::sleep(Duration::from_secs(4)).await;
    // Devices say again what was counted, among what is new; and the process dies under it.
    let url = up.mqtt();
    let feeding = tokio::spawn(async move {
        let both: Vec<Publish> = events(0).into_iter().chain(events(EVENTS)).collect();
        publish(&url, Version::V5, both).await;
    });
    tokio::time::sleep(Duration::from_millis(700)).await;
    up.daemon.kill9();
    feeding.abort();
    let _ = feeding.await;
    fs::remove_dir_all(up.data_dir().join("checkpoints")).unwrap();
    let folder = &up;
    std::thread::scope(|scope| scope.spawn(|| cut_off_log(folder)).join().unwrap());
    for round in 0..3 {
        up.restart();
        up.daemon
            .wait_for_line("going on where the tables end", READY_MAX)
            .unwrap();
        // While it is on its way, and right after.
        tokio::time::sleep(Duration::from_millis(300 * round)).await;
        if round < 2 {
            up.daemon.kill9();
        }
    }
    publish(&up.mqtt(), Version::V311, events(0)).await;
    publish(&up.mqtt(), Version::V5, events(EVENTS)).await;
    publish(&up.mqtt(), Version::V5, events(2 * EVENTS)).await;
    up.store().wait_until_complete(3 * MEASUREMENTS).await;
    assert_clean(&up);
    let (code, said) = audit(&up.data_dir(), &["--verify"]);
    assert_eq!(code, 0, "{said}");
    up.stop();
}

/// Roles over Mosquitto and Kafka; the engine in a process of its own.
struct Roles {
    mosquitto: Mosquitto,
    kafka: Kafka,
    _engine: Daemon,
    process: Daemon,
    _ingest: Daemon,
    store: Store,
    folder: tempfile::TempDir,
}

impl Roles {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mosquitto, kafka) = (Mosquitto::start_with(MosquittoOptions::default()), Kafka::start());
        let engine = daemon(&["embedded", "clickhouse", "--port", "0", "--data-dir", "engine"]);
        let engine = engine.current_dir(folder.path()).start().unwrap();
        let ready = engine.wait_for_line("ready at ", READY_MAX).unwrap();
        let clickhouse = ready.strip_prefix("ready at ").unwrap().to_owned();
        let config = format!(
            "[[mqtt.brokers]]\nname = \"edge\"\nurl = \"{}\"\n[kafka]\nbrokers = \"{}\"\n[log]\npartitions = \
             {PARTITIONS}\n[clickhouse]\nurl = \"{clickhouse}\"\n[checkpoints]\nurl = \"file:./checkpoints\"\n",
            mosquitto.url(),
            kafka.bootstrap(),
        );
        fs::write(folder.path().join("meridian.toml"), config).unwrap();
        let role = |name: &str| {
            let role = daemon(&[name, "--config", "meridian.toml", "--metrics-port", "0"]);
            let role = role.current_dir(folder.path()).start().unwrap();
            role.wait_for_line(&format!("meridian {name} is ready"), READY_MAX)
                .unwrap();
            role
        };
        let (process, ingest) = (role("process"), role("ingest"));
        Self {
            mosquitto,
            kafka,
            _engine: engine,
            process,
            _ingest: ingest,
            store: Store::new(&clickhouse),
            folder,
        }
    }

    async fn wait_until_committed(&self) {
        let began = std::time::Instant::now();
        while self.kafka.lag(GROUP).ok() != Some(0) {
            assert!(began.elapsed() < READY_MAX, "not committed");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let arguments = [arguments, &["--config", "meridian.toml"]].concat();
        let output = command(&arguments, self.folder.path()).output().unwrap();
        let said = crate::meridian::text(&output) + &crate::meridian::errors(&output);
        (output.status.code().unwrap(), said)
    }
}

#[tokio::test]
async fn process_goes_on_when_kafka_has_removed_what_was_committed_and_the_checkpoints_are_gone() {
    let mut roles = Roles::start();
    publish(&roles.mosquitto.url(), Version::V5, events(0)).await;
    roles.store.wait_until_complete(MEASUREMENTS).await;
    roles.wait_until_committed().await;
    let url = roles.mosquitto.url();
    let feeding = tokio::spawn(async move { publish(&url, Version::V5, events(EVENTS)).await });
    tokio::time::sleep(Duration::from_millis(900)).await;
    roles.process.kill9();
    feeding.await.unwrap();

    fs::remove_dir_all(roles.folder.path().join("checkpoints")).unwrap();
    let mut lows = BTreeSet::new();
    for partition in 0..PARTITIONS {
        let committed = roles.kafka.committed_offset(GROUP, EVENTS_TOPIC, partition);
        roles.kafka.delete_records(EVENTS_TOPIC, partition, committed);
        lows.insert(committed);
    }
    assert!(lows.iter().any(|low| *low > 0), "{lows:?}");
    let letters = roles.kafka.end_offset(DEAD_LETTERS_TOPIC, 0);
    assert_eq!(letters, 0, "only events were sent");
    roles.process.restart().unwrap();
    publish(&roles.mosquitto.url(), Version::V311, events(0)).await;
    publish(&roles.mosquitto.url(), Version::V5, events(EVENTS)).await;
    publish(&roles.mosquitto.url(), Version::V5, events(2 * EVENTS)).await;
    roles.store.wait_until_complete(3 * MEASUREMENTS).await;
    roles.wait_until_committed().await;
    assert!(
        roles.process.log().contains("going on where the tables end"),
        "{}",
        roles.process.log()
    );
    let unanswered = ["--metrics", "http://127.0.0.1:9/metrics"];
    let (code, said) = roles.run(&[&["audit"], &unanswered[..]].concat());
    assert_eq!(code, 0, "{said}");
    let (code, said) = roles.run(&["audit", "--verify"]);
    assert_eq!(code, 0, "{said}");
}
