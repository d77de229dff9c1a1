//! Dead letters as work: listed, shown, and published again once their cause is gone, each event counted once.

use std::{fs, path::PathBuf, process::Output};

use serde_json::Value;

use crate::{
    device::{Publish, Version, publish},
    meridian::{Up, command, errors, text},
};

/// A running `up` whose bound on payloads can be changed.
struct Bench {
    up: Up,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

const TIGHT: &str = "[ingest]\npayload_bytes_max = \"1KiB\"\n";
const WIDE: &str = "[ingest]\npayload_bytes_max = \"256KiB\"\n";

impl Bench {
    /// Refuses payloads over 1 KiB.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("meridian.toml");
        fs::write(&file, TIGHT).unwrap();
        Self {
            up: Up::start(&["--config", file.to_str().unwrap()]),
            file,
            _folder: folder,
        }
    }

    fn restart_with(&mut self, config: &str) {
        self.up.stop();
        fs::write(&self.file, config).unwrap();
        self.up.restart();
    }

    fn dlq(&self, arguments: &[&str]) -> Output {
        let data_dir = self.up.data_dir();
        let all = [&["dlq"], arguments, &["--data-dir", data_dir.to_str().unwrap()]].concat();
        command(&all, &data_dir).output().unwrap()
    }

    /// What a replay counted.
    fn replay(&self, arguments: &[&str]) -> Value {
        let output = self.dlq(&[&["replay", "--format", "json"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
        serde_json::from_str(&text(&output)).unwrap()
    }

    fn letters(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.dlq(&[&["ls", "--format", "json"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
        let text = text(&output);
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// All that was published after this is through: something new, that nothing can hide.
    async fn settle(&self, number: u64) {
        let marker = Publish::new("telemetry/marker/m", format!(r#"{{"seq":{number},"v":1}}"#));
        publish(&self.up.mqtt(), Version::V5, vec![marker]).await;
        let markers = "SELECT count() FROM measurements WHERE tenant = 'marker'";
        self.up.store().wait_for(markers, number).await;
    }

    async fn stored(&self) -> u64 {
        let sql = "SELECT count() FROM measurements WHERE tenant = 'acme'";
        self.up.store().number(sql).await
    }
}

/// Over 1 KiB, and good.
fn long(event: &str) -> String {
    format!(r#"[{event},{{"v":9,"padding":["{}"]}}]"#, "x".repeat(2_000))
}

/// Five messages of two events each, with every form of identity. The first two are equal and yet two.
fn refused_messages() -> Vec<Publish> {
    let topic = "telemetry/acme/a";
    let bodies = [
        r#"{"v":1}"#,
        r#"{"v":1}"#,
        r#"{"v":2,"seq":1}"#,
        r#"{"v":3,"ts":1700000000000}"#,
        r#"{"v":4,"seq":2,"ts":1700000001000}"#,
    ];
    bodies.map(|body| Publish::new(topic, long(body))).into()
}

#[tokio::test]
async fn a_replay_counts_every_event_once_however_often_it_is_done() {
    let mut bench = Bench::start();
    publish(&bench.up.mqtt(), Version::V5, refused_messages()).await;
    let store = bench.up.store();
    store.wait_for("SELECT count() FROM dead_letters", 5).await;
    let letters = bench.letters(&["--tenant", "acme"]);
    assert_eq!(letters.len(), 5);
    assert!(letters.iter().all(|letter| letter["state"] == "waiting"
        && letter["reason"] == "payload_too_large"
        && letter["replay_of"].is_null()));
    bench.restart_with(WIDE);
    let dry = bench.replay(&["--dry-run", "--reason", "payload_too_large"]);
    assert_eq!((&dry["to_replay"], bench.stored().await), (&Value::from(5), 0));
    assert_eq!(bench.replay(&["--tenant", "acme"])["acknowledged"], 5);
    let store = bench.up.store();
    store
        .wait_for("SELECT count() FROM measurements WHERE tenant = 'acme'", 10)
        .await;
    assert!(bench.letters(&[]).iter().all(|letter| letter["state"] == "replayed"));
    // What was refused has the time at which it was first received, however late it is replayed.
    let of_first_receipt = "SELECT count() FROM measurements WHERE tenant = 'acme' AND ts IN \
        (SELECT received_at FROM dead_letters)";
    assert_eq!(
        store.number(of_first_receipt).await,
        8,
        "all but the two that said a time"
    );

    assert_eq!(bench.replay(&[]), serde_json::json!({"replayed_before": 5}));
    assert_eq!(bench.replay(&["--again"])["acknowledged"], 5);
    // A replay that was killed before it remembered anything.
    store.execute("TRUNCATE TABLE dead_letter_replay_log").await;
    assert_eq!(bench.replay(&[])["acknowledged"], 5);
    bench.up.daemon.kill9();
    bench.up.restart();
    // The process that is there now has only the checkpoints and the log of the one before.
    assert_eq!(bench.replay(&["--again"])["acknowledged"], 5);
    bench.settle(1).await;
    assert_eq!(bench.stored().await, 10);
    bench.up.store().wait_until_complete(11).await;
    bench.up.stop();
}

#[tokio::test]
async fn a_replay_that_is_refused_again_names_its_letter_and_is_not_replayed_in_circles() {
    let mut bench = Bench::start();
    publish(&bench.up.mqtt(), Version::V5, refused_messages()).await;
    let store = bench.up.store();
    store.wait_for("SELECT count() FROM dead_letters", 5).await;
    assert_eq!(bench.replay(&[])["acknowledged"], 5);
    store.wait_for("SELECT count() FROM dead_letters", 10).await;
    let letters = bench.letters(&["--limit", "1000"]);
    let ids: Vec<&Value> = letters.iter().map(|letter| &letter["id"]).collect();
    let again: Vec<&Value> = letters.iter().filter(|letter| letter["replay_count"] == 1).collect();
    assert_eq!(again.len(), 5);
    for letter in &again {
        assert!(ids.contains(&&letter["replay_of"]), "{letter}");
        let first = letters.iter().find(|first| first["id"] == letter["replay_of"]).unwrap();
        assert_eq!(first["received_at"], letter["first_received_at"]);
    }
    let left_out = serde_json::json!({"is_replay": 5, "replayed_before": 5});
    assert_eq!(bench.replay(&[]), left_out);
    // The messages are five still, whichever of their letters is taken.
    assert_eq!(bench.replay(&["--again"])["acknowledged"], 5);
    store.wait_for("SELECT count() FROM dead_letters", 15).await;
    let most = "SELECT toUInt64(max(replay_count)) FROM dead_letters";
    assert_eq!(store.number(most).await, 2);
    bench.restart_with(WIDE);
    assert_eq!(bench.replay(&["--again"])["acknowledged"], 5);
    bench
        .up
        .store()
        .wait_for("SELECT count() FROM measurements WHERE tenant = 'acme'", 10)
        .await;
    assert_eq!(bench.replay(&["--again"])["acknowledged"], 5);
    bench.settle(1).await;
    assert_eq!(bench.stored().await, 10);
    bench.up.stop();
}

#[tokio::test]
async fn letters_are_filtered_counted_and_shown_with_their_bytes() {
    let mut up = Up::start(&[]);
    let messages = vec![
        Publish::new("telemetry/acme/a", "not json"),
        Publish::new("telemetry/acme/b", b"\xff\x00binary".to_vec()),
        Publish::new("telemetry/other/c", r#"{"note":"no data"}"#),
        Publish::new("telemetry/acme", r#"{"v":1}"#),
        Publish::new("telemetry/a-c.m/d", "{"),
    ];
    publish(&up.mqtt(), Version::V5, messages).await;
    up.store().wait_for("SELECT count() FROM dead_letters", 5).await;
    let data_dir = up.data_dir();
    let dlq = |arguments: &[&str]| {
        let all = [&["dlq"], arguments, &["--data-dir", data_dir.to_str().unwrap()]].concat();
        command(&all, &data_dir).output().unwrap()
    };
    let count = |arguments: &[&str]| {
        text(&dlq(&[&["ls", "--format", "json"], arguments].concat()))
            .lines()
            .count()
    };
    for (arguments, expected) in [
        (&[][..], 5),
        // One of them has a topic of another shape.
        (&["--tenant", "acme"], 3),
        (&["--tenant", "ac"], 0),
        (&["--tenant", "a-c.m"], 1),
        (&["--tenant", "a-c_m"], 0),
        (&["--topic", "telemetry/a-c.m/+"], 1),
        (&["--topic", "telemetry/a-c+m/+"], 0),
        (&["--topic", "telemetry/+/c"], 1),
        (&["--topic", "telemetry/acme/#"], 3),
        (&["--reason", "invalid_json"], 3),
        (&["--stage", "process"], 0),
        (&["--broker", "embedded"], 5),
        (&["--since", "1h"], 5),
        (&["--until", "1h"], 0),
        (&["--from", "1h", "--to", "0s"], 5),
        (&["--limit", "3"], 3),
        (&["--count"], 3),
    ] {
        assert_eq!(count(arguments), expected, "{arguments:?}");
    }
    let listed = text(&dlq(&["ls", "--topic", "telemetry/acme/b"]));
    let (header, letters) = listed.split_once('\n').unwrap();
    assert!(header.starts_with("received"), "{listed}");
    let id = letters.split_whitespace().nth(1).unwrap();
    let shown = text(&dlq(&["show", id]));
    assert!(
        shown.contains("ff 00 62 69 6e 61 72 79") && shown.contains("..binary"),
        "{shown}"
    );
    let json: Value = serde_json::from_str(&text(&dlq(&["show", id, "--format", "json"]))).unwrap();
    assert_eq!(
        (&json["payload_hex"], &json["topic"]),
        (&"ff0062696e617279".into(), &"telemetry/acme/b".into())
    );
    let missing = dlq(&["show", "nobody-1"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(errors(&missing).contains("nobody-1") && errors(&missing).contains("dlq ls"));
    let usage = dlq(&["ls", "--reason", "nonsense"]);
    assert_eq!(usage.status.code(), Some(2));
    up.stop();
    let stopped = dlq(&["ls"]);
    assert_eq!(stopped.status.code(), Some(2));
    assert!(errors(&stopped).contains("meridian up"), "{}", errors(&stopped));
}

#[tokio::test]
async fn a_row_that_clickhouse_refuses_is_found_by_its_tenant() {
    let mut bench = Bench::start();
    let store = bench.up.store();
    store
        .execute("ALTER TABLE measurement_log ADD CONSTRAINT small CHECK value < 700")
        .await;
    let messages = [("acme", 1_000), ("other", 1_001), ("measurement_log", 3)]
        .map(|(tenant, value)| Publish::new(&format!("telemetry/{tenant}/a"), format!(r#"{{"seq":1,"v":{value}}}"#)));
    publish(&bench.up.mqtt(), Version::V5, messages.to_vec()).await;
    let refused = "SELECT count() FROM dead_letters WHERE stage = 'insert'";
    store.wait_for(refused, 2).await;
    let found = bench.letters(&["--tenant", "acme"]);
    assert_eq!(found.len(), 1, "{found:?}");
    let id = found[0]["id"].as_str().unwrap();
    let shown = bench.dlq(&["show", id]);
    assert!(text(&shown).contains("1000"), "{}", text(&shown));
    let replayed = bench.replay(&["--tenant", "acme"]);
    assert_eq!(replayed["not_from_device"], 1, "{replayed}");
    assert!(bench.letters(&["--tenant", "measurement_log"]).is_empty());
    bench.up.stop();
}

#[tokio::test]
async fn over_mqtt_3_a_replay_that_was_cut_short_is_left_alone() {
    let mut bench = Bench::start();
    publish(&bench.up.mqtt(), Version::V311, refused_messages()).await;
    bench.up.store().wait_for("SELECT count() FROM dead_letters", 5).await;
    bench.restart_with(WIDE);
    let store = bench.up.store();
    let begun = "INSERT INTO dead_letter_replay_log (id, version, replayed_at, acknowledged) \
        SELECT id, 1, now64(3), 0 FROM dead_letters ORDER BY received_at LIMIT 1";
    store.execute(begun).await;
    let mqtt = bench.up.mqtt();
    let old = ["--mqtt", mqtt.as_str(), "--protocol", "v3.1.1"];
    let told = bench.replay(&old);
    assert_eq!((&told["acknowledged"], &told["uncertain"]), (&4.into(), &1.into()));
    store
        .wait_for("SELECT count() FROM measurements WHERE tenant = 'acme'", 8)
        .await;
    assert_eq!(
        bench.replay(&old),
        serde_json::json!({"replayed_before": 4, "uncertain": 1})
    );
    // MQTT 5 names the letter, so nothing is in doubt there.
    assert_eq!(bench.replay(&[])["acknowledged"], 1);
    store
        .wait_for("SELECT count() FROM measurements WHERE tenant = 'acme'", 10)
        .await;
    bench.up.stop();
}

#[tokio::test]
async fn a_broker_that_is_away_is_a_failure_and_nothing_is_taken_as_replayed() {
    let mut bench = Bench::start();
    publish(&bench.up.mqtt(), Version::V5, refused_messages()).await;
    bench.up.store().wait_for("SELECT count() FROM dead_letters", 5).await;
    let output = bench.dlq(&["replay", "--mqtt", "mqtt://127.0.0.1:9"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        errors(&output).contains("5 letters were not acknowledged"),
        "{}",
        errors(&output)
    );
    assert!(bench.letters(&[]).iter().all(|letter| letter["state"] == "uncertain"));
    let output = bench.dlq(&["replay", "--to-broker", "nobody"]);
    assert!(errors(&output).contains("`nobody`") && output.status.code() == Some(1));
    bench.up.stop();
}

#[tokio::test]
async fn a_replay_that_is_killed_again_and_again_counts_every_event_once() {
    const LETTERS: u64 = 2_000;
    let mut bench = Bench::start();
    let messages =
        (0..LETTERS).map(|number| Publish::new(&format!("telemetry/acme/{}", number % 9), long(r#"{"v":1}"#)));
    publish(&bench.up.mqtt(), Version::V5, messages.collect()).await;
    bench
        .up
        .store()
        .wait_for("SELECT count() FROM dead_letters", LETTERS)
        .await;
    bench.restart_with(WIDE);
    let data_dir = bench.up.data_dir();
    let arguments = ["dlq", "replay", "--data-dir", data_dir.to_str().unwrap()];
    let mut killed_count = 0;
    for patience_ms in [150, 250, 350, 450, 550] {
        let mut replay = command(&arguments, &data_dir)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(patience_ms)).await;
        killed_count += u64::from(replay.try_wait().unwrap().is_none());
        replay.kill().unwrap();
        replay.wait().unwrap();
    }
    assert!(killed_count > 0, "the first one is killed before it is through");
    bench.replay(&[]);
    assert_eq!(bench.replay(&[]), serde_json::json!({"replayed_before": LETTERS}));
    let all = "SELECT count() FROM measurements WHERE tenant = 'acme'";
    bench.up.store().wait_for(all, 2 * LETTERS).await;
    bench.settle(1).await;
    assert_eq!(bench.stored().await, 2 * LETTERS);
    bench.up.stop();
}
